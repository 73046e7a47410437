"""What range the activations of an encoder take, on real photos and words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ensemble_builder.export import save

BINS: Final = 2048

Inputs = Mapping[str, NDArray[Any]]


class Histogram:
    """Magnitudes of one tensor, in bins whose range doubles when a larger value comes."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.top = 0.0
        self.largest = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the magnitudes of `values`."""
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        self.largest = max(self.largest, largest)
        if self.top == 0.0:
            self.top = largest or 1e-6
        while largest > self.top:
            self.counts = np.concatenate(
                [self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, dtype=np.int64)]
            )
            self.top *= 2
        found, _ = np.histogram(magnitudes, bins=BINS, range=(0.0, self.top))
        self.counts += found

    def clip_for_int8(self) -> float:
        """Return the magnitude to clip at: the one with the least mean square error over 127 steps."""
        width = self.top / BINS
        centres = (np.arange(BINS) + 0.5) * width
        best, clip = np.inf, self.largest
        for fraction in np.linspace(0.2, 1.0, 81):
            limit = fraction * self.largest
            step = limit / 127
            rounded = np.minimum(np.round(centres / step), 127) * step
            error = float((self.counts * (centres - rounded) ** 2).sum())
            if error < best:
                best, clip = error, limit
        return float(clip)


def histograms(model: onnx.ModelProto, names: Sequence[str], inputs: Iterable[Inputs]) -> dict[str, Histogram]:
    """Run an FP32 encoder and count the magnitudes of the tensors `names`."""
    found = {name: Histogram() for name in names}
    for values in _activations(model, names, inputs):
        for name, tensor in values.items():
            found[name].add(tensor)
    return found


def magnitudes(model: onnx.ModelProto, names: Sequence[str], inputs: Iterable[Inputs]) -> dict[str, float]:
    """Run an FP32 encoder and return the largest magnitude of each of the tensors `names`."""
    found = dict.fromkeys(names, 0.0)
    for values in _activations(model, names, inputs):
        for name, tensor in values.items():
            found[name] = max(found[name], float(tensor.max(initial=0.0)), -float(tensor.min(initial=0.0)))
    return found


def _activations(
    model: onnx.ModelProto, names: Sequence[str], inputs: Iterable[Inputs]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield the tensors `names` for each of the inputs."""
    if not names:
        return  # ONNX Runtime would take no names for all of the model's outputs
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    have = {value.name for value in probe.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fusion would take away the tensors that are to be seen.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "probe.onnx"
        save(probe, path)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for tensors in inputs:
            yield dict(zip(names, session.run(list(names), dict(tensors)), strict=True))
