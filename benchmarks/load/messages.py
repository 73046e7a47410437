"""The bytes of a request on the wire, made once before it is sent: the load's own cost must stay small."""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.load.inputs import Inputs
from product_match.contract import models

GRPC_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"


class Kind(enum.Enum):
    """What a query holds."""

    IMAGE = "image"
    TEXT = "text"
    BOTH = "both"

    @property
    def model(self) -> str:
        """The ensemble that answers it."""
        return {
            Kind.IMAGE: models.PRODUCT_MATCH_IMAGE,
            Kind.TEXT: models.PRODUCT_MATCH_TEXT,
            Kind.BOTH: models.PRODUCT_MATCH,
        }[self]


Message = Callable[[int], bytes]
"""From a request's number to its bytes."""

Columns = Mapping[str, Sequence[bytes]]


def columns(kind: Kind, inputs: Inputs, number: int, rows: int = 1) -> Columns:
    """Return the input tensors of request `number`."""
    numbers = range(number * rows, (number + 1) * rows)
    found: dict[str, Sequence[bytes]] = {}
    if kind is not Kind.TEXT:
        found[models.IMAGE_BYTES.name] = [inputs.photo(place) for place in numbers]
    if kind is not Kind.IMAGE:
        found[models.QUERY_TEXT.name] = [inputs.text(place) for place in numbers]
    return found


def packed(rows: Sequence[bytes]) -> bytes:
    """Return a BYTES tensor as Triton's binary extension carries it: each row after its length."""
    return b"".join(part for row in rows for part in (struct.pack("<I", len(row)), row))


def http_message(model: str, tensors: Columns, parameters: Mapping[str, Any], host: str) -> bytes:
    """Return one HTTP request, head and body."""
    bodies = {name: packed(rows) for name, rows in tensors.items()}
    head: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "shape": [len(tensors[name]), 1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(body)},
            }
            for name, body in bodies.items()
        ],
        # No outputs by name: this Triton's ensembles fail when an output that a later step needs is not asked for.
        "parameters": {"binary_data_output": True, **parameters},
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    length = len(text) + sum(map(len, bodies.values()))
    start = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\nContent-Length: {length}\r\n\r\n"
    )
    return b"".join((start.encode(), text, *bodies.values()))


def grpc_message(model: str, tensors: Columns, parameters: Mapping[str, Any]) -> bytes:
    """Return one serialised ModelInferRequest."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model)
    for name, rows in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[len(rows), 1])
        request.raw_input_contents.append(packed(rows))
    for name, value in parameters.items():
        field = {bool: "bool_param", int: "int64_param", float: "double_param"}.get(type(value), "string_param")
        setattr(request.parameters[name], field, value)
    message: bytes = request.SerializeToString()
    return message
