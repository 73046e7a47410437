"""Serves one Triton batch: reads and checks each request, makes one call, answers each request on its own."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import InvalidRequestError, ProductMatchError, unforeseen, wire_text
from product_match.contract.metrics import ERROR_CODES
from product_match.contract.models import ModelSpec
from product_match.contract.options import ALL_OPTIONS, OptionSpec
from product_match.contract.tensors import TensorSpec
from product_match.telemetry.log_lines import answering
from product_match.telemetry.meters import FAILED_REQUESTS
from product_match.telemetry.spans import SpanTracer
from product_match.telemetry.stages import recorded_stages
from product_match.triton.access import ANYBODY, Caller, Gate
from product_match.triton.deadlines import check_deadline
from product_match.triton.logs import REQUESTS, RequestLog
from product_match.triton.observation import trace_parent
from product_match.triton.parameters import parse_deadline, parse_parameters
from product_match.triton.process import end_given_up
from product_match.triton.waiting import triton_wait

LOGGER = logging.getLogger(__name__)

_FAILED: Final = {code: FAILED_REQUESTS.labels(code) for code in ERROR_CODES}

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """One request of a Triton batch, checked.

    Attributes:
        tensors: Input tensors by name, batch axis first; an optional input that did not come is absent.
        parameters: Options by name, as `parse_parameters` returns them.
        request_id: What the client named the request; may be empty.
        caller: Who asks, and what they may do.
    """

    tensors: Tensors
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    caller: Caller = ANYBODY

    @cached_property
    def name(self) -> str:
        """What answers are named after: the request, or by chance where it has no name."""
        return self.request_id or uuid.uuid4().hex

    @property
    def rows(self) -> int:
        """Rows in the request."""
        return len(next(iter(self.tensors.values())))


Answer = Tensors | ProductMatchError
"""The output tensors of one request, or what is wrong with it."""

Handler = Callable[[Sequence[BatchRequest]], Sequence[Answer | Future[Answer]]]
"""Answers a batch; a future is answered when it has its result, and holds up no other request and no other batch."""


FailureNotes = Callable[[str, ProductMatchError], None]
"""Hears of each request that is refused or fails: what the client named it, and why."""


class BatchServer:
    """Answers Triton batches of one model with a handler that sees only checked requests."""

    def __init__(
        self,
        pb_utils: Any,
        spec: ModelSpec,
        handler: Handler,
        options: Sequence[OptionSpec] | None = ALL_OPTIONS,
        failures: FailureNotes | None = None,
        tracer: SpanTracer | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Serve `spec`; make it in the process that serves, before the first batch.

        Args:
            pb_utils: Triton's module.
            spec: The model.
            handler: Answers its batches.
            options: What its requests take; None leaves parameters unread (encoders take none of their own).
            failures: Hears of requests that fail; None where nobody does.
            tracer: Makes spans of what is done for traced requests; None where none are wanted.
            gate: Asks for keys; None where everybody may do everything.
        """
        self._tracer, self._gate = tracer, gate
        self._request_log = RequestLog()
        self._failures = failures
        self._pb_utils = pb_utils
        self._spec = spec
        self._handler = handler
        self._options = options
        self._wait = triton_wait()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch; never raises.

        Args:
            requests: Triton's InferenceRequest objects.

        Returns:
            One InferenceResponse for each request, in order; None for one that is answered later. A bad request gets
            its own error; its neighbours succeed. An unexpected failure answers INTERNAL without details, and its
            trace goes to the log.
        """
        names = [request.request_id() for request in requests]
        started = time.perf_counter()
        with answering(names):
            responses = self._traced(requests)
        if REQUESTS.isEnabledFor(logging.DEBUG):
            milliseconds = round((time.perf_counter() - started) * 1000, 3)
            for name in names:
                REQUESTS.debug("answered", extra={"request": name, "milliseconds": milliseconds})
        return responses

    def _traced(self, requests: Sequence[Any]) -> list[Any]:
        parents = [] if self._tracer is None else [parent for parent in map(trace_parent, requests) if parent]
        if self._tracer is None or not parents:
            return self._executed(requests)
        with recorded_stages() as stages:
            responses = self._executed(requests)
        self._tracer.record(parents, stages, {"product_match.batch_requests": len(requests)})
        return responses

    def _executed(self, requests: Sequence[Any]) -> list[Any]:
        self._end_if_given_up()
        answers: list[Answer | Future[Answer] | None] = [None] * len(requests)
        good: list[BatchRequest] = []
        places: list[int] = []
        for place, request in enumerate(requests):
            try:
                good.append(self._read(request))
                places.append(place)
            except ProductMatchError as error:
                answers[place] = error
            except Exception:
                answers[place] = self._unexpected("a request could not be read")
        # From here on what was read is this process's own, and whole.
        self._end_if_given_up()
        if good:
            for place, answer in zip(places, self._handle(good), strict=True):
                answers[place] = answer
        responses = [
            self._response_or_none(request, answer) for request, answer in zip(requests, answers, strict=True)
        ]
        self._end_if_given_up()
        return responses

    def _response_or_none(self, request: Any, answer: Answer | Future[Answer] | None) -> Any:
        """Return the response; None for what comes later, which is sent by whoever ends it."""
        request_id = request.request_id()
        if not isinstance(answer, Future):
            return self._response(request_id, answer)
        sender = request.get_response_sender()

        def send(done: Future[Answer]) -> None:
            try:
                sender.send(
                    self._response(request_id, done.result()),
                    flags=self._pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
                )
            except Exception:
                # Whoever asked has gone, or so has Triton.
                unforeseen(LOGGER, f"{self._spec.name}: a late answer could not be sent")

        answer.add_done_callback(send)
        return None

    def _end_if_given_up(self) -> None:
        if self._wait is not None and self._wait.over():
            end_given_up(self._spec.name)

    def _read(self, request: Any) -> BatchRequest:
        given = request.parameters()
        # First of all: nothing is spent on what nobody waits for. Not where Triton's cache may answer: it would keep
        # the refusal (2.51), as an answer without tensors, for whoever sends the same later.
        if not self._spec.cached:
            check_deadline(parse_deadline(given))
        tensors: Tensors = {}
        for spec in self._spec.inputs:
            tensor = self._pb_utils.get_input_tensor_by_name(request, spec.name)
            if tensor is not None:
                # A copy: Triton uses the memory for other requests if it gives this one up.
                tensors[spec.name] = _checked(spec, tensor.as_numpy()).copy()
            elif not spec.optional:
                raise InvalidRequestError(f"{self._spec.name}: input {spec.name} is missing; send it")
        if not tensors:
            names = ", ".join(spec.name for spec in self._spec.inputs)
            raise InvalidRequestError(f"{self._spec.name}: none of the inputs {names} came; send at least one")
        rows = len(next(iter(tensors.values())))
        caller = ANYBODY if self._gate is None else self._gate.admit(given, rows)
        parameters = {} if self._options is None else parse_parameters(given, self._options)
        return BatchRequest(tensors=tensors, parameters=parameters, request_id=request.request_id(), caller=caller)

    def _handle(self, requests: Sequence[BatchRequest]) -> Sequence[Answer | Future[Answer]]:
        try:
            answers = self._handler(requests)
            if len(answers) != len(requests):
                raise RuntimeError(f"{len(answers)} answers to {len(requests)} requests")
            return answers
        except ProductMatchError as error:
            return [error] * len(requests)
        except Exception:
            return [self._unexpected("a batch failed")] * len(requests)

    def _unexpected(self, what: str) -> ProductMatchError:
        return ProductMatchError(f"{self._spec.name}: {unforeseen(LOGGER, f'{self._spec.name}: {what}')}")

    def _response(self, request_id: str, answer: Answer | None) -> Any:
        if isinstance(answer, dict):
            try:
                tensors = [
                    self._pb_utils.Tensor(spec.name, _checked(spec, answer[spec.name])) for spec in self._spec.outputs
                ]
                return self._pb_utils.InferenceResponse(output_tensors=tensors)
            except Exception:
                answer = self._unexpected("an answer does not fit its declaration")
        error = answer if answer is not None else self._unexpected("a request has no answer")
        _FAILED[error.triton_code].inc()
        self._request_log.failed(request_id, error)
        if self._failures is not None:
            self._failures(request_id, error)
        code = getattr(self._pb_utils.TritonError, error.triton_code)
        return self._pb_utils.InferenceResponse(
            output_tensors=[], error=self._pb_utils.TritonError(wire_text(error), code)
        )


def _checked(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    if not spec.accepts(array.shape):
        raise InvalidRequestError(f"{spec.name}: expected shape [n, {_dims(spec)}], got {list(array.shape)}")
    if array.dtype != spec.dtype.numpy:
        raise InvalidRequestError(f"{spec.name}: expected {spec.dtype.value}, got {array.dtype}")
    return array


def _dims(spec: TensorSpec) -> str:
    return ", ".join("any" if dim == -1 else str(dim) for dim in spec.dims)


def split_rows(array: NDArray[Any], requests: Sequence[BatchRequest]) -> list[NDArray[Any]]:
    """Split rows that were computed together back to their requests."""
    ends = np.cumsum([request.rows for request in requests])[:-1]
    return np.split(array, ends)


def joined_rows(requests: Sequence[BatchRequest], name: str) -> NDArray[Any]:
    """Join one tensor of several requests along the batch axis; a single request's array is not copied."""
    arrays = [request.tensors[name] for request in requests]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def bytes_column(rows: Sequence[bytes]) -> NDArray[np.object_]:
    """Return rows as a BYTES tensor [n, 1]."""
    column = np.empty((len(rows), 1), np.object_)
    column[:, 0] = rows
    return column
