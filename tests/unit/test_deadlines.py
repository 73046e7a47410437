"""What nobody waits for is not begun, in any model, and is counted."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from product_match.contract.errors import ExpiredError, InvalidRequestError, UnavailableError
from product_match.contract.models import ModelSpec, Role
from product_match.contract.options import MATCH_OPTIONS, header_pattern
from product_match.contract.tensors import Dtype, TensorSpec
from product_match.telemetry import meters
from product_match.triton.batches import BatchServer
from product_match.triton.deadlines import IMPLAUSIBLE_S, check_deadline
from product_match.triton.parameters import parse_deadline, parse_parameters
from product_match_client.requests import InferRequest
from product_match_client.transports import sent_parameters
from tests.fakes import pb_utils
from tests.fakes.pb_utils import InferenceRequest

NUMBER = TensorSpec(name="number", dtype=Dtype.FP32, dims=(1,), meaning="A number.")
SPEC = ModelSpec(name="retrieval", role=Role.PYTHON, inputs=(NUMBER,), outputs=(NUMBER,), meaning="Returns it.")


def expired():
    return meters.REGISTRY.get_sample_value("product_match_expired_requests_total")


def test_a_deadline_that_has_passed_is_told_of_and_counted():
    before = expired()
    words = r"deadline: it passed 2\.\d+ s ago by the server's clock, so the request was not begun; allow more time"
    with pytest.raises(ExpiredError, match=words):
        check_deadline(time.time() - 2)
    assert expired() == before + 1
    assert issubclass(ExpiredError, UnavailableError)


@pytest.mark.parametrize("left_s", [5.0, 3600.0, -IMPLAUSIBLE_S - 5, -86400.0])
def test_a_deadline_to_come_passes_and_so_does_one_of_a_clock_that_is_wrong(left_s):
    check_deadline(time.time() + left_s)
    check_deadline(None)


@pytest.mark.parametrize("options", [None, MATCH_OPTIONS])
def test_only_the_late_request_of_a_batch_is_dropped_and_no_model_is_asked_for_it(options):
    asked = []

    def handle(batch):
        asked.append(len(batch))
        return [dict(one.tensors) for one in batch]

    tensors = {"number": np.ones((1, 1), np.float32)}
    requests = [
        InferenceRequest(tensors, {"deadline": time.time() - 1, "top_k": 3}),
        InferenceRequest(tensors, {"Deadline": str(time.time() + 60)}),
    ]
    late, good = BatchServer(pb_utils, SPEC, handle, options).execute(requests)
    assert late.error().code() == pb_utils.TritonError.UNAVAILABLE
    assert not good.has_error()
    assert asked == [1]


def test_a_model_that_triton_caches_answers_late_requests_too_as_its_refusal_would_be_kept():
    cached = replace(SPEC, cached=True)
    request = InferenceRequest({"number": np.ones((1, 1), np.float32)}, {"deadline": time.time() - 1})
    handled = BatchServer(pb_utils, cached, lambda batch: [dict(one.tensors) for one in batch], None).execute(
        [request]
    )
    assert not handled[0].has_error()


def test_a_deadline_is_read_whatever_the_model_takes_and_is_no_option_of_it():
    assert parse_deadline("") is None
    assert parse_deadline('{"top_k": 3}') is None
    assert parse_deadline('{"DEADLINE": "12.5", "top_k": 3}') == 12.5
    assert parse_parameters('{"deadline": 12, "top_k": 3}', MATCH_OPTIONS) == {"top_k": 3}
    with pytest.raises(InvalidRequestError, match="deadline: expected a number from 0 to 1e"):
        parse_deadline('{"deadline": "soon"}')


def test_a_header_may_carry_it():
    assert "deadline" in header_pattern()


def test_a_clients_time_limit_becomes_its_requests_deadline():
    request = InferRequest(model="m", columns={}, output="o", parameters={"top_k": 3})
    sent = sent_parameters(request, 30.0)
    assert sent.keys() == {"top_k", "deadline"}
    assert abs(sent["deadline"] - time.time() - 30) < 5
    assert parse_deadline(json.dumps(sent)) == sent["deadline"]
