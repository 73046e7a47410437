"""Everything that a client needs to know of a server, as one JSON object."""

from __future__ import annotations

from typing import Any

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.filters import OPERATORS_OF
from product_match.contract.models import ensembles
from product_match.contract.options import ALL_OPTIONS, DEADLINE, INDEX_OPTIONS, OptionSpec
from product_match.contract.products import FILTER_FIELDS
from product_match.contract.tensors import TensorSpec


def capabilities(encoder: EncoderSpec) -> dict[str, Any]:
    """Return what a server of `encoder` takes: models, options with types and ranges, filters, and limits."""
    return {
        "encoder": {
            "identity": encoder.identity,
            "family": encoder.family,
            "precision": encoder.precision,
            "image_size_px": encoder.image_size_px,
            "embedding_dim": encoder.embedding_dim,
            "context_length": encoder.context_length,
        },
        "models": {
            spec.name: {
                "inputs": [_tensor(tensor) for tensor in spec.inputs],
                "outputs": [_tensor(tensor) for tensor in spec.outputs],
                "meaning": spec.meaning,
            }
            for spec in ensembles(encoder)
        },
        "options": [_option(option) for option in (*ALL_OPTIONS, DEADLINE)],
        "filters": {
            field.name: {
                "type": field.type.value,
                "operators": list(OPERATORS_OF[field.type]),
            }
            for field in FILTER_FIELDS
        },
        "limits": {name.lower(): value for name, value in vars(limits).items() if name.isupper()},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "type": spec.dtype.value, "shape": list(spec.dims)}


def _option(option: OptionSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": option.name,
        "type": option.type.value,
        "default": option.default,
        "taken_by": _taken_by(option),
        "meaning": option.meaning,
    }
    if option.choices:
        described["choices"] = list(option.choices)
    if option.minimum is not None:
        described |= {"minimum": option.minimum, "maximum": option.maximum}
    return described


def _taken_by(option: OptionSpec) -> str:
    if option is DEADLINE:
        return "every model"
    return "product_index" if option in INDEX_OPTIONS else "product_match*"
