"""FP32 encoders to the precision that is served, for each target."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from ensemble_builder import embedded_int8
from ensemble_builder.calibration import histograms, magnitudes
from ensemble_builder.embeddings import Samples
from ensemble_builder.explicit_quantization import linear_inputs, quantize_linears
from ensemble_builder.export import save
from ensemble_builder.graphs import GraphView
from ensemble_builder.half_precision import to_half
from ensemble_builder.report import BuildReport
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE

logger = logging.getLogger(__name__)

PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "embedded": ("fp32", "int8"),
    "tensorrt": ("fp32", "fp16", "fp8", "int8"),
}
"""The precisions of each target."""
CALIBRATION_SAMPLES: Final = 256
"""Most photos and most texts that activation scales are taken from."""
RANGE_SAMPLES: Final = 32
"""Photos and texts that FP32 islands are found with: the largest magnitudes are few and the same in all photos."""

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Inputs of both encoders, one sample in each."""

    images: Sequence[Inputs]
    texts: Sequence[Inputs]

    @classmethod
    def of(cls, samples: Samples) -> Calibration:
        """Take what calibration needs of the samples, spread evenly."""
        pixels = samples.pixels[:: max(1, len(samples.pixels) // CALIBRATION_SAMPLES)][:CALIBRATION_SAMPLES]
        texts = samples.texts[:: max(1, len(samples.texts) // CALIBRATION_SAMPLES)][:CALIBRATION_SAMPLES]
        return cls(images=[{"pixel_values": row[None]} for row in pixels], texts=texts)


def lower_precision(
    directory: Path, target: str, precision: str, calibration: Calibration, report: BuildReport
) -> None:
    """Replace the FP32 ONNX files of a directory with ones of a lower precision.

    Args:
        directory: Holds both files.
        target: "embedded" (ONNX Runtime) or "tensorrt" (strongly typed: precision is in the graph).
        precision: One of PRECISIONS[target].
        calibration: Photos and words, preprocessed.
        report: Takes how the graphs were changed.
    """
    for file, inputs in ((IMAGE_ONNX_FILE, calibration.images), (TEXT_ONNX_FILE, calibration.texts)):
        path = directory / file
        if target == "embedded":
            report.facts[f"{path.stem}_int8_linears"] = _embedded(path)
        else:
            report.facts[f"{path.stem}_graph"] = _strongly_typed(path, precision, inputs)


def _embedded(path: Path) -> int:
    """Quantise dynamically: scales fixed on photos were neither faster nor better (docs/bring-your-own-clip.md)."""
    source = path.with_suffix(".fp32.onnx")
    path.rename(source)
    try:
        return embedded_int8.quantize(source, path)
    finally:
        source.unlink()


def _strongly_typed(path: Path, precision: str, inputs: Sequence[Inputs]) -> dict[str, Any]:
    model = onnx.load(str(path))
    view = GraphView(model)
    few = inputs[:: max(1, len(inputs) // RANGE_SAMPLES)][:RANGE_SAMPLES]
    logger.info("%s: magnitudes of activations on %d samples", path.stem, len(few))
    largest = magnitudes(model, view.float_activations(), few)
    linears = 0
    if precision in {"int8", "fp8"}:
        names = linear_inputs(view)
        logger.info("%s: scales of %d activations on %d samples", path.stem, len(names), len(inputs))
        linears = quantize_linears(model, precision, histograms(model, names, inputs))
    half = to_half(model, largest)
    onnx.checker.check_model(model)
    save(model, path)
    return {
        "fp16_nodes": half.half_nodes,
        "fp32_islands": list(half.islands),
        "fp32_by_rule": half.kept,
        "quantized_linears": linears,
        "largest_activation": float(np.max(list(largest.values()), initial=0.0)),
    }
