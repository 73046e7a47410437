"""Settings are read in one place, checked when made, and never show a secret."""

from __future__ import annotations

import pytest

from product_match.contract.errors import ConfigError
from product_match.settings import PREFIX, Secret, ServingSettings, WordsKept, redacted

EMBEDDED = {
    "ENCODER_DIRECTORY": "/encoder",
    "MONGODB_URI": "mongodb://shop:hunter2@localhost:27017",
    "INDEX_DIRECTORY": "/index",
    "OWNER_SOCKET": "/owner.sock",
}


def read(**changes):
    given = {name: value for name, value in {**EMBEDDED, **changes}.items() if value is not None}
    return ServingSettings.from_environment({PREFIX + name: value for name, value in given.items()} | {"HOME": "/"})


def test_settings_survive_a_round_trip_through_the_environment():
    settings = read(STORE_TIMEOUT_S="0.5", ENCODER_THREADS="2", COLLECTION="shop", METRICS_ADDRESS="triton:8002")
    assert ServingSettings.from_environment(settings.to_environment()) == settings
    assert (settings.store_timeout_s, settings.encoder_threads, settings.collection) == (0.5, 2, "shop")
    assert settings.metrics_address == "triton:8002"


def test_the_settings_of_the_event_log_survive_it_too():
    settings = read(EVENT_LOG="on", EVENT_WORDS="hashed", EVENT_HASH_KEY="k", EVENT_DAYS="7", FEEDBACK_KEYS="{}")
    assert ServingSettings.from_environment(settings.to_environment()) == settings
    assert (settings.event_log, settings.event_words, settings.event_days) == (True, WordsKept.HASHED, 7.0)
    assert read().event_log is read(EVENT_LOG="off").event_log is False


def test_a_server_needs_no_directory():
    settings = read(VECTOR_INDEX="server", QDRANT_URL="qdrant:6334", INDEX_DIRECTORY=None, OWNER_SOCKET=None)
    assert settings.qdrant_url == "qdrant:6334"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ENCODER_DIRECTORY": None}, "PRODUCT_MATCH_ENCODER_DIRECTORY is not set; Directory that"),
        ({"MONGODB_URI": ""}, "PRODUCT_MATCH_MONGODB_URI is not set"),
        ({"MONGO": "x"}, "PRODUCT_MATCH_MONGO is not a setting; known are COLLECTION"),
        ({"MONGODB_URI": "${MONGODB_URI}"}, "PRODUCT_MATCH_MONGODB_URI still holds the placeholder ${MONGODB_URI}"),
        ({"QDRANT_SHARDS": "-1"}, "PRODUCT_MATCH_QDRANT_SHARDS must be 0 to 1000, got -1"),
        (
            {"QDRANT_REPLICAS": "2", "QDRANT_WRITE_COPIES": "3"},
            "no write could ever count; ask for no more copies than there are",
        ),
        ({"VECTOR_INDEX": "faiss"}, "must be `edge` or `server`, got `faiss`"),
        ({"INDEX_DIRECTORY": None}, "needs PRODUCT_MATCH_INDEX_DIRECTORY and PRODUCT_MATCH_OWNER_SOCKET; set both"),
        ({"VECTOR_INDEX": "server"}, "needs PRODUCT_MATCH_QDRANT_URL as host:port; set it"),
        ({"STORE_TIMEOUT_S": "soon"}, "PRODUCT_MATCH_STORE_TIMEOUT_S must be a number, got `soon`"),
        ({"STORE_TIMEOUT_S": "0"}, "must be above 0 and at most 30 seconds, got 0.0"),
        ({"ENCODER_THREADS": "2.5"}, "PRODUCT_MATCH_ENCODER_THREADS must be a whole number, got `2.5`"),
        ({"ENCODER_THREADS": "-1"}, "PRODUCT_MATCH_ENCODER_THREADS must be 0 to 256, got -1"),
        ({"FEEDBACK_DAYS": "0"}, "PRODUCT_MATCH_FEEDBACK_DAYS must be above 0 and at most 3,650 days, got 0"),
        ({"EVENT_DAYS": "9999"}, "PRODUCT_MATCH_EVENT_DAYS must be above 0 and at most 3,650 days, got 9999"),
        ({"EVENT_LOG": "yes"}, "PRODUCT_MATCH_EVENT_LOG must be `on` or `off`, got `yes`"),
        (
            {"EVENT_WORDS": "some"},
            "PRODUCT_MATCH_EVENT_WORDS must be one of `kept`, `hashed`, `left_out`, got `some`",
        ),
        (
            {"EVENT_LOG": "on", "EVENT_WORDS": "hashed"},
            "EVENT_WORDS=hashed needs PRODUCT_MATCH_EVENT_HASH_KEY, or who has",
        ),
        ({"METRICS_ADDRESS": "8002"}, "PRODUCT_MATCH_METRICS_ADDRESS must be host:port, got `8002`"),
        ({"METRICS_ADDRESS": "triton:0"}, "PRODUCT_MATCH_METRICS_ADDRESS must be host:port, got `triton:0`"),
    ],
)
def test_a_wrong_setting_is_named(changes, words):
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    assert words in str(caught.value)


def test_a_secret_may_stand_in_a_file(tmp_path):
    secret = tmp_path / "keys"
    secret.write_text('{"keys": []}\n')
    assert read(FEEDBACK_KEYS_FILE=str(secret)).feedback_keys == Secret('{"keys": []}')
    assert read(MONGODB_URI=None, MONGODB_URI_FILE=str(secret)).mongodb_uri == Secret('{"keys": []}')
    with pytest.raises(ConfigError, match="MONGODB_URI and PRODUCT_MATCH_MONGODB_URI_FILE are both set; keep one of"):
        read(MONGODB_URI_FILE=str(secret))
    with pytest.raises(
        ConfigError, match=r"PRODUCT_MATCH_EVENT_URI_FILE: .*gone cannot be read \(.*; name a text file"
    ):
        read(EVENT_URI_FILE=str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="PRODUCT_MATCH_COLLECTION_FILE is not a setting"):
        read(COLLECTION_FILE=str(secret))


def test_secrets_never_show():
    settings = read()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    assert str(Secret("hunter2")) == "********"
    assert str(Secret("")) == ""
    assert redacted(settings.mongodb_uri.value) == "mongodb://shop:********@localhost:27017"
    assert redacted("mongodb://localhost:1") == "mongodb://localhost:1"
