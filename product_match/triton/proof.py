"""The comparison with FP32 that an encoder passes before it is served, and where others read what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, ModelSpec
from product_match.encoding import reference
from product_match.encoding.processors import processor_name
from product_match.settings import ServingSettings

CONTAINER_PLACE: Final = Path("/tmp/product-match")
"""Where there is no state directory: in a container, whose temporary directory is its own."""
ENCODERS: Final = (IMAGE_ENCODER, TEXT_ENCODER)


def prove(settings: ServingSettings, encoder: EncoderSpec, model: ModelSpec, encode: reference.Encode) -> None:
    """Compare an encoder with the FP32 embeddings in its directory, and write down what came of it.

    Raises:
        ConfigError: It gives other embeddings on this processor.
    """
    outcome = reference.check(settings.encoder_directory, model, encoder, encode, processor_name())
    if outcome is not None:
        reference.record(outcome, place(settings))


def proofs(settings: ServingSettings, encoder: EncoderSpec) -> dict[str, dict[str, Any]]:
    """Return what the comparisons of the encoders that are served have found, by model."""
    return reference.recorded(place(settings), ENCODERS, encoder.identity)


def encoded_on(settings: ServingSettings, encoder: EncoderSpec) -> str:
    """Return the precision and the kind of processor that encode, such as "int8 on AMD EPYC (avx512_vnni)"."""
    processors = sorted({str(proof["processor"]) for proof in proofs(settings, encoder).values()})
    return f"{encoder.precision} on {' and '.join(processors) or processor_name()}"


def place(settings: ServingSettings) -> Path:
    """Return the folder of the outcomes."""
    return settings.state_directory or CONTAINER_PLACE
