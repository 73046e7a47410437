"""INT8 encoders for ONNX Runtime on the CPU: the weights of Linears only, per channel."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from product_match.contract.errors import BuildError

LINEARS: Final = ("MatMul", "Gemm")


class _Feed(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands calibration inputs to ONNX Runtime one by one."""

    def __init__(self, inputs: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next inputs, or None at the end."""
        found = next(self._inputs, None)
        return None if found is None else dict(found)


def quantize(
    source: Path, target: Path, method: str = "dynamic", calibration: Sequence[Mapping[str, NDArray[Any]]] = ()
) -> int:
    """Write an INT8 copy of an FP32 encoder.

    Weights take 7 of their 8 bits. Processors with AVX2 and no VNNI add two products of an unsigned and a signed
    byte in 16 bits: 255 x 127 x 2 does not fit in them, 255 x 64 x 2 does. So one file is right on every x86-64.

    Args:
        source: FP32 ONNX file, weights inside.
        target: The file to write.
        method: "dynamic" scales activations in each run; "static" fixes their scales from `calibration`.
        calibration: Inputs, for "static".

    Returns:
        How many Linears have INT8 weights.
    """
    with _quiet():
        if method == "dynamic":
            quantization.quantize_dynamic(
                source,
                target,
                op_types_to_quantize=list(LINEARS),
                per_channel=True,
                reduce_range=True,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        else:
            _quantize_static(source, target, calibration)
    return _quantized_linears(target)


def _quantize_static(source: Path, target: Path, calibration: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    if not calibration:
        raise BuildError("static INT8 is calibrated on photos, got none; give a folder with --photos")
    prepared = target.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _Feed(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(LINEARS),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={
                "MatMulConstBOnly": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(LINEARS),
            },
        )
    finally:
        prepared.unlink(missing_ok=True)


def _quantized_linears(path: Path) -> int:
    graph = onnx.load(str(path), load_external_data=False).graph
    int8 = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
    }
    used = {name for node in graph.node for name in node.input if name in int8}
    return len(used)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's advice on preprocessing off the console."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
