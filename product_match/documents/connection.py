"""The connection to the document store, with the time limits that every process keeps."""

from __future__ import annotations

from typing import Any, Final

import pymongo

from product_match.contract.errors import ConfigError
from product_match.documents.mongo_errors import document_errors
from product_match.settings import ServingSettings

_SOCKET_TIMEOUT_S: Final = 15.0


def connect(settings: ServingSettings, uri: str = "") -> pymongo.MongoClient[dict[str, Any]]:
    """Return a client.

    A store that is away is told within the store timeout by every call. One that hangs is told as fast where a call
    sets `pymongo.timeout`, as those that answer a request do; the others, which move whole pages, wait longer.

    Args:
        settings: The time limit of a call, and where the products are.
        uri: Of another store; the products' unless given.

    Raises:
        ConfigError: The URI is wrong.
    """
    limit_ms = int(settings.store_timeout_s * 1000)
    try:
        with document_errors("connecting"):
            return pymongo.MongoClient(
                uri or settings.mongodb_uri.value,
                appname="product-match",
                serverSelectionTimeoutMS=limit_ms,
                connectTimeoutMS=limit_ms,
                waitQueueTimeoutMS=limit_ms,
                socketTimeoutMS=int(_SOCKET_TIMEOUT_S * 1000),
                maxPoolSize=16,
            )
    except ValueError as error:
        raise ConfigError(f"document store: its URI is wrong ({error}); correct it") from error
