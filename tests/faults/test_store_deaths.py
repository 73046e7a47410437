"""Killed stores and owners: nothing that was acknowledged is lost, and both stores are whole again by themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import pytest

from product_match.catalogue.opening import open_for_writing
from product_match.contract.errors import UnavailableError
from product_match.index.verification import verify
from product_match.settings import Secret
from tests.fakes.catalogues import product_write, write_all
from tests.fakes.document_server import DocumentServer
from tests.fakes.encoders import encoder_spec
from tests.fakes.index_owner import OwnerProcess
from tests.fakes.store_load import VICTIMS, run

SEEDS = (1, 2)


@pytest.fixture
def own_server(memory_path):
    with DocumentServer(memory_path / "documents") as server:
        yield server


@pytest.fixture
def settings(catalogue_settings, own_server):
    return dataclasses.replace(catalogue_settings, mongodb_uri=Secret(own_server.uri))


def processes_on(place):
    """Processes whose command names a file in `place`: those that derive a shard there."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(place).encode() in command.read_bytes():
                found.append(command)
    return found


def wait_until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_killed_under_load_costs_nothing_that_was_acknowledged(settings, own_server, victim, seed):
    outcome = run(settings, own_server, victim, seed)
    assert outcome.whole, outcome
    assert outcome.acknowledged > 0


def test_an_owner_killed_during_a_rebuild_leaves_an_index_in_step(settings):
    owner = OwnerProcess(settings)
    catalogue = open_for_writing(settings, encoder_spec())
    revs = write_all(catalogue.documents, *(product_write(n) for n in range(300)))
    assert catalogue.owner.wait_applied(revs, 60) == {}
    assert catalogue.owner.rebuild()["state"] == "running"
    place = settings.index_directory / encoder_spec().revision
    wait_until(lambda: processes_on(place))
    owner.kill()
    with pytest.raises(UnavailableError, match="does not answer"):
        catalogue.owner.count()
    wait_until(lambda: not processes_on(place))
    owner.start()
    assert verify(catalogue.documents, catalogue.owner).in_step
    assert catalogue.owner.count() == 300
    assert len([entry for entry in place.glob("index-*") if entry.is_dir()]) == 1
    catalogue.close()
    assert owner.stop() == 0


def test_an_owner_that_ends_in_order_is_trusted_at_the_next_start(settings):
    owner = OwnerProcess(settings)
    catalogue = open_for_writing(settings, encoder_spec())
    revs = write_all(catalogue.documents, *(product_write(n) for n in range(10)))
    assert catalogue.owner.wait_applied(revs, 60) == {}
    catalogue.close()
    assert owner.stop() == 0
    assert (settings.index_directory / encoder_spec().revision / "CLEAN").exists()


def test_a_document_store_that_hangs_is_told_by_every_call_that_answers_a_request(settings, own_server):
    owner = OwnerProcess(settings)
    catalogue = open_for_writing(settings, encoder_spec())
    revs = write_all(catalogue.documents, product_write(1))
    assert catalogue.owner.wait_applied(revs, 60) == {}
    own_server.pause()
    try:
        for call in (
            lambda: catalogue.documents.fetch(list(revs)),
            lambda: catalogue.documents.hashes(["p1"]),
            lambda: write_all(catalogue.documents, product_write(2)),
        ):
            with pytest.raises(UnavailableError, match=r"document store: .* does not answer"):
                call()
    finally:
        own_server.resume()
    revs = write_all(catalogue.documents, product_write(2))
    assert catalogue.owner.wait_applied(revs, 60) == {}
    catalogue.close()
    assert owner.stop() == 0
