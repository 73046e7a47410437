"""The process that derives a shard is patient with a busy document store."""

from __future__ import annotations

import subprocess
import sys

from product_match.contract.errors import UnavailableError
from product_match.documents.store import open_documents
from product_match.index import derivation
from product_match.vectors.edge_index import EdgeIndex
from tests.fakes.catalogues import DIMENSION, POINT_MAKER, RECIPE, product_write, write_all
from tests.fakes.encoders import encoder_spec


def test_a_busy_document_store_is_waited_for_longer_than_a_request_would(
    catalogue_settings, memory_path, monkeypatch, capsys
):
    limits = []

    def refuse(settings, encoder):
        limits.append(settings.store_timeout_s)
        raise UnavailableError("the store is away")

    for name, value in catalogue_settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(derivation, "open_documents", refuse)
    monkeypatch.setattr(derivation, "_give_way", lambda: None)
    assert derivation.main([str(memory_path / "shard"), RECIPE.to_json()]) == 1
    assert limits == [derivation.STORE_TIMEOUT_S]
    assert limits[0] > catalogue_settings.store_timeout_s
    assert capsys.readouterr().err == "the store is away\n"


def test_the_process_comes_last_and_interrupts_nobody():
    code = "import os; from product_match.index import derivation as d; d._give_way(); "
    shown = "print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH)"
    done = subprocess.run([sys.executable, "-c", code + shown], capture_output=True, text=True, check=True)
    niceness, batch = done.stdout.split()
    assert int(niceness) >= 15
    assert batch == "True"


def test_searches_get_their_turn_at_the_document_store_between_pages(memory_path, catalogue_settings, monkeypatch):
    documents = open_documents(catalogue_settings, encoder_spec().identity)
    write_all(documents, *(product_write(n) for n in range(25)))
    pauses = []
    monkeypatch.setattr(derivation, "PAGE_SIZE", 10)
    monkeypatch.setattr(derivation.time, "sleep", pauses.append)
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    assert derivation.derive(documents, index, POINT_MAKER, graph_threshold=10) == 25
    assert index.count() == 25
    assert len(pauses) == 3
    assert all(0 < pause <= 0.25 for pause in pauses)
    index.close()
    documents.close()
