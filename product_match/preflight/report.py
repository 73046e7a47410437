"""All checks together, of the settings in the environment where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import pymongo

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, ProductMatchError
from product_match.documents.connection import connect
from product_match.documents.mongo_errors import document_errors
from product_match.host import platforms
from product_match.host.platforms import Machine
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY
from product_match.preflight import checks
from product_match.preflight.checks import Finding, State
from product_match.settings import PREFIX, ServingSettings, VectorIndexKind

__all__ = ["DEFAULT_PORTS", "Finding", "State", "examine"]

DEFAULT_PORTS: Final = {"HTTP": 8000, "gRPC": 8001, "metrics": 8002, "health": 8003}
_PACKAGES: Final = ("product-match", "numpy", "tritonclient", "nvidia-pytriton", "qdrant-client", "onnxruntime")
_NAMED: Final = f"{PREFIX}ENCODER_DIRECTORY"


def examine(
    environment: Mapping[str, str],
    *,
    gpu: bool = False,
    ports: Mapping[str, int] = DEFAULT_PORTS,
    state_directory: Path = DEFAULT_STATE_DIRECTORY,
) -> list[Finding]:
    """Look at everything.

    Args:
        environment: Variables; where they hold the settings of a server, those and its stores are looked at too.
        gpu: True where a GPU is needed.
        ports: That the server is to listen on, by what they are for.
        state_directory: Where a local server keeps its files.
    """
    return [
        checks.machine(Machine.this()),
        checks.versions(_PACKAGES),
        checks.memory(checks.available_memory()),
        checks.shared_memory(platforms.free_shared_memory()),
        checks.disk(state_directory.resolve()),
        *checks.gpu(gpu),
        *checks.ports(ports),
        *_of_settings(environment),
    ]


def _of_settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    if not environment.get(_NAMED):
        yield checks.fine("settings", f"none in the environment ({_NAMED}): the local stack makes its own")
        return
    try:
        settings = ServingSettings.from_environment(environment)
    except ConfigError as error:
        yield checks.wrong("settings", "not readable", str(error))
        return
    yield checks.encoder(settings)
    yield checks.keys(settings, datetime.now(timezone.utc).date())
    yield from _document_store(settings)
    yield from _vector_index(settings)


def _document_store(settings: ServingSettings) -> Iterator[Finding]:
    try:
        with (
            connect(settings) as client,
            document_errors("a first question"),
            pymongo.timeout(settings.store_timeout_s),
        ):
            told = client[settings.mongodb_database].command("hello")
    except ProductMatchError as error:
        yield checks.wrong("document store", "does not answer as it should", str(error))
        return
    yield checks.fine("document store", "answers")
    if "localTime" in told:
        yield checks.clock(told["localTime"], datetime.now(timezone.utc))


def _vector_index(settings: ServingSettings) -> Iterator[Finding]:
    if settings.vector_index is VectorIndexKind.EDGE:
        yield checks.fine("vector index", "in process")
        return
    from product_match.container.stores import opened_stores

    try:
        with opened_stores(settings, load_encoder(settings.encoder_directory)) as (questions, _):
            yield checks.store("vector index", questions["vector index"])
    except ConfigError as error:
        yield checks.wrong("vector index", "cannot be asked", str(error))
