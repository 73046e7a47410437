from __future__ import annotations

import asyncio
import json

import pytest

from product_match.contract.errors import ProductMatchError
from product_match_client import AsyncProductMatchClient, ProductMatchClient
from tests.fakes.client_transports import FakeAsyncTransport, FakeTransport


class Catalogue:
    """Answers catalogue commands from a list, and keeps what came."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.commands = []

    def __call__(self, request):
        self.commands.append(json.loads(request.columns["command"][0]))
        return [json.dumps(self.answers.pop(0)).encode()]


@pytest.fixture(params=["sync", "async"])
def call(request):
    def run(catalogue, method, *arguments, **options):
        if request.param == "sync":
            client = ProductMatchClient(transport=FakeTransport(catalogue))
            return getattr(client, method)(*arguments, **options)
        twin = AsyncProductMatchClient(transport=FakeAsyncTransport(catalogue))
        return asyncio.run(getattr(twin, method)(*arguments, **options))

    return run


def test_products_are_read_a_thousand_at_a_time(call):
    catalogue = Catalogue({"products": [{"id": "a"}]}, {"products": [{"id": "b"}]})
    assert call(catalogue, "get", [str(number) for number in range(1500)]) == [{"id": "a"}, {"id": "b"}]
    assert [len(command["ids"]) for command in catalogue.commands] == [1000, 500]


def test_nothing_is_asked_for_no_products(call):
    for method in ("get", "hashes", "images", "delete"):
        assert not call(Catalogue(), method, [])


@pytest.mark.parametrize(("method", "operation"), [("list_products", "list"), ("export_products", "export")])
def test_a_page_says_where_the_next_starts(call, method, operation):
    catalogue = Catalogue({"products": [{"id": "a"}], "next": "a"}, {"products": [], "next": None})
    page = call(catalogue, method, {"color": "red"}, after="0", limit=1)
    assert (page.products, page.next) == (({"id": "a"},), "a")
    assert call(catalogue, method).next is None
    assert catalogue.commands == [
        {"operation": operation, "after": "0", "limit": 1, "filter": {"color": "red"}},
        {"operation": operation, "after": "", "limit": 100},
    ]


def test_photos_that_did_not_fit_are_asked_for_again(call):
    catalogue = Catalogue({"images": {"a": "x"}, "left": ["b"]}, {"images": {"b": "y"}, "left": []})
    assert call(catalogue, "images", ["a", "b"]) == {"a": "x", "b": "y"}
    assert [command["digests"] for command in catalogue.commands] == [["a", "b"], ["b"]]


def test_a_server_that_reads_no_photo_is_not_asked_for_ever(call):
    with pytest.raises(
        ProductMatchError, match=r"the server's `left` cannot be read \(no photo was read\); use a server"
    ):
        call(Catalogue({"images": {}, "left": ["a"]}), "images", ["a"])


def test_products_are_counted(call):
    catalogue = Catalogue({"count": 3}, {"count": 1})
    assert (call(catalogue, "count"), call(catalogue, "count", {"color": "red"})) == (3, 1)
    assert catalogue.commands == [{"operation": "count"}, {"operation": "count", "filter": {"color": "red"}}]


def test_hashes_and_deletes_go_ten_thousand_at_a_time(call):
    ids = [str(number) for number in range(12_000)]
    catalogue = Catalogue({"hashes": {"1": "x"}}, {"hashes": {"2": "y"}})
    assert call(catalogue, "hashes", ids) == {"1": "x", "2": "y"}
    assert [len(command["ids"]) for command in catalogue.commands] == [10_000, 2_000]
    catalogue = Catalogue({"deleted": 10_000}, {"deleted": 5})
    assert call(catalogue, "delete", ids, wait=True) == 10_005
    assert [command["wait"] for command in catalogue.commands] == [True, True]


def test_a_filter_deletes_until_nothing_is_left(call):
    catalogue = Catalogue({"deleted": 10_000, "more": True}, {"deleted": 7, "more": False})
    assert call(catalogue, "delete_matching", {"color": "red"}) == 10_007
    assert call(Catalogue({"deleted": 0, "more": True}), "delete_matching", {"color": "red"}) == 0


def test_updates_answer_for_each_product(call):
    catalogue = Catalogue({"results": [{"id": "1", "status": "updated"}]})
    assert call(catalogue, "update", [{"id": "1", "price": 2}]) == [{"id": "1", "status": "updated"}]
    assert catalogue.commands == [{"operation": "update", "products": [{"id": "1", "price": 2}], "wait": False}]


def test_a_comparison_is_continued_to_its_end(call):
    catalogue = Catalogue(
        {"done": False, "report": {"documents": 1}, "continue": {"at": 1}},
        {"done": True, "report": {"documents": 2}, "continue": None},
    )
    assert call(catalogue, "verify", repair=True) == {"documents": 2}
    assert catalogue.commands == [
        {"operation": "verify", "repair": True},
        {"operation": "verify", "repair": True, "continue": {"at": 1}},
    ]


def test_rebuild_status_and_drop_are_one_command_each(call):
    catalogue = Catalogue({"rebuild": {"state": "running"}}, {"points": 3}, {"dropped": 3})
    assert call(catalogue, "rebuild") == {"state": "running"}
    assert call(catalogue, "status") == {"points": 3}
    assert call(catalogue, "drop", "products") == {"dropped": 3}
    assert catalogue.commands[-1] == {"operation": "drop", "confirm": "products"}


def test_a_change_of_encoder_is_one_command(call):
    catalogue = Catalogue({"reindex": {"state": "requested"}}, {"reindex": {"state": "done"}})
    assert call(catalogue, "reindex", "/encoders/new") == {"state": "requested"}
    assert call(catalogue, "rollback") == {"state": "done"}
    assert catalogue.commands == [{"operation": "reindex", "encoder": "/encoders/new"}, {"operation": "rollback"}]


def test_an_answer_of_another_shape_is_told(call):
    with pytest.raises(
        ProductMatchError, match=r"the server's `count` cannot be read \(int was expected, str came\); use"
    ):
        call(Catalogue({"count": "many"}), "count")
