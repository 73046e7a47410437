"""One bad request never harms its neighbours, and nothing that happens in a handler reaches the caller as a trace."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from product_match.contract.errors import NotFoundError, UnavailableError
from product_match.contract.models import ModelSpec, Role
from product_match.contract.tensors import Dtype, TensorSpec
from product_match.triton.batches import BatchServer, bytes_column, joined_rows, split_rows
from tests.fakes import pb_utils
from tests.fakes.pb_utils import InferenceRequest

VALUE = TensorSpec(name="value", dtype=Dtype.FP32, dims=(2,), meaning="in")
EXTRA = TensorSpec(name="extra", dtype=Dtype.INT32, dims=(-1,), meaning="in", optional=True)
TOTAL = TensorSpec(name="total", dtype=Dtype.FP32, dims=(1,), meaning="out")
SPEC = ModelSpec(name="adder", role=Role.PYTHON, inputs=(VALUE, EXTRA), outputs=(TOTAL,), meaning="adds")


def row(*values: float) -> dict[str, np.ndarray]:
    return {"value": np.asarray([values], np.float32)}


def add(requests):
    joined = joined_rows(requests, "value")
    return [{"total": part} for part in split_rows(joined.sum(1, keepdims=True), requests)]


def serve(requests, handler=add, spec=SPEC):
    return BatchServer(pb_utils, spec, handler).execute(requests)


def error_of(response):
    assert response.has_error()
    return response.error().code(), response.error().message()


def test_requests_of_several_rows_are_joined_and_split():
    two = {"value": np.asarray([[1, 2], [3, 4]], np.float32)}
    first, second = serve([InferenceRequest(two), InferenceRequest(row(5, 6))])
    assert first.output_tensors()[0].as_numpy().tolist() == [[3], [7]]
    assert second.output_tensors()[0].as_numpy().tolist() == [[11]]


def test_whoever_wants_to_know_hears_of_every_failure():
    heard = []
    late = Future()

    def handler(requests):
        return [{"total": np.zeros((1, 1), np.float32)}, UnavailableError("away"), {"total": np.zeros((2, 2))}, late]

    server = BatchServer(pb_utils, SPEC, handler, failures=lambda name, error: heard.append((name, str(error))))
    named = [InferenceRequest(row(1, 2), request_id=name) for name in ("fine", "away", "misfit", "late")]
    server.execute([*named, InferenceRequest({}, request_id="empty")])
    late.set_result(NotFoundError("gone"))
    assert [name for name, _ in heard] == ["away", "misfit", "empty", "late"]
    assert [heard[0][1], heard[3][1]] == ["away", "gone"]
    assert heard[2][1] == "adder: input value is missing; send it"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (InferenceRequest({}), "adder: input value is missing; send it"),
        (InferenceRequest({"value": np.zeros((1, 3), np.float32)}), "value: expected shape [n, 2], got [1, 3]"),
        (InferenceRequest({"value": np.zeros((1, 2), np.float64)}), "value: expected FP32, got float64"),
        (InferenceRequest(row(1, 2), {"top_k": 0}), "top_k: expected a whole number"),
        (InferenceRequest(row(1, 2) | {"extra": np.zeros((1, 1, 1), np.int32)}), "extra: expected shape [n, any]"),
    ],
)
def test_a_bad_request_fails_alone(bad, words):
    good, failed, other = serve([InferenceRequest(row(1, 2)), bad, InferenceRequest(row(3, 4))])
    code, message = error_of(failed)
    assert code == pb_utils.TritonError.INVALID_ARG
    assert words in message
    assert good.output_tensors()[0].as_numpy().tolist() == [[3]]
    assert other.output_tensors()[0].as_numpy().tolist() == [[7]]


def test_none_of_the_optional_inputs_is_an_error():
    spec = ModelSpec(name="adder", role=Role.PYTHON, inputs=(EXTRA,), outputs=(TOTAL,), meaning="adds")
    (response,) = serve([InferenceRequest({})], spec=spec)
    assert "adder: none of the inputs extra came; send at least one" in error_of(response)[1]


def test_each_answer_of_a_handler_keeps_its_own_code():
    def handler(requests):
        return [NotFoundError("gone"), {"total": np.zeros((1, 1), np.float32)}]

    failed, good = serve([InferenceRequest(row(1, 2))] * 2, handler)
    assert error_of(failed) == (pb_utils.TritonError.NOT_FOUND, "[not_found] gone")
    assert not good.has_error()


def test_a_dead_store_fails_the_batch_as_unavailable():
    def handler(requests):
        raise UnavailableError("the document store is down; try again")

    for response in serve([InferenceRequest(row(1, 2))] * 2, handler):
        assert error_of(response) == (
            pb_utils.TritonError.UNAVAILABLE,
            "[unavailable] the document store is down; try again",
        )


@pytest.mark.parametrize(
    "handler",
    [
        lambda requests: 1 / 0,
        lambda requests: [],
        lambda requests: [{"total": np.zeros((1, 2), np.float32)}],
        lambda requests: [{}],
        lambda requests: [None],
    ],
)
def test_an_unexpected_failure_tells_the_caller_nothing_and_the_log_everything(handler, caplog):
    (response,) = serve([InferenceRequest(row(1, 2))], handler)
    code, message = error_of(response)
    assert code == pb_utils.TritonError.INTERNAL
    assert message == "[internal] adder: internal error; the server's log has the details"
    assert caplog.records


def test_a_request_that_cannot_be_read_fails_alone():
    class Broken(InferenceRequest):
        def parameters(self):
            raise RuntimeError("no parameters")

    failed, good = serve([Broken(row(1, 2)), InferenceRequest(row(1, 2))])
    assert error_of(failed)[0] == pb_utils.TritonError.INTERNAL
    assert not good.has_error()


def test_parameters_are_left_unread_where_a_model_takes_none():
    server = BatchServer(pb_utils, SPEC, add, options=None)
    (response,) = server.execute([InferenceRequest(row(1, 2), {"unknown": 1})])
    assert not response.has_error()


def test_a_bytes_column_keeps_trailing_zeros():
    column = bytes_column([b"a\x00", b""])
    assert column.shape == (2, 1)
    assert column[0, 0] == b"a\x00"
