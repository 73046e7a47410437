"""Small real classes with the part of `triton_python_backend_utils` that the adapters use."""

from __future__ import annotations

import json
import queue
from typing import Any, ClassVar

import numpy as np


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name = name
        self._array = array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError:
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class ResponseSender:
    """Keeps what is sent, and lets a test wait for it."""

    def __init__(self) -> None:
        self.sent: queue.Queue[tuple[InferenceResponse, int]] = queue.Queue()

    def send(self, response: InferenceResponse, flags: int = 0) -> None:
        self.sent.put((response, flags))


class InferenceTrace:
    def __init__(self, context: str | None) -> None:
        self._context = context

    def get_context(self) -> str | None:
        return self._context


class InferenceRequest:
    def __init__(
        self, tensors: dict[str, np.ndarray], parameters: dict[str, Any] | None = None, request_id: str = ""
    ) -> None:
        self.tensors = {name: Tensor(name, array) for name, array in tensors.items()}
        self._parameters = parameters or {}
        self._request_id = request_id
        self.trace_context: str | None = None

    def trace(self) -> InferenceTrace:
        return InferenceTrace(self.trace_context)

    def parameters(self) -> str:
        return json.dumps(self._parameters)

    def request_id(self) -> str:
        return self._request_id

    def get_response_sender(self) -> ResponseSender:
        self.sender = ResponseSender()
        return self.sender


class InferenceResponse:
    def __init__(self, output_tensors: list[Tensor], error: TritonError | None = None) -> None:
        self._tensors = output_tensors
        self._error = error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    return request.tensors.get(name)


class TritonModelException(Exception):  # noqa: N818
    pass


class Metric:
    def __init__(self, family: MetricFamily, labels: dict[str, str]) -> None:
        self.family = family
        self.labels = labels
        self.calls = 0
        self.value = 0.0

    def increment(self, value: float) -> None:
        if value < 0:
            raise TritonModelException("a counter cannot fall")
        self.calls += 1
        self.value += value

    def set(self, value: float) -> None:
        if self.family.kind != MetricFamily.GAUGE:
            raise TritonModelException("a counter cannot be set")
        self.calls += 1
        self.value = value


class MetricFamily:
    COUNTER, GAUGE, HISTOGRAM = range(3)
    all: ClassVar[list[MetricFamily]] = []

    def __init__(self, name: str, description: str, kind: int) -> None:
        self.name, self.description, self.kind = name, description, kind
        self.metrics: list[Metric] = []
        self.all.append(self)

    def Metric(self, labels: dict[str, str]) -> Metric:  # noqa: N802
        self.metrics.append(Metric(self, labels))
        return self.metrics[-1]


class Logger:
    records: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    def log_info(cls, text: str) -> None:
        cls.records.append(("info", text))

    @classmethod
    def log_warn(cls, text: str) -> None:
        cls.records.append(("warn", text))

    @classmethod
    def log_error(cls, text: str) -> None:
        cls.records.append(("error", text))
