"""One copy of the weights: ONNX graphs that read a safetensors file beside them.

A checkpoint in FP16 and two FP32 graphs made from it are five bytes a parameter where two would do. ONNX lets an
initializer lie at an offset in another file of the same folder, and safetensors stores each tensor as plain bytes: so
a graph can read the checkpoint's own file, cast it, and ONNX Runtime folds the casts away when it loads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ensemble_builder.safetensors_files import read_safetensors_header

SHARED_WEIGHTS_FILE: Final = "weights.safetensors"
LEAST_BYTES: Final = 256
"""Smaller initializers stay in the graph."""

_NUMPY: Final[dict[str, Any]] = {"F16": np.float16, "F32": np.float32, "I8": np.int8}
_ONNX: Final = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT, "I8": TensorProto.INT8}


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """Where a tensor lies, and whether the graph wants its transpose."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int
    transposed: bool


def _key(values: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).digest()


def _stored_tensors(path: Path) -> dict[bytes, _Stored]:
    header, start = read_safetensors_header(path)
    data = np.memmap(path, dtype=np.uint8, mode="r")
    found: dict[bytes, _Stored] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in _NUMPY:
            continue
        begin, end = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end].tobytes(), dtype=_NUMPY[entry["dtype"]]).reshape(entry["shape"])
        values = values.astype(np.float32)
        place = {"dtype": entry["dtype"], "shape": values.shape, "offset": begin, "length": end - begin}
        found.setdefault(_key(values), _Stored(**place, transposed=False))
        if values.ndim == 2:
            found.setdefault(_key(values.T), _Stored(**place, transposed=True))
    return found


def share_weights(model: onnx.ModelProto, path: Path) -> int:
    """Point the graph's initializers at the tensors of a safetensors file that hold the same values.

    Args:
        model: Changed in place; its file must be saved in the folder of the weights.
        path: The safetensors file.

    Returns:
        Bytes that the graph no longer carries.
    """
    stored = _stored_tensors(path)
    kept: list[TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    saved = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        place = stored.get(_key(values)) if values.dtype == np.float32 and values.nbytes >= LEAST_BYTES else None
        if place is None:
            kept.append(tensor)
            continue
        saved += values.nbytes
        kept.append(_external(f"{tensor.name}.stored", place, path.name))
        nodes.extend(_restore(tensor.name, place))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes.extend(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return saved


def _external(name: str, place: _Stored, file: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=_ONNX[place.dtype], dims=place.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", place.offset), ("length", place.length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor


def _restore(name: str, place: _Stored) -> list[onnx.NodeProto]:
    """Return the nodes that make the FP32 tensor `name` of the stored one."""
    stored, widened = f"{name}.stored", f"{name}.widened"
    last = widened if place.transposed else name
    nodes = [helper.make_node("Cast", [stored], [last], name=f"widen {name}", to=TensorProto.FLOAT)]
    if place.transposed:
        nodes.append(helper.make_node("Transpose", [widened], [name], name=f"turn {name}", perm=[1, 0]))
    return nodes
