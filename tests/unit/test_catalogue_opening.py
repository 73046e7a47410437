"""Opening a catalogue for a process: what runs, what is refused, and starts after every kind of end."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import sys

import pytest

from product_match.catalogue import opening
from product_match.catalogue.opening import open_for_retrieval, open_for_writing
from product_match.contract.errors import ConfigError, UnavailableError
from product_match.settings import Secret, VectorIndexKind
from tests.fakes.catalogues import points, product_write, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.qdrant_server import FakeQdrant

ENCODER = encoder_spec()


def load(settings, count=8):
    with contextlib.closing(open_for_retrieval(settings, ENCODER)) as catalogue:
        revs = write_all(catalogue.documents, *(product_write(n) for n in range(count)))
        assert catalogue.owner.wait_applied(revs, 30) == {}
        if catalogue.verification is not None:
            assert catalogue.verification.join(30)


def test_the_owner_applies_what_another_process_writes(catalogue_settings):
    with (
        contextlib.closing(open_for_retrieval(catalogue_settings, ENCODER)) as retrieval,
        contextlib.closing(open_for_writing(catalogue_settings, ENCODER)) as writing,
    ):
        revs = write_all(writing.documents, product_write(1))
        writing.owner.wake()
        assert writing.owner.wait_applied(revs, 30) == {}
        assert set(retrieval.index.lookup(points(1))) == set(points(1))
        assert writing.owner.status()["points"] == 1


def test_an_index_that_was_closed_in_order_is_trusted(catalogue_settings):
    load(catalogue_settings)
    with contextlib.closing(open_for_retrieval(catalogue_settings, ENCODER)) as catalogue:
        assert catalogue.verification is None
        assert catalogue.index.count() == 8


@pytest.mark.parametrize("what", ["removed", "damaged", "not closed"])
def test_an_index_that_cannot_be_trusted_is_compared_and_mended_by_itself(catalogue_settings, what):
    load(catalogue_settings)
    place = catalogue_settings.index_directory / ENCODER.revision
    if what == "removed":
        shutil.rmtree(catalogue_settings.index_directory)
    elif what == "damaged":
        (place / "index-1" / "edge_config.json").write_text("{")
    else:
        (place / "CLEAN").unlink()
    with contextlib.closing(open_for_retrieval(catalogue_settings, ENCODER)) as catalogue:
        assert catalogue.verification.join(30)
        assert catalogue.verification.report()["repaired"] == (0 if what == "not closed" else 8)
        assert catalogue.index.count() == 8


def test_an_index_that_was_not_compared_to_the_end_is_compared_again(catalogue_settings, monkeypatch):
    load(catalogue_settings)
    (catalogue_settings.index_directory / ENCODER.revision / "CLEAN").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(opening.BackgroundVerification, "_run", lambda _: None)
        open_for_retrieval(catalogue_settings, ENCODER).close()
    with contextlib.closing(open_for_retrieval(catalogue_settings, ENCODER)) as catalogue:
        assert catalogue.verification is not None


def test_a_second_server_on_the_same_index_is_told(catalogue_settings, monkeypatch):
    from product_match.vectors import edge_directory

    monkeypatch.setattr(edge_directory.EdgeDirectory.open, "__kwdefaults__", {"lock_wait_s": 0.0})
    with (
        contextlib.closing(open_for_retrieval(catalogue_settings, ENCODER)),
        pytest.raises(ConfigError, match="held by another process; stop the other server"),
    ):
        open_for_retrieval(catalogue_settings, ENCODER)


def test_another_encoder_is_told_what_to_do(catalogue_settings):
    load(catalogue_settings)
    for opened in (open_for_retrieval, open_for_writing):
        with pytest.raises(ConfigError, match=r"encoded by tiny@0123456789ab, and this server runs tiny@ba98"):
            opened(catalogue_settings, encoder_spec(revision="ba9876543210"))


def test_a_start_without_a_document_store_is_unavailable(catalogue_settings):
    away = dataclasses.replace(
        catalogue_settings, mongodb_uri=Secret("mongodb://127.0.0.1:1/?directConnection=true"), store_timeout_s=0.1
    )
    for opened in (open_for_retrieval, open_for_writing):
        with pytest.raises(UnavailableError, match="does not answer"):
            opened(away, ENCODER)


def test_edge_needs_its_paths(catalogue_settings):
    settings = dataclasses.replace(catalogue_settings)
    object.__setattr__(settings, "owner_socket", None)
    with pytest.raises(ConfigError, match="needs an index directory and an owner socket"):
        open_for_writing(settings, ENCODER)


@pytest.fixture
def server_settings(catalogue_settings):
    with FakeQdrant() as qdrant:
        yield (
            dataclasses.replace(
                catalogue_settings,
                vector_index=VectorIndexKind.SERVER,
                qdrant_url=qdrant.address,
                store_timeout_s=5.0,
            ),
            qdrant,
        )


def test_with_a_server_every_process_reaches_it_and_those_that_write_apply(server_settings):
    settings, qdrant = server_settings
    with (
        contextlib.closing(open_for_retrieval(settings, ENCODER)) as retrieval,
        contextlib.closing(open_for_writing(settings, ENCODER)) as first,
        contextlib.closing(open_for_writing(settings, ENCODER)) as second,
    ):
        revs = write_all(first.documents, *(product_write(n) for n in range(5)))
        revs |= write_all(second.documents, *(product_write(n) for n in range(5, 10)))
        assert second.owner.wait_applied(revs, 30) == {}
        assert retrieval.index.count() == 10
        assert retrieval.owner.wait_applied({}, 1) == {}
        assert {owner.status()["trouble"] for owner in (retrieval.owner, first.owner, second.owner)} == {None}
    assert len(qdrant.collections) == 1


def test_the_lease_of_a_process_that_ends_goes_to_another(server_settings):
    settings, _ = server_settings
    first = open_for_writing(settings, ENCODER)
    second = open_for_writing(settings, ENCODER)
    write_all(first.documents, product_write(0))
    assert second.owner.wait_applied({points(0)[0]: 1}, 30) == {}
    first.close()
    with contextlib.closing(second):
        revs = write_all(second.documents, product_write(1))
        assert second.owner.wait_applied(revs, 30) == {}


def test_a_server_that_is_away_for_a_while_delays_and_loses_nothing(server_settings, monkeypatch):
    from product_match.index import applier

    monkeypatch.setattr(applier, "MAX_BACKOFF_S", 0.1)
    settings, qdrant = server_settings
    with contextlib.closing(open_for_writing(settings, ENCODER)) as writing:
        qdrant.stop()
        revs = write_all(writing.documents, *(product_write(n) for n in range(5)))
        assert writing.owner.wait_applied(revs, 0.2) == revs
        qdrant.start()
        assert writing.owner.wait_applied(revs, 60) == {}
        assert writing.owner.count() == 5


def test_a_repair_gives_back_the_point_of_a_product_that_came_while_its_orphan_was_removed(
    server_settings, monkeypatch
):
    settings, _ = server_settings
    with contextlib.closing(open_for_writing(settings, ENCODER)) as writing:
        owner = writing.owner
        original = owner._index.delete

        def product_comes_first(ids):
            if not ids:
                return
            revs = write_all(writing.documents, product_write(1))
            assert owner.wait_applied(revs, 30) == {}
            monkeypatch.setattr(owner._index, "delete", original)
            original(ids)

        monkeypatch.setattr(owner._index, "delete", product_comes_first)
        assert owner.reapply(points(1)) == 1
        assert owner.wait_applied({points(1)[0]: 1}, 30) == {}
        assert set(owner.lookup(points(1))) == set(points(1))


def test_a_rebuild_on_a_server_that_is_cancelled_or_fails_leaves_no_collection(server_settings, monkeypatch):
    from product_match.index import server_replacement

    settings, qdrant = server_settings
    with contextlib.closing(open_for_writing(settings, ENCODER)) as writing:
        revs = write_all(writing.documents, *(product_write(n) for n in range(5)))
        assert writing.owner.wait_applied(revs, 30) == {}
        rebuilder = writing.owner._rebuilder
        walk = type(writing.documents).walk

        def cancelled_walk(*args, **kwargs):
            rebuilder._cancelled.set()
            return walk(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(type(writing.documents), "walk", cancelled_walk)
            writing.owner.rebuild()
            assert rebuilder.join(30)
        assert writing.owner.status()["rebuild"] == {"state": "failed", "message": "it was cancelled"}
        assert list(qdrant.collections) == [f"{settings.collection}-{ENCODER.revision}-1"]
        monkeypatch.setattr(server_replacement, "PAGE_SIZE", 2)
        writing.owner.rebuild()
        assert rebuilder.join(30)
        assert writing.owner.status()["rebuild"]["state"] == "done"
        (left,) = qdrant.collections
        assert left == qdrant.aliases[f"{settings.collection}-{ENCODER.revision}"]
        assert not left.endswith("-1")
        assert writing.owner.count() == 5


def test_neither_engine_is_imported_before_it_is_asked_for():
    code = "import sys, product_match.catalogue.opening, product_match.catalogue.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    # Of Qdrant Edge only its BM25, which both engines' words are made with.
    assert not {"product_match.vectors.edge_index", "qdrant_client", "grpc"} & set(loaded)
