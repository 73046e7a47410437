"""Stages of a batch become spans below those that Triton makes of its traced requests."""

from __future__ import annotations

import builtins
import json

import numpy as np
import pytest

from product_match.contract.errors import ConfigError
from product_match.contract.models import ModelSpec, Role
from product_match.contract.tensors import Dtype, TensorSpec
from product_match.settings import Secret, ServingSettings
from product_match.telemetry import meters
from product_match.telemetry.spans import SpanTracer, trace_endpoint
from product_match.telemetry.stages import RecordedStage, Stage, note_stage, recorded_stages
from product_match.triton.batches import BatchServer
from product_match.triton.flags import trace_flags
from product_match.triton.observation import observe, trace_parent
from tests.fakes import pb_utils
from tests.fakes.pb_utils import InferenceRequest
from tests.fakes.trace_receiver import TraceReceiver, as_text

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = json.dumps({"traceparent": f"00-{TRACE}-{PARENT}-01"})
NUMBER = TensorSpec(name="number", dtype=Dtype.FP32, dims=(1,), meaning="A number.")
SPEC = ModelSpec(name="retrieval", role=Role.PYTHON, inputs=(NUMBER,), outputs=(NUMBER,), meaning="Returns it.")


def settings(tmp_path, **changes):
    fields = {
        "encoder_directory": tmp_path,
        "mongodb_uri": Secret("mongodb://localhost"),
        "index_directory": tmp_path,
        "owner_socket": tmp_path / "socket",
        "observe": False,
    }
    return ServingSettings(**{**fields, **changes})


@pytest.fixture
def receiver():
    with TraceReceiver() as running:
        yield running


def request(context=None):
    asked = InferenceRequest({"number": np.ones((1, 1), np.float32)})
    asked.trace_context = context
    return asked


def serve(receiver, requests):
    """Answer a batch in two stages, and return once its spans are sent."""
    tracer = SpanTracer(receiver.url, "retrieval")
    search = Stage("search")

    def handle(batch):
        with search.timed():
            note_stage("join", 0.001)
        return [dict(one.tensors) for one in batch]

    responses = BatchServer(pb_utils, SPEC, handle, options=None, tracer=tracer).execute(requests)
    tracer.close()
    return responses


def test_each_traced_request_of_a_batch_has_the_spans_of_its_stages(receiver):
    other = "11111111111111111111111111111111"
    traced = [request(CONTEXT), request(), request(CONTEXT.replace(TRACE, other))]
    assert not any(response.has_error() for response in serve(receiver, traced))
    for trace in (TRACE, other):
        spans = receiver.wait_for(trace, "search", "join")
        assert len(spans) == 2
        for span in spans:
            assert span.parent == PARENT
            assert span.service == "product-match"
            assert span.attributes == {"product_match.batch_requests": "3"}
            assert span.started_ns < span.ended_ns


def test_a_batch_without_a_traced_request_makes_no_spans(receiver):
    serve(receiver, [request(), request(json.dumps({"tracestate": "x"}))])
    assert receiver.trace(TRACE) == []


def test_a_trace_reads_as_an_indented_text(receiver):
    serve(receiver, [request(CONTEXT)])
    spans = receiver.wait_for(TRACE, "search", "join")
    assert [line.split("  ")[0] for line in as_text(spans).splitlines()] == [span.name for span in spans]


def test_only_what_succeeds_is_timed_and_noted():
    stage = Stage("write")
    before = meters.REGISTRY.get_sample_value("product_match_stage_duration_seconds_count", {"stage": "write"})
    with recorded_stages() as stages:
        with stage.timed():
            pass
        with pytest.raises(ConfigError), stage.timed():
            raise ConfigError("no")
    after = meters.REGISTRY.get_sample_value("product_match_stage_duration_seconds_count", {"stage": "write"})
    assert (after - before, [one.name for one in stages]) == (1, ["write"])
    note_stage("search", 0.1)
    assert len(stages) == 1


def test_a_stage_ends_when_it_is_noted():
    with recorded_stages() as stages:
        note_stage("search", 0.25)
    (stage,) = stages
    assert stage == RecordedStage("search", stage.ended_ns - 250_000_000, stage.ended_ns)


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_a_receiver_has_the_path_of_otlp_unless_it_says_another(given, endpoint):
    assert trace_endpoint(given) == endpoint


@pytest.mark.parametrize("given", ["localhost:4318", "grpc://localhost:4317", "http://"])
def test_a_receiver_that_is_no_url_is_refused(given, tmp_path):
    words = "must be a URL of OTLP over HTTP such as http://localhost:4318, got "
    with pytest.raises(ConfigError, match=words):
        SpanTracer(given, "retrieval")
    with pytest.raises(ConfigError, match=words):
        trace_flags(settings(tmp_path, trace_url=given))


def test_what_sends_spans_may_be_absent(monkeypatch):
    real = builtins.__import__

    def absent(name, *args):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"No module named .*; run `pip install product-match\[tracing\]`"):
        SpanTracer("http://localhost:4318", "retrieval")


def test_the_flags_say_where_to_and_how_many(tmp_path):
    assert trace_flags(settings(tmp_path)) == []
    wanted = settings(tmp_path, trace_url="http://localhost:4318", trace_every=7)
    assert [str(flag) for flag in trace_flags(wanted)] == [
        "--trace-config=mode=opentelemetry",
        "--trace-config=opentelemetry,url=http://localhost:4318/v1/traces",
        "--trace-config=opentelemetry,resource=service.name=product-match",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=7",
    ]
    with pytest.raises(ConfigError, match=r"TRACE_EVERY must be 1 \(every request\) or more, got 0"):
        settings(tmp_path, trace_every=0)


def test_a_process_is_observed_as_far_as_it_is_wanted(tmp_path, receiver):
    pb_utils.MetricFamily.all.clear()
    quiet = observe(pb_utils, "retrieval", settings(tmp_path))
    quiet.close()
    assert quiet.tracer is None
    assert pb_utils.MetricFamily.all == []
    told = observe(pb_utils, "retrieval", settings(tmp_path, observe=True, trace_url=receiver.url))
    told.close()
    assert told.tracer is not None
    assert pb_utils.MetricFamily.all
    pb_utils.MetricFamily.all.clear()


def test_the_parent_of_a_request_is_what_triton_gives():
    assert trace_parent(request()) is None
    assert trace_parent(request(CONTEXT)) == f"00-{TRACE}-{PARENT}-01"
