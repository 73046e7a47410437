"""FP16 graphs with FP32 islands, for TensorRT, which takes each tensor's type from the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ensemble_builder.graphs import GraphView, array, replace_nodes

MAGNITUDE_LIMIT: Final = 65504 / 16
"""Nodes that see larger values stay in FP32: a sixteenth of FP16's greatest leaves room for inputs that calibration
did not show."""

HALF_OPERATORS: Final = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Erf",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "HardSwish",
        "LayerNormalization",
        "MatMul",
        "MaxPool",
        "Mul",
        "QuantizeLinear",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Sub",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""LayerNormalization is among them because it is one node, which TensorRT computes in FP32 inside."""

_LEAST_SCALE: Final = 2.0**-14
"""FP16's least normal number: a quantisation scale below it would lose digits."""


@dataclass(frozen=True, kw_only=True)
class HalfReport:
    """How a graph was split.

    Attributes:
        half_nodes: Nodes that compute in FP16.
        islands: Names of the nodes that would be FP16 but for the magnitudes that they see.
        kept: Nodes on floats that stay FP32 by rule: pixel normalisation and the final norm.
    """

    half_nodes: int
    islands: tuple[str, ...]
    kept: int


def to_half(model: onnx.ModelProto, magnitudes: Mapping[str, float]) -> HalfReport:
    """Turn an FP32 graph into FP16, in place; inputs and outputs keep their types.

    Args:
        model: The graph.
        magnitudes: Largest magnitude of each activation, from calibration; one that is absent counts as small.

    Returns:
        How the graph was split.
    """
    view = GraphView(model)
    by_rule = _kept_by_rule(view)
    half: set[str] = set()
    islands: list[str] = []
    kept = 0
    for node in model.graph.node:
        floats = [name for name in (*node.input, *node.output) if name and view.is_float(name)]
        if not floats:
            continue
        if node.op_type not in HALF_OPERATORS or node.name in by_rule:
            kept += 1
        elif any(magnitudes.get(name, 0.0) > MAGNITUDE_LIMIT for name in floats):
            islands.append(node.name)
        else:
            half.add(node.name)
    _Rewriter(view, half).run()
    return HalfReport(half_nodes=len(half), islands=tuple(islands), kept=kept)


def _kept_by_rule(view: GraphView) -> set[str]:
    """Return the nodes before the patch convolution, and those of the final norm: few operations, all elementwise."""
    kept: set[str] = set()
    frontier = [value.name for value in view.model.graph.input]
    while frontier:
        for node in view.consumers.get(frontier.pop(), ()):
            if node.op_type in {"Cast", "Transpose", "Mul", "Add", "Sub", "Div"}:
                kept.add(node.name)
                frontier.extend(node.output)
    frontier = [value.name for value in view.model.graph.output]
    while frontier:
        producer = view.producers.get(frontier.pop())
        if producer is not None and producer.op_type in {"Div", "ReduceL2", "Expand", "Clip"}:
            kept.add(producer.name)
            frontier.extend(producer.input)
    return kept


class _Rewriter:
    """Gives each float tensor the type of the node that makes it, and casts where a reader wants the other type."""

    def __init__(self, view: GraphView, half: set[str]) -> None:
        self._view = view
        self._half = half
        self._half_tensors = {
            name for name, node in view.producers.items() if node.name in half and view.is_float(name)
        }
        self._made: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[TensorProto] = []

    def run(self) -> None:
        """Rewrite the model's nodes and weights."""
        model = self._view.model
        outputs = {value.name for value in model.graph.output}
        for node in model.graph.node:
            wanted = TensorProto.FLOAT16 if node.name in self._half else TensorProto.FLOAT
            for place, name in enumerate(node.input):
                if name and self._view.is_float(name):
                    node.input[place] = self._as(name, wanted)
            self._nodes.append(node)
            for place, name in enumerate(node.output):
                if name in outputs and name in self._half_tensors:
                    node.output[place] = f"{name}.half"
                    self._nodes.append(
                        helper.make_node("Cast", [f"{name}.half"], [name], name=f"widen {name}", to=TensorProto.FLOAT)
                    )
        model.graph.initializer.extend(self._weights)
        del model.graph.value_info[:]
        replace_nodes(model, self._nodes)

    def _as(self, name: str, wanted: int) -> str:
        """Return the name of the tensor in the wanted type, made if need be."""
        if name in self._view.initializers:
            have = TensorProto.FLOAT
        else:
            have = TensorProto.FLOAT16 if name in self._half_tensors else TensorProto.FLOAT
        if have == wanted:
            return name
        made = self._made.get((name, wanted))
        if made is None:
            made = f"{name}.{'fp16' if wanted == TensorProto.FLOAT16 else 'fp32'}"
            self._made[name, wanted] = made
            if name in self._view.initializers:
                self._weights.append(_half_weight(self._view.initializers[name], made))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [made], name=f"cast {made}", to=wanted))
        return made


def _half_weight(tensor: TensorProto, name: str) -> TensorProto:
    values = np.clip(array(tensor).astype(np.float32), -65504, 65504)
    return numpy_helper.from_array(values.astype(np.float16), name)


def least_scale(scale: float) -> float:
    """Return a quantisation scale that FP16 can hold in full."""
    return max(scale, _LEAST_SCALE)
