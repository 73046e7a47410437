"""ONNX graphs: which tensors are floats, who makes them, who reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, shape_inference

from product_match.contract.errors import BuildError

LINEAR: Final = "MatMul"


class GraphView:
    """A graph's tensors by name. Read anew after nodes have been changed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Infer types and shapes.

        Raises:
            BuildError: Inference fails, so the graph is not sound.
        """
        self.model = model
        try:
            inferred = shape_inference.infer_shapes(_without_weights(model), strict_mode=True)
        except shape_inference.InferenceError as error:
            raise BuildError(f"the graph {model.graph.name} is not sound: {str(error).strip():.300}") from error
        graph = model.graph
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        self.types = {value.name: value.type.tensor_type.elem_type for value in values}
        self.ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in values}

    def is_float(self, name: str) -> bool:
        """Say whether a tensor holds FP32 numbers."""
        if name in self.initializers:
            return bool(self.initializers[name].data_type == TensorProto.FLOAT)
        return self.types.get(name) == TensorProto.FLOAT

    def float_activations(self) -> list[str]:
        """Return the FP32 tensors that nodes compute."""
        return [name for name in self.producers if self.is_float(name)]

    def linears(self) -> list[onnx.NodeProto]:
        """Return the products of a sequence [N, S, D] and a weight matrix."""
        return [
            node
            for node in self.model.graph.node
            if node.op_type == LINEAR
            and node.input[1] in self.initializers
            and len(self.initializers[node.input[1]].dims) == 2
            and self.ranks.get(node.input[0]) == 3
        ]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose large weights are inputs, so that type inference does not copy gigabytes."""
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.opset_import.extend(model.opset_import)
    copy.graph.name = model.graph.name
    copy.graph.node.extend(model.graph.node)
    copy.graph.input.extend(model.graph.input)
    copy.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 4096 or tensor.data_location == TensorProto.EXTERNAL:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            copy.graph.initializer.append(tensor)
    return copy


def array(tensor: TensorProto) -> NDArray[np.generic]:
    """Return an initializer's values."""
    values: NDArray[np.generic] = numpy_helper.to_array(tensor)
    return values


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Put `nodes`, in their order, in place of the graph's, and drop weights that nobody reads any more."""
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input} | {value.name for value in model.graph.output}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
