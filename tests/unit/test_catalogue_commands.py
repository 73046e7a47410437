"""The commands of the model `catalogue`, on a catalogue over Qdrant Edge and one over a Qdrant server."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import threading
import time

import pytest

from product_match.catalogue import commands
from product_match.catalogue.commands import perform
from product_match.catalogue.opening import open_for_retrieval, open_for_writing
from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, NotFoundError
from product_match.contract.filters import read_filter
from product_match.contract.products import content_hash
from product_match.encoder_change.requests import read_change
from product_match.index.applier import Applier
from product_match.settings import VectorIndexKind
from product_match.vectors.server_collections import ServerCollections
from product_match.vectors.vector_index import VectorPoint, VectorQuery
from tests.fakes.catalogues import image_digest, points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.qdrant_server import FakeQdrant

NO_EVENTS = None
"""None of these commands looks at them; tests/unit/test_event_commands.py has those that do."""


@pytest.fixture(params=["edge", "server"])
def both(request, catalogue_settings):
    """A catalogue as `catalogue` has it, and the one of `retrieval` beside it."""
    settings, encoder = catalogue_settings, encoder_spec()
    with FakeQdrant() as qdrant:
        if request.param == "server":
            settings = dataclasses.replace(
                settings, vector_index=VectorIndexKind.SERVER, qdrant_url=qdrant.address, store_timeout_s=5.0
            )
        retrieval = open_for_retrieval(settings, encoder)
        writing = open_for_writing(settings, encoder)
        yield writing, retrieval
        writing.close()
        retrieval.close()


@pytest.fixture
def catalogue(both):
    return both[0]


def do(catalogue, operation, **arguments):
    answer = perform(catalogue, json.dumps({"operation": operation, **arguments}).encode(), NO_EVENTS)
    return json.loads(json.dumps(answer))


def fill(catalogue, count=9):
    revs = write_all(catalogue.documents, *(product_write(n) for n in range(count)))
    assert catalogue.owner.wait_applied(revs, 30) == {}


def found(both, number, **conditions):
    query = VectorQuery(
        vector_name="image",
        vector=unit_vector(number),
        limit=1,
        filter=read_filter(conditions) if conditions else None,
    )
    ((*hits,),) = both[1].index.search([query])
    return [hit.id for hit in hits]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (b"\xff", "command: not valid JSON in UTF-8"),
        (b"[]", "command: expected a JSON object such as"),
        (b"{}", "`operation` is None; known operations are get, list, export"),
        (b'{"operation": ["get"]}', "`operation` is \\['get'\\]"),
        (b'{"operation": "explode"}', "`operation` is 'explode'; known operations are get, list"),
        (b'{"operation": "count", "fliter": {}}', "count: unknown argument 'fliter'; known arguments are filter"),
        (b'{"operation": "status", "x": 1}', "status: unknown argument 'x'; known arguments are none"),
        (b'{"operation": "count", "filter": {"size": 1}}', "filter: `size` cannot be filtered on"),
        (b'{"operation": "get"}', "get: ids must be a list of at least one, got nothing"),
        (b'{"operation": "get", "ids": []}', r"get: ids must be a list of at least one, got \[\]"),
        (b'{"operation": "get", "ids": "p1"}', "get: ids must be a list of at least one, got 'p1'"),
        (b'{"operation": "get", "ids": [1.5]}', "get: ids must hold ids in plain text, got 1.5"),
        (b'{"operation": "get", "ids": ["\\ud800"]}', "get: ids must hold ids in plain text"),
        (b'{"operation": "list", "limit": 0}', "list: limit must be a whole number from 1 to 1000, got 0"),
        (b'{"operation": "list", "limit": true}', "list: limit must be a whole number from 1 to 1000, got True"),
        (b'{"operation": "list", "after": 5}', "list: after must be a string, got 5"),
        (b'{"operation": "update", "products": [5]}', "update: products must hold JSON objects, got int"),
        (b'{"operation": "delete", "ids": ["p1"], "wait": 1}', "delete: wait must be true or false, got 1"),
        (b'{"operation": "delete", "filter": {}}', "an empty filter fits every product; use `drop`"),
        (b'{"operation": "verify", "continue": 5}', "`continue` must be the object of the answer before"),
        (b'{"operation": "rules", "set": {}}', "rules: set must be a list of at least one rule, got {}"),
        (
            b'{"operation": "rules", "set": [{"id": "a"}, {"id": "a"}]}',
            "rules: the rule a stands twice; give each",
        ),
        (b'{"operation": "rules", "remove": "a"}', "rules: remove must be a list of rules' ids, got 'a'"),
        (b'{"operation": "drop"}', 'to confirm, send the name of the collection: "confirm": "products_'),
    ],
)
def test_a_command_that_is_not_understood_is_refused_with_what_to_do(catalogue, command, words):
    with pytest.raises(InvalidRequestError, match=words):
        perform(catalogue, command, NO_EVENTS)


def test_a_command_longer_than_the_limit_is_refused(catalogue):
    with pytest.raises(InvalidRequestError, match="the limit is 16,777,216; send several commands"):
        perform(catalogue, b" " * (limits.MAX_COMMAND_BYTES + 1), NO_EVENTS)


def test_more_ids_than_the_limit_are_refused(catalogue):
    with pytest.raises(InvalidRequestError, match="hashes: ids has 10,001 entries, the limit is 10,000"):
        do(catalogue, "hashes", ids=[str(n) for n in range(10_001)])


def test_products_are_got_by_id_in_the_order_asked_and_unknown_ids_are_named(catalogue):
    fill(catalogue)
    answer = do(catalogue, "get", ids=["p2", "nobody", "p1", 7])
    assert [product["id"] for product in answer["products"]] == ["p2", "p1"]
    assert answer["unknown"] == ["nobody", "7"]
    first = answer["products"][0]
    assert first["product"] == product_write(2).product
    assert (first["rev"], first["pending"], first["encoder"]) == (1, False, "tiny@0123456789ab")
    assert first["content_hash"] == product_write(2).content_hash()
    assert "image_embeds" not in json.dumps(answer)


def test_getting_only_unknown_products_is_not_found(catalogue):
    with pytest.raises(NotFoundError, match="get: none of the 2 products is in the catalogue, the first is nobody"):
        do(catalogue, "get", ids=["nobody", "no one"])


def test_pages_of_a_list_hold_every_product_once(catalogue):
    fill(catalogue)
    listed, after = [], ""
    while after is not None:
        answer = do(catalogue, "list", limit=4, after=after)
        listed += [product["id"] for product in answer["products"]]
        after = answer["next"]
    assert listed == [f"p{n}" for n in range(9)]
    assert [p["id"] for p in do(catalogue, "list", filter={"category": "Hats"})["products"]] == ["p1", "p4", "p7"]


def test_a_list_that_would_be_too_long_is_cut_and_goes_on(catalogue, monkeypatch):
    fill(catalogue, 3)
    monkeypatch.setattr(commands, "MAX_ANSWER_BYTES", 100)
    first = do(catalogue, "list")
    assert [product["id"] for product in first["products"]] == ["p0"]
    assert first["next"] == "p0"


def test_an_export_carries_what_a_load_elsewhere_needs(catalogue):
    fill(catalogue, 1)
    (entry,) = do(catalogue, "export")["products"]
    write = product_write(0)
    assert entry["product"] == write.product
    assert entry["query_text"] == write.query_text
    assert entry["image_sha256"] == image_digest(*write.photos)
    answer = do(catalogue, "images", digests=[entry["image_sha256"], "unknown"])
    assert [base64.b64decode(photo) for photo in answer["images"][entry["image_sha256"]]] == write.photos
    assert (answer["unknown"], answer["left"]) == (["unknown"], [])


def test_an_export_carries_all_photos_of_a_product(catalogue):
    write = product_write(0, photos=3)
    write_all(catalogue.documents, write)
    (entry,) = do(catalogue, "export")["products"]
    assert entry["image_count"] == 3
    answer = do(catalogue, "images", digests=[entry["image_sha256"]])
    assert [base64.b64decode(photo) for photo in answer["images"][entry["image_sha256"]]] == write.photos


def test_an_update_of_a_product_with_several_photos_leaves_their_hash_right(catalogue):
    write = product_write(0, photos=3)
    write_all(catalogue.documents, write)
    do(catalogue, "update", products=[{"id": "p0", "price": 3.25}])
    expected = content_hash({**write.product, "price": 3.25}, write.photos, write.query_text)
    assert do(catalogue, "hashes", ids=["p0"])["hashes"] == {"p0": expected}


def test_photos_that_are_too_many_for_one_answer_are_left_for_the_next(catalogue, monkeypatch):
    fill(catalogue, 3)
    monkeypatch.setattr(commands, "MAX_ANSWER_BYTES", 10)
    digests = [image_digest(*product_write(n).photos) for n in range(3)]
    answer = do(catalogue, "images", digests=digests)
    assert list(answer["images"]) == digests[:1]
    assert answer["left"] == digests[1:]


def test_products_are_counted(catalogue):
    fill(catalogue)
    assert do(catalogue, "count") == {"count": 9}
    assert do(catalogue, "count", filter={"category": "Hats"}) == {"count": 3}


def test_hashes_tell_a_client_what_has_not_changed(catalogue):
    fill(catalogue, 2)
    hashes = do(catalogue, "hashes", ids=["p0", "p1", "p2"])["hashes"]
    assert hashes == {f"p{n}": product_write(n).content_hash() for n in range(2)}


def test_an_update_changes_fields_and_keeps_the_embeddings(both):
    catalogue = both[0]
    fill(catalogue)
    before = catalogue.documents.read(points(1))[points(1)[0]]
    answer = do(catalogue, "update", products=[{"id": "p1", "price": 99, "color": "red"}], wait=True)
    assert answer["updated"] == 1
    assert answer["results"] == [
        {
            "id": "p1",
            "rev": 2,
            "status": "updated",
            "searchable": True,
            "text_embedding": "kept",
            "stale_words": ["color"],
        }
    ]
    after = catalogue.documents.read(points(1))[points(1)[0]]
    assert after["product"] == {**product_write(1).product, "price": 99, "color": "red"}
    assert (after["image_embeds"], after["text_embeds"]) == (before["image_embeds"], before["text_embeds"])
    expected = content_hash(after["product"], product_write(1).photos, product_write(1).query_text)
    assert after["content_hash"] == expected
    assert found(both, 1, price={"gte": 99}) == points(1)


def test_a_price_that_changes_leaves_no_stale_words(catalogue):
    fill(catalogue, 2)
    (result,) = do(catalogue, "update", products=[{"id": "p1", "price": 3}])["results"]
    assert result == {"id": "p1", "rev": 2, "status": "updated"}


def test_a_field_that_is_null_is_taken_away(catalogue):
    fill(catalogue, 1)
    do(catalogue, "update", products=[{"id": "p0", "price": None, "unknown": None}])
    assert "price" not in do(catalogue, "get", ids=["p0"])["products"][0]["product"]


def test_each_update_has_its_own_result(catalogue):
    fill(catalogue, 3)
    updates = [
        {"id": "p0", "price": 5},
        {"id": "nobody", "price": 5},
        {"id": "p1", "price": "cheap"},
        {"price": 5},
        {"id": "p2"},
        {"id": "p0", "price": 6},
        {"id": "p1", "stock": 2**70},
    ]
    answer = do(catalogue, "update", products=updates)
    assert answer["updated"] == 2
    kinds = [result.get("status") or result["error"] for result in answer["results"]]
    assert kinds == ["updated", "NOT_FOUND", "INVALID_ARG", "INVALID_ARG", "unchanged", "updated", "INVALID_ARG"]
    assert "product nobody is not in the catalogue; index it first, or check its id" in str(answer)
    assert "price must be a finite number, got 'cheap'" in str(answer)
    assert "numbers must fit 64 bits" in str(answer)
    assert answer["results"][5]["rev"] == 3


def test_an_update_of_unknown_products_alone_is_not_found(catalogue):
    with pytest.raises(NotFoundError, match="product nobody is not in the catalogue"):
        do(catalogue, "update", products=[{"id": "nobody", "price": 1}])


def test_products_are_deleted_by_id(both):
    catalogue = both[0]
    fill(catalogue)
    answer = do(catalogue, "delete", ids=["p1", "p2", "p1", "nobody"], wait=True)
    assert answer == {"deleted": 2, "unknown": ["nobody"], "applied": True}
    assert found(both, 1) != points(1)
    assert do(catalogue, "count") == {"count": 7}
    assert catalogue.owner.count() == 7
    with pytest.raises(NotFoundError, match="delete: none of the 1 products is in the catalogue, the first is p1"):
        do(catalogue, "delete", ids=["p1"])


def test_products_are_deleted_by_filter(catalogue, monkeypatch):
    fill(catalogue)
    assert do(catalogue, "delete", filter={"category": "Hats"}) == {"deleted": 3, "more": False}
    monkeypatch.setattr(limits, "MAX_COMMAND_IDS", 2)
    assert do(catalogue, "delete", filter={"category": "Shoes"}, wait=True) == {
        "deleted": 2,
        "more": True,
        "applied": True,
    }
    assert do(catalogue, "count") == {"count": 4}


def test_ten_thousand_ids_are_deleted_with_one_command(catalogue):
    fill(catalogue)
    answer = do(catalogue, "delete", ids=[f"p{n}" for n in range(10_000)])
    assert answer["deleted"] == 9
    assert len(answer["unknown"]) == 9991


def test_both_stores_are_compared_in_as_many_answers_as_it_takes(catalogue, monkeypatch):
    fill(catalogue)
    monkeypatch.setattr(commands, "VERIFY_SLICE_S", 0.0)
    answer, answers = do(catalogue, "verify"), 1
    while not answer["done"]:
        answer, answers = do(catalogue, "verify", **{"continue": answer["continue"]}), answers + 1
    assert answers == 3
    assert answer["continue"] is None
    assert answer["report"]["in_step"]
    assert (answer["report"]["documents"], answer["report"]["vectors"]) == (9, 9)


def test_what_is_out_of_step_is_repaired(both):
    catalogue, retrieval = both
    fill(catalogue)
    retrieval.index.delete(points(1, 2))
    vectors = {"image": unit_vector(99)}
    retrieval.index.upsert([VectorPoint(id=points(99)[0], rev=1, vectors=vectors, payload={})])
    assert do(catalogue, "verify")["report"]["in_step"] is False
    report = do(catalogue, "verify", repair=True)["report"]
    assert (report["missing"], report["orphaned"], report["repaired"]) == (2, 1, 3)
    revs = dict.fromkeys(points(1, 2), 1)
    assert catalogue.owner.wait_applied(revs, 30) == {}
    mended = do(catalogue, "verify")["report"]
    assert mended["in_step"]
    assert (mended["documents"], mended["vectors"], mended["repaired"]) == (9, 9, 0)


def test_the_status_tells_sizes_and_troubles(catalogue):
    fill(catalogue)
    status = do(catalogue, "status")
    assert status["products"] == status["points"] == 9
    assert (status["pending"], status["trouble"], status["rebuild"]) == (0, None, {"state": "idle"})
    assert status["encoder"] == "tiny@0123456789ab"


def test_an_index_is_rebuilt_while_it_is_searched_and_changed(both):
    catalogue = both[0]
    fill(catalogue, 300)
    assert do(catalogue, "rebuild")["rebuild"]["state"] == "running"
    changes = 0
    while (state := do(catalogue, "status")["rebuild"])["state"] == "running":
        write_all(
            catalogue.documents, product_write(changes % 300, color=f"c{changes}"), product_write(300 + changes)
        )
        do(catalogue, "delete", ids=[f"p{150 + changes}"])
        assert len(found(both, 7)) == 1
        changes += 1
    assert state["state"] == "done"
    revs = write_all(catalogue.documents, product_write(1000))
    assert catalogue.owner.wait_applied(revs, 30) == {}
    report = do(catalogue, "verify")["report"]
    assert report["in_step"], report
    assert report["vectors"] == report["documents"] == do(catalogue, "count")["count"]


def test_dropping_needs_a_word_and_leaves_an_empty_catalogue_that_works(both):
    catalogue = both[0]
    fill(catalogue)
    name = catalogue.documents.products.name
    assert do(catalogue, "drop", confirm=name) == {"dropped": 9}
    assert do(catalogue, "count") == {"count": 0}
    assert found(both, 1) == []
    fill(catalogue, 2)
    assert do(catalogue, "verify")["report"]["in_step"]


@pytest.mark.parametrize("both", ["server"], indirect=True)
@pytest.mark.parametrize("change", ["written", "deleted"])
def test_a_change_that_is_under_way_to_the_old_collection_when_the_alias_switches_is_not_lost(
    both, monkeypatch, change
):
    """The applier has changed the old collection, and says so only after the new one was compared."""
    catalogue = both[0]
    fill(catalogue, 10)
    applied, rebuilt = threading.Event(), threading.Event()
    clear, switch = Applier._clear, ServerCollections.switch

    def clear_late(self, batch):
        applied.set()
        rebuilt.wait(30)
        clear(self, batch)

    def switch_late(self, collection):
        monkeypatch.setattr(Applier, "_clear", clear_late)
        if change == "written":
            write_all(catalogue.documents, product_write(3, color="new"), product_write(50))
        else:
            do(catalogue, "delete", ids=["p3"])
        catalogue.owner.wake()
        assert applied.wait(30)
        switch(self, collection)

    monkeypatch.setattr(ServerCollections, "switch", switch_late)
    do(catalogue, "rebuild")
    while do(catalogue, "status")["rebuild"]["state"] == "running":
        time.sleep(0.01)
    rebuilt.set()
    while do(catalogue, "status")["pending"]:
        time.sleep(0.01)
    report = do(catalogue, "verify")["report"]
    assert report["in_step"], report
    assert report["vectors"] == report["documents"] == {"written": 11, "deleted": 9}[change]


@pytest.mark.parametrize(("operation", "arguments"), [("reindex", {"encoder": "/encoders/new"}), ("rollback", {})])
def test_only_a_server_that_looks_after_itself_changes_its_encoder(catalogue, operation, arguments):
    with pytest.raises(
        InvalidRequestError, match=f"{operation}: this server was not started by `product-match serve`"
    ):
        do(catalogue, operation, **arguments)
    assert "reindex" not in do(catalogue, "status")


def test_a_change_of_encoder_is_asked_for_and_shown(catalogue_settings, tmp_path):
    settings = dataclasses.replace(catalogue_settings, state_directory=tmp_path)
    for tower in ("image_encoder.onnx", "text_encoder.onnx"):
        (settings.encoder_directory / tower).touch()
    with contextlib.closing(open_for_writing(settings, encoder_spec())) as writing:
        change = do(writing, "reindex", encoder=str(settings.encoder_directory))["reindex"]
        assert (change["state"], change["encoder"]) == ("requested", encoder_spec().identity)
        assert read_change(tmp_path) == change
        with pytest.raises(InvalidRequestError, match="rollback: the catalogue has had no encoder before this one"):
            do(writing, "rollback")
        with pytest.raises(InvalidRequestError, match="reindex: unknown"):
            do(writing, "reindex", encoder="/x", directory="/y")


def test_rules_are_set_shown_and_removed(catalogue):
    fill(catalogue)
    rule = {"id": "r", "query": "a", "pin": ["p1"]}
    assert do(catalogue, "rules") == {"rules": [], "removed": []}
    assert do(catalogue, "rules", set=[rule]) == {"rules": [rule], "removed": []}
    with pytest.raises(NotFoundError, match="rules: there is no rule with the id b; `rules` alone lists them"):
        do(catalogue, "rules", remove=["b"])
    assert do(catalogue, "rules", remove=["r", "b"]) == {"rules": [], "removed": ["r"]}
