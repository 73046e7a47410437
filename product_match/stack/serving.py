"""What the processes of one generation are told: the models in Triton, and the process that changes the encoder."""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
from datetime import date
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError
from product_match.encoder_change.supervision import WORKER, WORKER_MODULE
from product_match.feedback.keys import put_key_in_front
from product_match.host.processes import ChildProcess
from product_match.settings import Secret, ServingSettings, WordsKept
from product_match.stack import document_server as documents
from product_match.stack.state import StateDirectory
from product_match.triton.flags import ADMIN_KEY_VARIABLE

_HASH_KEY_BYTES: Final = 24


def serving_settings(
    state: StateDirectory, encoder_directory: Path, mongodb_port: int, encoder_threads: int, generation: str = ""
) -> ServingSettings:
    """Return the settings of the processes that serve a generation."""
    return ServingSettings(
        encoder_directory=encoder_directory.resolve(),
        mongodb_uri=Secret(documents.uri(mongodb_port)),
        index_directory=state.index,
        owner_socket=state.owner_socket(generation),
        generation=generation,
        state_directory=state.path,
        encoder_threads=encoder_threads,
        feedback_keys=own_feedback_keys(state),
        event_hash_key=own_hash_key(state),
    )


def with_event_log(settings: ServingSettings, words: WordsKept | None, uri: str) -> ServingSettings:
    """Return the settings with an event log.

    Args:
        settings: Of the processes.
        words: What events hold of words; None for no events.
        uri: Of the MongoDB for events and feedback; empty for that of the products.
    """
    place = dataclasses.replace(settings, event_uri=Secret(uri))
    return place if words is None else dataclasses.replace(place, event_log=True, event_words=words)


def own_feedback_keys(state: StateDirectory) -> Secret:
    """Return the keys that sign answers; a first one is made where there is none.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = state.feedback_keys
    if not path.exists():
        put_key_in_front(path, "HS256", date.today().isoformat(), kept=0)
    try:
        return Secret(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); let its owner start the server") from error


def own_hash_key(state: StateDirectory) -> Secret:
    """Return the key of the digests that events hold; it is made where there is none.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = state.event_hash_key
    try:
        if not path.exists() or not path.stat().st_size:
            path.touch(0o600)
            path.write_text(secrets.token_hex(_HASH_KEY_BYTES), encoding="ascii")
        return Secret(path.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read or written ({error.strerror}); see who owns it") from error


def encoder_change_worker(
    state: StateDirectory, settings: ServingSettings, adapters: Path, grpc_address: str, admin_key: str
) -> ChildProcess:
    """Return the process that changes the encoder as `reindex.json` asks, not yet started."""
    variables = {**settings.to_environment(), ADMIN_KEY_VARIABLE: admin_key}
    return ChildProcess(
        name=WORKER,
        command=[sys.executable, "-m", WORKER_MODULE, str(adapters.resolve()), grpc_address],
        environment={**documents.process_environment(os.environ), **variables},
        log_file=state.logs / "reindex.log",
    )
