"""What is in the catalogue is read from both stores, and stays as it was while one of them is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from product_match.catalogue import gauges as gauges_module
from product_match.catalogue.gauges import CatalogueGauges, watch_catalogue
from product_match.catalogue.opening import open_for_retrieval, open_for_writing
from product_match.contract.errors import UnavailableError
from product_match.contract.limits import MAX_WAIT_S
from product_match.documents.extent import oldest_pending_s, size_bytes
from product_match.documents.records import ProductWrite
from product_match.documents.writing import write_products
from product_match.host.polling import wait_until
from product_match.telemetry import meters
from tests.fakes.encoders import encoder_spec


def value(gauge, **labels):
    return meters.REGISTRY.get_sample_value(gauge, labels)


def write(documents, *ids):
    embeds = np.zeros(encoder_spec().embedding_dim, np.float32)
    embeds[0] = 1.0
    writes = [
        ProductWrite(
            product={"id": id_, "name": id_}, photos=[], query_text=id_, image_embeds=None, text_embeds=embeds
        )
        for id_ in ids
    ]
    return {receipt.point_id: receipt.rev for receipt in write_products(documents, writes)}


@pytest.fixture
def catalogue(catalogue_settings):
    opened = open_for_writing(catalogue_settings, encoder_spec())
    yield opened
    opened.close()


def test_what_waits_and_for_how_long(catalogue):
    assert oldest_pending_s(catalogue.documents) == 0
    write(catalogue.documents, "1", "2")
    later = datetime.now(timezone.utc) + timedelta(seconds=90)
    assert 85 < oldest_pending_s(catalogue.documents, later) < 95


def test_both_stores_are_read(catalogue, catalogue_settings):
    owning = open_for_retrieval(catalogue_settings, encoder_spec())
    try:
        assert not owning.owner.wait_applied(write(catalogue.documents, "1", "2", "3"), MAX_WAIT_S)
        CatalogueGauges(catalogue.documents, catalogue.owner, catalogue_settings.index_directory).read()
    finally:
        owning.close()
    assert value("product_match_products") == value("product_match_vectors") == 3
    assert value("product_match_pending_products") == value("product_match_index_lag_seconds") == 0
    assert value("product_match_store_size_bytes", store="documents") == size_bytes(catalogue.documents) > 0
    assert value("product_match_store_size_bytes", store="vectors") > 0


def test_a_store_that_is_away_is_told_of_once_and_read_again_later(catalogue, monkeypatch, caplog):
    class Owner:
        answers = 0

        def count(self):
            self.answers += 1
            if self.answers < 5:
                raise UnavailableError("the vector index is away")
            return 41

    monkeypatch.setattr(gauges_module, "PERIOD_S", 0.0)
    monkeypatch.setattr(gauges_module, "LARGEST_SHARE", 1.0)
    gauges = CatalogueGauges(catalogue.documents, Owner(), None)
    gauges.start()
    try:
        assert wait_until(lambda: value("product_match_vectors") == 41, 20.0)
    finally:
        gauges.close()
    assert caplog.messages == ["the catalogue's metrics stay as they are: the vector index is away"]


def test_nothing_is_read_where_nobody_wants_it(catalogue, catalogue_settings):
    gauges = watch_catalogue(catalogue, replace(catalogue_settings, observe=False))
    assert not gauges._thread.is_alive()
    gauges.close()
