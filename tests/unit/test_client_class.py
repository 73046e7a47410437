from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError, ProductMatchError, UnavailableError
from product_match_client import (
    AsyncProductMatchClient,
    FeedbackReceipt,
    FeedbackRow,
    Match,
    ProductMatchClient,
    ProductRow,
    Query,
    Receipt,
)
from product_match_client.endpoints import Endpoint, Protocol, parse_endpoint
from tests.fakes.client_transports import FakeAsyncTransport, FakeTransport

ROW = {
    "query_id": "q1",
    "encoder": "demo@1",
    "matches": [{"rank": 1, "product_id": "7", "score": 0.83, "product": {"name": "Coat"}}],
}


class Caller:
    """Calls a client's method, whichever twin it is."""

    def __init__(self, kind, answer, ready=(True,)):
        self.asynchronous = kind == "async"
        self.transport = (FakeAsyncTransport if self.asynchronous else FakeTransport)(answer, ready)

    def __call__(self, method, *arguments, **options):
        if not self.asynchronous:
            with ProductMatchClient(transport=self.transport) as client:
                return getattr(client, method)(*arguments, **options)

        async def run():
            async with AsyncProductMatchClient(transport=self.transport) as client:
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_a_match_comes_back_typed(kind):
    caller = Caller(kind, lambda request: [json.dumps(ROW).encode()])
    result = caller("match", text="coat", top_k=1)
    assert (result.query_id, result.encoder) == ("q1", "demo@1")
    assert result.matches == (Match(rank=1, product_id="7", score=0.83, product={"name": "Coat"}),)
    assert caller.transport.closed


def test_a_batch_of_queries_is_one_request(kind):
    caller = Caller(kind, lambda request: [json.dumps({**ROW, "query_id": str(n)}).encode() for n in range(2)])
    results = caller("match_batch", [Query(text="a"), Query(image=b"b")], fields=[])
    assert [result.query_id for result in results] == ["0", "1"]
    (request,) = caller.transport.requests
    assert request.model == "product_match"
    assert request.parameters == {"fields": "-"}


def test_products_come_back_as_receipts(kind):
    receipt = {"id": "7", "rev": 2, "status": "updated"}
    caller = Caller(kind, lambda request: [json.dumps(receipt).encode()] * len(request.columns["product"]))
    expected = Receipt(product_id="7", rev=2, status="updated")
    assert caller("index", {"id": "7"}, image=b"i", wait=True) == expected
    assert caller("index_batch", [ProductRow(product={"id": "7"})] * 3) == [expected] * 3


def test_a_product_with_several_photos_has_one_receipt(kind):
    def answer(request):
        ids = [json.loads(row).get("id") or json.loads(row)["image_of"] for row in request.columns["product"]]
        return [json.dumps({"id": id_, "rev": 1, "status": "created"}).encode() for id_ in ids]

    caller = Caller(kind, answer)
    assert caller("index", {"id": "7"}, image=[b"front", b"back"]).product_id == "7"
    rows = [ProductRow(product={"id": str(n)}, image=[b"photo"] * n) for n in range(4)]
    assert [receipt.product_id for receipt in caller("index_batch", rows)] == ["0", "1", "2", "3"]


def test_an_answers_token_goes_back_with_what_was_thought_of_a_product(kind):
    told = {"status": "recorded", "message": "recorded"}
    sent = []

    def answer(request):
        sent.append(request)
        return [json.dumps(told).encode()] * len(request.columns["product_id"])

    assert (
        Caller(kind, lambda _: [json.dumps({**ROW, "feedback_token": "t"}).encode()])(
            "match", text="x"
        ).feedback_token
        == "t"
    )
    caller = Caller(kind, answer)
    expected = FeedbackReceipt(status="recorded", message="recorded")
    assert caller("feedback", token="t", product_id="7", rating=9) == expected
    rows = [FeedbackRow(token="t", product_id=str(number), event="shown") for number in range(3)]
    assert caller("feedback_batch", rows) == [expected] * 3
    assert [request.model for request in sent] == ["feedback"] * 2
    assert sent[0].columns == {"feedback_token": [b"t"], "product_id": [b"7"], "feedback": [b"9"]}
    assert sent[1].columns["feedback"] == [b"shown"] * 3


def test_feedback_whose_receipt_is_not_understood_is_told(kind):
    with pytest.raises(ProductMatchError, match=r"the server's `receipt` cannot be read \(KeyError\('status'\)"):
        Caller(kind, lambda request: [b"{}"])("feedback", token="t", product_id="1", event="click")


