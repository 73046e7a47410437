"""The README's tables, generated from the contract, and their place between marks in Markdown files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from product_match.contract import limits, models
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.contract.metrics import METRICS, MetricSpec
from product_match.contract.options import DEADLINE, INDEX_OPTIONS, MATCH_OPTIONS, OptionSpec
from product_match.contract.tensors import TensorSpec
from product_match.settings import PREFIX, VARIABLES

_MARK: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(" --- " for _ in header) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _tensor(spec: TensorSpec) -> str:
    shape = ", ".join("S" if dim == -1 else str(dim) for dim in spec.dims)
    return f"`{spec.name}` {spec.dtype.value} [{shape}]" + (" (optional)" if spec.optional else "")


def _tensors(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(_tensor(spec) for spec in specs)


def _ensembles(encoder: EncoderSpec) -> str:
    rows = [
        [f"`{spec.name}`", _tensors(spec.inputs), _tensors(spec.outputs), spec.meaning]
        for spec in models.ensembles(encoder)
    ]
    return _table(["ensemble", "inputs", "outputs", "what it does"], rows)


def _composing(encoder: EncoderSpec) -> str:
    rows = [
        [f"`{spec.name}`", _tensors(spec.inputs), _tensors(spec.outputs), spec.meaning]
        for spec in models.composing_models(encoder)
    ]
    return _table(["model", "inputs", "outputs", "what it does"], rows)


def _tensor_meanings(encoder: EncoderSpec) -> str:
    parts: list[models.ModelSpec | models.EnsembleSpec] = [
        *models.composing_models(encoder),
        *models.ensembles(encoder),
    ]
    seen = {tensor.name: tensor for part in parts for tensor in (*part.inputs, *part.outputs)}
    rows = [
        [f"`{spec.name}`", spec.dtype.value, f"[{', '.join(map(str, spec.dims))}]", spec.meaning]
        for spec in seen.values()
    ]
    return _table(["tensor", "type", "shape of a row", "what it holds"], rows)


def _option_rows(options: Sequence[OptionSpec], used_by: str) -> list[list[str]]:
    return [[f"`{o.name}`", o.type.value, _range(o), o.default, used_by, o.meaning] for o in options]


def _range(option: OptionSpec) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    if option.minimum is None or option.maximum is None:
        return ""
    return f"{option.minimum:,g} to {option.maximum:,g}"


def _options(_: EncoderSpec) -> str:
    rows = _option_rows(MATCH_OPTIONS, "`product_match*`") + _option_rows(INDEX_OPTIONS, "`product_index`")
    rows += _option_rows((DEADLINE,), "every model")
    return _table(["parameter", "type", "range", "default", "taken by", "what it does"], rows)


def _limits(_: EncoderSpec) -> str:
    rows = [
        ["bytes of a photo", f"{limits.MAX_IMAGE_BYTES:,}"],
        ["pixels of a photo, read from its header", f"{limits.MAX_IMAGE_PIXELS:,}"],
        *([f"pixels of a photo in {name}", f"{most:,}"] for name, most in limits.MAX_PIXELS_OF.items()),
        ["shortest side of a photo", f"{limits.MIN_IMAGE_SIDE_PX} pixels at least"],
        ["longest side of a photo", f"{limits.MAX_IMAGE_SIDE_PX:,} pixels"],
        ["chunks, segments, boxes, strips or tiles of a photo", f"{limits.MAX_IMAGE_PARTS:,}"],
        ["blocks of a GIF's first picture", f"{limits.MAX_GIF_BLOCKS:,}"],
        ["scans of a progressive JPEG", f"{limits.MAX_JPEG_SCANS:,}"],
        ["scans times pixels of a JPEG", f"{limits.MAX_JPEG_SCANNED_PIXELS:,}"],
        ["unpacked bytes of a strip or tile of a TIFF", f"{limits.MAX_TIFF_PART_BYTES:,}"],
        ["bytes of a BMP packed by run length", f"{limits.MAX_RUN_LENGTH_BYTES:,}"],
        ["bytes of an ICC profile; a larger one is ignored", f"{limits.MAX_PROFILE_BYTES:,}"],
        ["decoding a photo", f"{limits.MAX_DECODING_S:g} s"],
        ["wait of a large photo for others to be decoded", f"{limits.MAX_LARGE_IMAGE_WAIT_S:g} s"],
        ["bytes of large photos that wait", f"{limits.MAX_LARGE_IMAGES_BYTES:,}"],
        ["memory of a process that decodes large photos", f"{limits.MAX_DECODER_BYTES:,} bytes"],
        ["photos of a product", f"{limits.MAX_PRODUCT_IMAGES:,}"],
        ["bytes of a product's photos together", f"{limits.MAX_PRODUCT_IMAGES_BYTES:,}"],
        ["bytes of words", f"{limits.MAX_TEXT_BYTES:,}"],
        ["bytes of a product's JSON", f"{limits.MAX_PRODUCT_BYTES:,}"],
        ["characters of a product id", f"{limits.MAX_PRODUCT_ID_CHARACTERS:,}"],
        ["matches in an answer", f"{limits.MAX_TOP_K:,}"],
        ["rows in a request", f"{limits.MAX_BATCH_SIZE:,}"],
        ["bytes of a filter", f"{limits.MAX_FILTER_BYTES:,}"],
        ["values in one list of a filter", f"{limits.MAX_FILTER_VALUES:,}"],
        ["ids in one catalogue command", f"{limits.MAX_COMMAND_IDS:,}"],
    ]
    return _table(["what", "limit"], rows)


def _settings(_: EncoderSpec) -> str:
    return _table(["variable", "what it is"], [[f"`{PREFIX}{name}`", text] for name, text in VARIABLES.items()])


def _metrics(_: EncoderSpec) -> str:
    rows = [
        [
            f"`{spec.name}`",
            spec.kind.value,
            _label_values(spec),
            ", ".join(f"`{name}`" for name in spec.models),
            spec.meaning,
        ]
        for spec in METRICS
    ]
    return _table(["metric", "type", "labels besides `model`", "counted by", "what it tells"], rows)


def _label_values(spec: MetricSpec) -> str:
    labels = [f"`{name}`: {', '.join(values)}" for name, values in spec.labels.items()]
    buckets = [f"`le`: {', '.join(f'{bound:g}' for bound in spec.buckets)}"] if spec.buckets else []
    return "; ".join(labels + buckets)


TABLES: Final[Mapping[str, Callable[[EncoderSpec], str]]] = {
    "ensembles": _ensembles,
    "models": _composing,
    "tensors": _tensor_meanings,
    "options": _options,
    "limits": _limits,
    "settings": _settings,
    "metrics": _metrics,
}


def filled(text: str, encoder: EncoderSpec) -> str:
    """Return Markdown with the table between each pair of marks made anew.

    Raises:
        ConfigError: A mark names a table that does not exist.
    """

    def fill(match: re.Match[str]) -> str:
        maker = TABLES.get(match[2])
        if maker is None:
            raise ConfigError(f"`<!-- table: {match[2]} -->` names no table; known are {', '.join(TABLES)}")
        return match[1] + maker(encoder) + match[3]

    return _MARK.sub(fill, text)
