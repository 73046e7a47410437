"""INT8 and FP8 for TensorRT: explicit Q/DQ on the Linears, and nowhere else.

Residual additions and attention stay in FP16: quantised by default in common tools, they cost a ViT nearly all of its
accuracy (see docs/bring-your-own-clip.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ensemble_builder.calibration import Histogram
from ensemble_builder.graphs import GraphView, array, replace_nodes
from ensemble_builder.half_precision import least_scale

FP8_GREATEST: Final = 448.0
"""Of E4M3, the format for weights and activations."""


def linear_inputs(view: GraphView) -> list[str]:
    """Return the activations that would be quantised, each once."""
    return list(dict.fromkeys(node.input[0] for node in view.linears()))


def quantize_linears(model: onnx.ModelProto, precision: str, ranges: Mapping[str, Histogram]) -> int:
    """Put Q/DQ before each Linear of an FP32 graph, in place, with weights stored in the lower precision.

    Args:
        model: The graph.
        precision: "int8" (weights per output channel) or "fp8" (E4M3, weights per tensor).
        ranges: Magnitudes of each Linear's input.

    Returns:
        How many Linears there are.
    """
    view = GraphView(model)
    linears = {node.name for node in view.linears()}
    nodes: list[onnx.NodeProto] = []
    dequantized: dict[str, str] = {}
    for node in model.graph.node:
        if node.name in linears:
            for place, make in ((0, _activation), (1, _weight)):
                name = node.input[place]
                if name not in dequantized:
                    dequantized[name] = f"{name}.dequantized"
                    made, tensors = make(name, dequantized[name], precision, view, ranges)
                    nodes.extend(made)
                    model.graph.initializer.extend(tensors)
                node.input[place] = dequantized[name]
        nodes.append(node)
    replace_nodes(model, nodes)
    return len(linears)


_Made = tuple[list[onnx.NodeProto], list[TensorProto]]


def _activation(name: str, result: str, precision: str, view: GraphView, ranges: Mapping[str, Histogram]) -> _Made:
    del view
    found = ranges[name]
    scale = found.clip_for_int8() / 127 if precision == "int8" else found.largest / FP8_GREATEST
    tensors = [
        numpy_helper.from_array(np.asarray(least_scale(scale), dtype=np.float32), f"{name}.scale"),
        _zero(f"{name}.zero", precision, ()),
    ]
    names = [tensor.name for tensor in tensors]
    nodes = [
        helper.make_node("QuantizeLinear", [name, *names], [f"{name}.quantized"], name=f"quantize {name}"),
        helper.make_node("DequantizeLinear", [f"{name}.quantized", *names], [result], name=f"dequantize {name}"),
    ]
    return nodes, tensors


def _weight(name: str, result: str, precision: str, view: GraphView, ranges: Mapping[str, Histogram]) -> _Made:
    del ranges
    values = array(view.initializers[name]).astype(np.float32)  # [inputs, outputs]
    if precision == "int8":
        scales = np.maximum(np.abs(values).max(axis=0) / 127, least_scale(0.0)).astype(np.float32)
        stored = np.clip(np.round(values / scales), -127, 127).astype(np.int8)
        tensors = [
            numpy_helper.from_array(stored, f"{name}.int8"),
            numpy_helper.from_array(scales, f"{name}.scale"),
            _zero(f"{name}.zero", precision, scales.shape),
        ]
        axis: dict[str, Any] = {"axis": 1}
    else:
        scale = np.asarray(least_scale(float(np.abs(values).max()) / FP8_GREATEST), dtype=np.float32)
        tensors = [
            _fp8_tensor(values / scale, f"{name}.fp8"),
            numpy_helper.from_array(scale, f"{name}.scale"),
            _zero(f"{name}.zero", precision, ()),
        ]
        axis = {}
    names = [tensor.name for tensor in tensors]
    return [helper.make_node("DequantizeLinear", names, [result], name=f"dequantize {name}", **axis)], tensors


def _zero(name: str, precision: str, shape: tuple[int, ...]) -> TensorProto:
    if precision == "int8":
        return numpy_helper.from_array(np.zeros(shape, dtype=np.int8), name)
    return _fp8_tensor(np.zeros(shape, dtype=np.float32), name)


def _fp8_tensor(values: NDArray[np.float32], name: str) -> TensorProto:
    stored = np.clip(values, -FP8_GREATEST, FP8_GREATEST).astype(ml_dtypes.float8_e4m3fn)
    return TensorProto(
        name=name, data_type=TensorProto.FLOAT8E4M3FN, dims=stored.shape, raw_data=stored.view(np.uint8).tobytes()
    )