def test_events_come_in_pages_and_a_person_is_forgotten(kind):
    asked = []

    def answer(request):
        asked.append(json.loads(request.columns["command"][0]))
        forgets = asked[-1]["operation"] == "forget"
        return [
            json.dumps({"removed": {"events": 2}} if forgets else {"events": [{"id": "1"}], "next": "n"}).encode()
        ]

    caller = Caller(kind, answer)
    page = caller("events", "feedback", after="a", since=7.9, limit=5)
    assert (page.events, page.next) == (({"id": "1"},), "n")
    caller("events")
    assert caller("forget_person", "customer-7") == {"events": 2}
    assert asked == [
        {"operation": "events", "collection": "feedback", "after": "a", "since": 7, "limit": 5},
        {"operation": "events", "collection": "events", "after": "", "since": 0},
        {"operation": "forget", "person": "customer-7"},
    ]


def test_a_catalogue_command_answers_an_object(kind):
    assert Caller(kind, lambda request: [b'{"count": 3}'])("catalogue", {"operation": "count"}) == {"count": 3}


@pytest.mark.parametrize("rows", [[], [json.dumps(ROW).encode()] * 2])
def test_another_number_of_rows_than_asked_for_is_told(kind, rows):
    caller = Caller(kind, lambda request: rows)
    with pytest.raises(ProductMatchError, match=f"the server answered 1 rows with {len(rows)}; use a server of this"):
        caller("match", text="x")


@pytest.mark.parametrize("answer", [b"", b"\xff", b"[]", b"{}", b'{"query_id": 1, "encoder": 2, "matches": [3]}'])
def test_an_answer_that_is_not_understood_is_told(kind, answer):
    with pytest.raises(ProductMatchError, match=r"the server's `matches` cannot be read \(.*; use a server of this"):
        Caller(kind, lambda request: [answer])("match", text="x")


def test_a_receipt_that_is_not_understood_is_told(kind):
    with pytest.raises(ProductMatchError, match=r"the server's `receipt` cannot be read \(KeyError\('id'\)"):
        Caller(kind, lambda request: [b"{}"])("index", {"id": "1"})


def test_waiting_returns_once_the_server_is_ready(kind):
    caller = Caller(kind, lambda request: [], ready=(False, True))
    caller("wait_ready", 60)
    assert caller("is_ready") is True


def test_waiting_for_a_server_that_never_is_ready_ends(kind):
    with pytest.raises(
        UnavailableError, match=r"http://localhost:8000 is not ready after 0 s; see its log, or start"
    ):
        Caller(kind, lambda request: [], ready=(False,))("wait_ready", 0)


def test_options_are_checked_before_anything_is_sent(kind):
    caller = Caller(kind, lambda request: [])
    with pytest.raises(InvalidRequestError):
        caller("match", text="x", top_k=0)
    assert caller.transport.requests == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:8000", Endpoint(protocol=Protocol.HTTP, address="localhost:8000")),
        ("localhost", Endpoint(protocol=Protocol.HTTP, address="localhost:8000")),
        ("http://host:1/base/", Endpoint(protocol=Protocol.HTTP, address="host:1/base")),
        ("https://host", Endpoint(protocol=Protocol.HTTP, address="host:8000", secure=True)),
        ("grpc://host", Endpoint(protocol=Protocol.GRPC, address="host:8001")),
        ("grpcs://[::1]:9", Endpoint(protocol=Protocol.GRPC, address="[::1]:9", secure=True)),
    ],
)
def test_an_address_names_protocol_host_and_port(url, expected):
    assert parse_endpoint(url) == expected
    assert parse_endpoint(expected.url) == expected


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "host:port", "host:99999", "http://", "grpc://host/path", "http://a:b@host", "host?x=1"]
)
def test_something_else_than_an_address_is_refused(url):
    with pytest.raises(ConfigError, match="is not the address of a server; write host:port, http://host:port"):
        parse_endpoint(url)


def test_the_client_needs_no_server_code_and_nothing_heavy():
    program = (
        "import sys, product_match_client\n"
        "product_match_client.ProductMatchClient('localhost:8000').close()\n"
        "product_match_client.ProductMatchClient('grpc://localhost:8001').close()\n"
        "print(' '.join(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert not {name.partition(".")[0] for name in loaded} & {
        "torch", "PIL", "onnxruntime", "tokenizers", "pymongo", "qdrant_client", "qdrant_edge", "orjson", "tensorrt",
        "triton_python_backend_utils", "pyarrow",
    }  # fmt: skip
    ours = {name for name in loaded if name.startswith("product_match.")}
    assert {name.split(".")[1] for name in ours} == {"contract"}
