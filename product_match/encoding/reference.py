"""Whether encoders give, on the processor that serves, the embeddings that the build measured.

A build that passes on one machine proves nothing on another: ONNX Runtime multiplies INT8 in other ways on processors
without VNNI, and a TensorRT engine exists only on the GPU that it was built on. So a build leaves a few inputs and
their FP32 embeddings behind, and each server compares when it starts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.contract.models import ModelSpec

logger = logging.getLogger(__name__)

REFERENCE_FILE: Final = "reference.npz"
SERVED_LIMITS: Final[Mapping[str, float]] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99, "fp8": 0.99}
"""Least cosine of each sample with FP32, where the build has not measured less."""
LESS_THAN_BUILT: Final = 0.02
"""How far below the build's own cosine INT8 and FP8 may fall: kernels differ a little, and saturation does a lot."""
BUDGET_S: Final = 0.3
"""Rows are encoded until this time is spent; one is always."""
OUTCOME_FILE: Final = "{model}_{revision}_against_fp32.json"

Encode = Callable[[Mapping[str, NDArray[np.generic]]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a comparison found.

    Attributes:
        encoder: Identity of the encoder.
        model: "image_encoder" or "text_encoder".
        precision: Of the encoder.
        processor: What encodes: a processor with its features, or a GPU.
        lowest_cosine: Of a sample with FP32.
        limit: What it must reach.
        samples: How many were compared.
    """

    encoder: str
    model: str
    precision: str
    processor: str
    lowest_cosine: float
    limit: float
    samples: int

    @property
    def passed(self) -> bool:
        """Whether the encoder may be served; False for NaN too."""
        return self.lowest_cosine >= self.limit


def served_limit(precision: str, built: float) -> float:
    """Return the least cosine that may be served, where the build itself measured `built` on the same samples."""
    usual = SERVED_LIMITS[precision]
    return usual if precision in {"fp32", "fp16"} else round(min(usual, built - LESS_THAN_BUILT), 4)


def read_reference(directory: Path) -> dict[str, NDArray[Any]] | None:
    """Read the inputs and embeddings that a build left behind; None where it left none.

    Raises:
        ConfigError: The file is damaged.
    """
    path = directory / REFERENCE_FILE
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); build the encoder directory again") from error


def compare(
    reference: Mapping[str, NDArray[Any]],
    model: ModelSpec,
    encoder: EncoderSpec,
    encode: Encode,
    processor: str,
    budget_s: float = BUDGET_S,
) -> Outcome:
    """Encode the reference inputs of one model, and compare.

    Args:
        reference: From `read_reference`.
        model: Which encoder.
        encoder: Its declaration.
        encode: Runs it.
        processor: What it runs on, for the outcome.
        budget_s: Time after which no further row is encoded.
    """
    output = model.outputs[0].name
    wanted = reference[output]
    started = time.perf_counter()
    cosines: list[float] = []
    for row in range(len(wanted)):
        found = encode({tensor.name: reference[tensor.name][row : row + 1] for tensor in model.inputs})
        cosines.append(float(found[0] @ wanted[row]))
        if time.perf_counter() - started > budget_s:
            break
    built = reference.get(f"{output}_built")
    return Outcome(
        encoder=encoder.identity,
        model=model.name,
        precision=encoder.precision,
        processor=processor,
        lowest_cosine=round(float(np.min(cosines)), 6),
        limit=served_limit(encoder.precision, 1.0 if built is None else float(built)),
        samples=len(cosines),
    )


def check(directory: Path, model: ModelSpec, encoder: EncoderSpec, encode: Encode, processor: str) -> Outcome | None:
    """Compare an encoder that is about to be served; None where the build left nothing to compare with.

    Raises:
        ConfigError: It gives other embeddings here than FP32 does.
    """
    reference = read_reference(directory)
    if reference is None:
        logger.warning("%s has no %s, so %s is served unchecked", directory, REFERENCE_FILE, model.name)
        return None
    outcome = compare(reference, model, encoder, encode, processor)
    if not outcome.passed:
        raise ConfigError(refusal(outcome))
    logger.info(
        "%s in %s on %s: lowest cosine with FP32 %.6f of %d samples, limit %g",
        *(outcome.model, outcome.precision, outcome.processor, outcome.lowest_cosine, outcome.samples, outcome.limit),
    )
    return outcome


def refusal(outcome: Outcome) -> str:
    """Return the sentence that refuses an encoder."""
    return (
        f"{outcome.model} of {outcome.encoder} in {outcome.precision} gives other embeddings on {outcome.processor} "
        f"than it should: the lowest cosine with FP32 is {outcome.lowest_cosine:.5f}, must be >= {outcome.limit}; "
        "serve an FP32 build here, or build on this machine"
    )


def record(outcome: Outcome, place: Path | None) -> None:
    """Write an outcome where `recorded` finds it; nothing where there is no place."""
    if place is None:
        return
    path = _outcome_path(place, outcome.model, outcome.encoder)
    partial = path.with_suffix(".partial")
    try:
        place.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(outcome)) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        logger.warning("what the comparison with FP32 found cannot be written to %s (%s)", path, error)


def recorded(place: Path | None, models: tuple[str, ...], encoder: str) -> dict[str, dict[str, Any]]:
    """Return the outcomes of an encoder's models that were written, by model."""
    found: dict[str, dict[str, Any]] = {}
    if place is None:
        return found
    for model in models:
        try:
            outcome = json.loads(_outcome_path(place, model, encoder).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(outcome, dict):
            found[model] = outcome
    return found


def _outcome_path(place: Path, model: str, encoder: str) -> Path:
    return place / OUTCOME_FILE.format(model=model, revision=encoder.rpartition("@")[2])
