"""What the container asks its stores, of a document store and a Qdrant server that go away."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from product_match.container.stores import StoreWatch, opened_stores
from product_match.contract.errors import ConfigError, UnavailableError
from product_match.host.polling import wait_until
from product_match.settings import Secret, VectorIndexKind
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_collections import ServerCollections
from tests.fakes.certificates import loopback_certificate
from tests.fakes.encoders import encoder_spec
from tests.fakes.qdrant_server import FakeQdrant


@pytest.fixture
def qdrant():
    with FakeQdrant(api_key="key") as server:
        yield server


@pytest.fixture
def settings(catalogue_settings, qdrant):
    return dataclasses.replace(
        catalogue_settings,
        vector_index=VectorIndexKind.SERVER,
        qdrant_url=qdrant.address,
        qdrant_api_key=Secret("key"),
        store_timeout_s=1.0,
    )


def test_both_stores_answer_and_the_index_is_open_once_there_is_a_collection(settings, qdrant):
    with opened_stores(settings, encoder_spec()) as (questions, index_is_open):
        for question in questions.values():
            question()
        with pytest.raises(UnavailableError, match=r"no collection is behind the alias .*; start Triton again"):
            index_is_open()
        channel = QdrantChannel(qdrant.address, "key")
        ServerCollections(channel, settings.collection, encoder_spec(), "").prepare()
        channel.close()
        index_is_open()


def test_stores_that_are_away_and_a_wrong_key_are_told(settings, qdrant):
    wrong = dataclasses.replace(settings, mongodb_uri=Secret("mongodb://127.0.0.1:1/"), qdrant_api_key=Secret("old"))
    with opened_stores(wrong, encoder_spec()) as (questions, _):
        with pytest.raises(UnavailableError, match="document store: a first question failed because it does not ans"):
            questions["document store"]()
        with pytest.raises(ConfigError, match="refuses the API key"):
            questions["vector index"]()
        qdrant.stop()
        with pytest.raises(UnavailableError, match="did not answer within 1 s"):
            questions["vector index"]()


def test_the_watch_asks_by_itself_and_a_question_that_fails_oddly_is_told(caplog):
    asked = []

    def odd():
        asked.append(1)
        raise ValueError("never seen")

    with StoreWatch({"vector index": odd}, away_s=0.0) as watch:
        assert wait_until(lambda: bool(asked) and bool(watch.away()), 10.0)
        assert watch.missing() == ["internal error (ValueError); see the log"]
    assert "never seen" in caplog.text


@pytest.mark.parametrize(
    ("days", "trusted", "words"),
    [(30, True, ""), (30, False, "CERTIFICATE_VERIFY_FAILED"), (-1, True, "CERTIFICATE_VERIFY_FAILED")],
    ids=["good", "of another authority", "expired"],
)
def test_a_qdrant_server_is_believed_by_its_certificate(settings, tmp_path, days, trusted, words):
    key, certificate = loopback_certificate(days)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(certificate if trusted else loopback_certificate()[1])
    with FakeQdrant(api_key="key", tls=(key, certificate)) as server:
        secure = dataclasses.replace(settings, qdrant_url=f"https://{server.address}", qdrant_ca_file=ca_file)
        with opened_stores(secure, encoder_spec()) as (questions, _):
            if not words:
                questions["vector index"]()
                return
            with pytest.raises(UnavailableError, match=words):
                questions["vector index"]()


def test_an_authority_that_cannot_be_read_is_told(settings):
    wrong = dataclasses.replace(settings, qdrant_url="https://qdrant:6334", qdrant_ca_file=Path("/nowhere"))
    with pytest.raises(ConfigError, match="/nowhere cannot be read"), opened_stores(wrong, encoder_spec()):
        pass
