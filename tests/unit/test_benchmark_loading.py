"""The loading benchmark: its catalogue, its searches and its table."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import itertools
import json
import os
import random

import numpy as np
import pytest
from PIL import Image

from benchmarks.loading.__main__ import clean
from benchmarks.loading.catalogue import GeneratedCatalogue
from benchmarks.loading.filling import fill
from benchmarks.loading.memory import MemoryWatch, disk_mb, peak_bytes
from benchmarks.loading.other_encoder import other_encoder
from benchmarks.loading.report import table
from benchmarks.loading.run import SAMPLE
from benchmarks.loading.searching import SearchLoad, quantile, sample_queries
from benchmarks.serving import PROJECT
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, StackError, UnavailableError
from product_match.contract.products import point_id
from product_match.documents.records import ProductWrite, unpack_vector
from product_match.documents.store import open_documents
from product_match.documents.writing import write_products
from product_match_client.loading.rows import open_row
from product_match_client.loading.sources.records import Record
from product_match_client.requests import Query
from tests.fakes.encoders import encoder_spec

REPORT = {
    "failure": "",
    "encoder_products_per_s": 100.0,
    "load": {
        "exit": 0,
        "products": 2000,
        "asked_for": 2000,
        "distinct_photos": 200,
        "seconds": 40.0,
        "seconds_until_all_searchable": 41.0,
        "products_per_s": 50.0,
        "share_of_encoder": 0.5,
    },
    "fill": {"products": 100_000, "seconds": 60.0, "seconds_until_all_searchable": 90.0},
    "disk_mb": {"documents": 12.5},
    "verify": {"command_s": 1.5, "in_step": True, "documents": 2000},
    "search_before": {"requests": 10, "failed": 0, "p50_ms": 5.0, "p99_ms": 9.0},
    "search_during_rebuild": {"requests": 10, "failed": 0},
    "search_after": {"requests": 10, "failed": 0},
    "rebuild": {"command_s": 3.0, "points": 2000},
    "peak_memory_mb": {"retrieval": 150.0},
}


def lines(count, **changes):
    catalogue = GeneratedCatalogue(SAMPLE, **{"distinct": 0.5, "seed": 3, **changes})
    return catalogue, [json.loads(line) for line in catalogue.lines(count)]


def test_the_same_seed_gives_the_same_products():
    assert lines(12)[1] == lines(12)[1]
    assert lines(12)[1] != lines(12, seed=4)[1]


def test_every_product_has_its_own_id_and_is_one_that_index_reads():
    _, products = lines(230, distinct=0.02)
    assert len({product["id"] for product in products}) == 230
    rows = [open_row(Record(source="-", line=1, directory=SAMPLE, fields=product), {}) for product in products]
    assert all(reference.data or reference.path for row in rows for reference in row.references)


def test_a_stated_share_has_a_photo_of_its_own():
    assert lines(20, distinct=0.0)[0].distinct_photos == 0
    catalogue, products = lines(20, distinct=1.0)
    assert catalogue.distinct_photos == 20
    photos = [base64.b64decode(product["image_base64"]) for product in products]
    assert len(set(photos)) == 20
    assert Image.open(io.BytesIO(photos[0])).format == "JPEG"


def test_a_photo_of_its_own_differs_from_another_of_the_same_product():
    catalogue = GeneratedCatalogue(SAMPLE, distinct=1.0, seed=1)
    rng = random.Random(1)
    first, second = (catalogue.product(0, rng)["image_base64"] for _ in range(2))
    assert first != second


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"must be 0 to 1, got 1\.5"):
        GeneratedCatalogue(SAMPLE, distinct=1.5, seed=1)


@pytest.fixture
def documents(catalogue_settings):
    """The store that the server of a benchmark would have, empty before and after."""
    settings = dataclasses.replace(catalogue_settings, collection="products", mongodb_database="filling")
    documents = open_documents(settings, encoder_spec().identity)
    yield documents
    documents.drop()
    documents.close()


def filled(documents, settings, products):
    photo = SAMPLE / "images" / "1001.jpg"
    return fill(
        *(settings.mongodb_uri.value, settings.encoder_directory, photo),
        products=products,
        seed=1,
        database="filling",
    )


def test_stores_are_filled_with_products_like_those_that_are_there(documents, catalogue_settings):
    side = encoder_spec().embedding_dim
    vector = np.eye(1, side, dtype=np.float32)[0]
    product = {"id": "one", "name": "Boot", "price": 10.0}
    write_products(documents, [ProductWrite(product=product, query_text="Boot", text_embeds=vector)])
    assert filled(documents, catalogue_settings, 150) == 149
    assert documents.count() == documents.count_pending() == 150
    (held,) = documents.read([point_id("fill-0000100")]).values()
    assert held["product"]["name"] == "Boot"
    assert held["vectors"] == ["text"]
    assert 0.9 < float(unpack_vector(held["text_embeds"]) @ vector) < 0.999
    assert filled(documents, catalogue_settings, 150) == 0


def test_empty_stores_have_nothing_to_be_filled_like(documents, catalogue_settings):
    with pytest.raises(StackError, match="no product to make others like; load some first"):
        filled(documents, catalogue_settings, 10)


def test_memory_is_watched_by_name_and_stays_known_after_the_end():
    processes = {"this": os.getpid(), "gone": 2**22 + 1}
    watch = MemoryWatch(lambda: processes)
    watch.look()
    processes.clear()
    with watch.running():
        pass
    assert watch.peaks_mb()["this"] > 10
    assert watch.peaks_mb()["gone"] == 0
    assert peak_bytes(2**22 + 1) == 0


def test_the_size_of_a_directory_is_what_its_files_take(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(os.urandom(3_000_000))
    assert 2.9 < disk_mb(tmp_path) < 3.2


def test_searches_go_on_at_their_rate_and_failures_are_counted_with_their_words():
    numbers = itertools.count()
    enough = []

    @contextlib.contextmanager
    def opened():
        def ask(query):
            number = next(numbers)
            if number >= 20:
                enough.append(number)
            if number % 5 == 4:
                raise UnavailableError("busy")

        yield ask

    with SearchLoad(opened, [Query(text="a")]).running(rate=2000.0) as result:
        while not enough:
            os.sched_yield()
    report = result.to_dict()
    assert report["requests"] >= 20
    assert report["failed"] >= 4
    assert report["failures"] == ["busy"]
    assert report["p50_ms"] <= report["p95_ms"] <= report["p99_ms"] <= report["longest_ms"]


def test_a_quantile_is_the_nearest_rank():
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0


def test_the_samples_queries_have_a_photo_or_words():
    queries = sample_queries(SAMPLE)
    assert len(queries) > 100
    assert {(bool(query.image), bool(query.text)) for query in queries} == {
        (True, False),
        (False, True),
        (True, True),
    }


def test_the_table_holds_what_was_measured_and_leaves_out_what_was_not():
    text = table(REPORT)
    assert "| products/s | 50.0 |" in text
    assert "| products after filling the stores | 100,000 |" in text
    assert "| share of the encoder's own rate | 50.0% |" in text
    assert "| search before | 10 requests, 0 failed, p50 5.0 ms, p99 9.0 ms |" in text
    assert "| peak memory: retrieval | 150.0 MB |" in text
    assert table({}).count("\n") == 2


CHANGE = {"command_s": 9.5, "products": 2000, "embedded": 1990, "reused": 10, "held_s": 1.1}
SEARCHED = {"requests": 10, "failed": 0}
REINDEX = {
    "plan": {"reindex": True},
    "reindex": CHANGE,
    "rollback": CHANGE,
    "search_during_reindex": SEARCHED,
    "search_during_rollback": SEARCHED,
    "search_after_rollback": SEARCHED,
}


def test_a_change_of_encoder_is_in_the_table_and_has_to_be_as_clean():
    report = {**REPORT, **REINDEX}
    row = "| `reindex` | 9.5 s, 2,000 products, 1,990 embedded, 10 carried over, writes held for 1.1 s |"
    assert row in table(report)
    assert "| search during rollback | 10 requests, 0 failed,  |" in table(report)
    assert clean(report)
    assert not clean({**report, "search_during_reindex": {"requests": 10, "failed": 1}})
    assert not clean({**REPORT, "plan": {"reindex": True}})


def test_the_encoder_to_change_to_is_the_same_network_under_another_revision(tmp_path):
    first = PROJECT / "default_encoder" / "embedded"
    second = other_encoder(first, tmp_path / "other")
    one, other = load_encoder(first), load_encoder(second)
    assert one.revision != other.revision
    assert len(one.revision) == len(other.revision)
    assert dataclasses.replace(other, name=one.name, revision=one.revision) == one
    assert (second / "image_encoder.onnx").read_bytes() == (first / "image_encoder.onnx").read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"failure": "no end"},
        {"load": {**REPORT["load"], "exit": 1}},
        {"search_during_rebuild": {"requests": 10, "failed": 1}},
        {"verify": {"in_step": False}},
        {"search_before": {}},
    ],
)
def test_a_measurement_with_a_fault_or_a_gap_is_not_clean(changes):
    assert clean(REPORT)
    assert not clean({**REPORT, **changes})
