"""Two Tritons' catalogues on one pair of stores, real ones where the environment names them: nothing lost or left."""

from __future__ import annotations

import contextlib
import dataclasses
import threading

import pytest

from product_match.catalogue.opening import open_for_retrieval, open_for_writing
from product_match.contract.errors import ProductMatchError
from product_match.documents.removal import remove_products
from product_match.host.polling import wait_until
from product_match.index.verification import Verification
from product_match.settings import Secret, VectorIndexKind
from product_match.vectors.vector_index import VectorQuery
from tests.fakes.catalogues import points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.real_stores import qdrant_server

PRODUCTS = 60


@pytest.fixture
def qdrant():
    with qdrant_server() as server:
        yield server


@pytest.fixture
def settings(catalogue_settings, qdrant):
    return dataclasses.replace(
        catalogue_settings,
        vector_index=VectorIndexKind.SERVER,
        qdrant_url=qdrant.address,
        qdrant_api_key=Secret(qdrant.api_key),
        collection=qdrant.collection,
    )


@pytest.fixture
def replicas(settings):
    """Two open for writing, one for searching, with products in them."""
    with contextlib.ExitStack() as opened:
        writers = [opened.enter_context(contextlib.closing(open_for_writing(settings, encoder_spec()))) for _ in "ab"]
        searcher = opened.enter_context(contextlib.closing(open_for_retrieval(settings, encoder_spec())))
        revs = write_all(writers[0].documents, *(product_write(n) for n in range(PRODUCTS)))
        assert writers[1].owner.wait_applied(revs, 30.0) == {}
        yield [*writers, searcher]


def out_of_step(catalogue):
    """What documents and vectors differ in."""
    report = Verification(catalogue.documents, catalogue.owner, repair=False).run().to_dict()
    counted = ("missing", "orphaned", "wrong_rev", "wrong_vectors", "wrong_encoder", "pending")
    return {name: report[name] for name in counted if report[name]}


def done(catalogue):
    return catalogue.owner.status()["rebuild"]["state"] in ("done", "failed", "idle")


def test_rebuilds_from_both_while_products_change_lose_and_leave_nothing(replicas, qdrant):
    first, second, searcher = replicas
    for round_ in range(3):
        for catalogue in (first, second):
            catalogue.owner.rebuild()
        revs = write_all(first.documents, *(product_write(n, price=1000.0 + round_) for n in range(0, PRODUCTS, 3)))
        remove_products(second.documents, [f"p{PRODUCTS - 1 - round_}"])
        assert wait_until(lambda: done(first) and done(second), 60.0)
        assert first.owner.wait_applied(revs, 30.0) == {}
    assert wait_until(lambda: first.documents.count_pending() == 0, 30.0)
    assert out_of_step(first) == out_of_step(second) == {}
    assert first.owner.count() == searcher.owner.count() == PRODUCTS - 3
    assert len(qdrant.collections()) == 1
    ((hit,),) = searcher.index.search([VectorQuery(vector_name="image", vector=unit_vector(7), limit=1)])
    assert hit.id == points(7)[0]


def test_a_drop_beside_a_rebuild_is_one_after_the_other(replicas, qdrant):
    first, second, _ = replicas
    first.owner.rebuild()
    dropped = threading.Event()

    def drop():
        with contextlib.suppress(ProductMatchError):
            second.owner.drop()
            dropped.set()

    assert wait_until(lambda: drop() or dropped.is_set(), 60.0, poll_s=0.1)
    assert wait_until(lambda: done(first), 30.0)
    assert first.owner.count() == second.documents.count() == 0
    assert len(qdrant.collections()) == 1


def test_whoever_closes_lets_the_other_go_on(replicas):
    first, second, searcher = replicas
    first.close()
    revs = write_all(second.documents, product_write(PRODUCTS + 1))
    assert second.owner.wait_applied(revs, 30.0) == {}
    assert searcher.owner.lookup(points(PRODUCTS + 1)).keys() == set(points(PRODUCTS + 1))
