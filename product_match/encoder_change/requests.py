"""How a change of encoder is asked for and how it stands: `reindex.json` in the state directory.

The model `catalogue` writes a request there, `product-match serve` starts the process that performs it, that process
writes how it gets on, and once it has ended, `serve` writes how. Each replaces the file as a whole, and none writes
while another does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import (
    ENCODER_FILE,
    IMAGE_ONNX_FILE,
    TEXT_ONNX_FILE,
    EncoderSpec,
    load_encoder,
)
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.encoder_change.generations import Generation, read_generations
from product_match.encoder_change.writers import stop_noting
from product_match.host.json_files import read_json, write_json

CHANGE_FILE: Final = "reindex.json"
REQUESTED: Final = "requested"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
EMBEDDING: Final = "embedding"
LOADING: Final = "loading the models"
SWITCHING: Final = "switching"
ENDING: Final = "ending the old models"
OVER: Final = ""
AMONG_MODELS: Final = (LOADING, SWITCHING, ENDING)
"""Stages in which models of two encoders are loaded."""

OLD_MODELS_END: Final = (SWITCHING, ENDING, OVER)
"""Stages in which models' processes end, or have ended, that are meant to."""

AGAIN: Final = "the encoder before goes on serving, and the same command goes on where it stopped"

_REPORT_S: Final = 0.5

Change = dict[str, Any]


def read_change(state_directory: Path) -> Change:
    """Return how the last change of encoder stands; empty where there was none."""
    return read_json(state_directory / CHANGE_FILE)


def write_change(state_directory: Path, change: Mapping[str, Any]) -> None:
    """Replace what is known of the change of encoder."""
    write_json(state_directory / CHANGE_FILE, change)


class ChangeReport:
    """Writes how the change gets on, for `status` and for whoever looks after this process."""

    def __init__(self, state_directory: Path) -> None:
        """Go on from what was asked for."""
        self._directory = state_directory
        self.change = read_change(state_directory)
        self._started = time.monotonic()
        self._written = float("-inf")

    def tell(self, **fields: Any) -> None:
        """Note `fields`, and write them now."""
        self.change |= {**fields, "seconds": round(time.monotonic() - self._started, 1)}
        write_change(self._directory, self.change)
        self._written = time.monotonic()

    def count(self, done: int) -> None:
        """Note how many products were compared, and write it now and then."""
        if time.monotonic() - self._written > _REPORT_S:
            self.tell(done=done)


def going_on(change: Mapping[str, Any]) -> bool:
    """Say whether a change is asked for or under way."""
    return change.get("state") in (REQUESTED, RUNNING)


def forget_change(state_directory: Path) -> None:
    """Note, at a start, that a change which was going on has ended with the server that performed it."""
    change = read_change(state_directory)
    if going_on(change):
        current = read_generations(state_directory).current
        if current is not None and current.encoder == change.get("encoder"):
            end: Change = {"state": DONE}
        else:
            end = {"state": FAILED, "message": f"the server ended; {AGAIN}"}
        write_change(state_directory, {**change, **end})
    stop_noting(state_directory)


def request_reindex(state_directory: Path | None, directory: str) -> Change:
    """Ask for the encoder in `directory` to be served, and return how that stands.

    Raises:
        InvalidRequestError: This server cannot, the directory is no encoder for it, or another change is going on.
    """
    state = _state_directory(state_directory, "reindex")
    path = Path(directory)
    if not path.is_absolute():
        raise InvalidRequestError(
            f"reindex: `encoder` must be an absolute path on the server, got {directory!r:.200}"
        )
    return _request(state, path, _embedded_encoder(path))


def request_rollback(state_directory: Path | None) -> Change:
    """Ask for the encoder before to be served again, and return how that stands.

    Raises:
        InvalidRequestError: This server cannot, there is none, or another change is going on.
    """
    state = _state_directory(state_directory, "rollback")
    previous = read_generations(state).previous
    if previous is None or previous.directory is None:
        raise InvalidRequestError(
            "rollback: the catalogue has had no encoder before this one; change it with "
            "`product-match reindex --checkpoint`"
        )
    encoder = _embedded_encoder(previous.directory)
    if encoder.identity != previous.encoder:
        raise InvalidRequestError(
            f"rollback: {previous.directory} held the encoder {previous.encoder} and now holds {encoder.identity}; "
            "put the old one back, or name it with `product-match reindex --checkpoint`"
        )
    return _request(state, previous.directory, encoder)


def _state_directory(state_directory: Path | None, operation: str) -> Path:
    if state_directory is None:
        raise InvalidRequestError(
            f"{operation}: this server was not started by `product-match serve`; start a second one with the new "
            "encoder beside it, as docs/production.md says"
        )
    return state_directory


def _embedded_encoder(directory: Path) -> EncoderSpec:
    try:
        encoder = load_encoder(directory)
    except ConfigError as error:
        raise InvalidRequestError(f"reindex: {error}") from error
    missing = [name for name in (IMAGE_ONNX_FILE, TEXT_ONNX_FILE) if not (directory / name).is_file()]
    if missing:
        raise InvalidRequestError(
            f"reindex: {directory} has no {' and no '.join(missing)}; build the encoder with "
            "`ensemble-builder build --target embedded`"
        )
    return encoder


def _request(state: Path, directory: Path, encoder: EncoderSpec) -> Change:
    generations = read_generations(state)
    before = read_change(state)
    if going_on(before):
        if before.get("encoder") == encoder.identity:
            return before
        raise InvalidRequestError(
            f"reindex: the change to {before.get('encoder')} is still going on; wait for its end "
            "(`product-match status` shows it)"
        )
    held = None if generations.current is None else generations.current.encoder
    change: Change = {"id": uuid.uuid4().hex, "encoder": encoder.identity, "from": held, "directory": str(directory)}
    for generation in (generations.current, generations.previous):
        _check_precision(encoder, directory, generation)
    if encoder.identity == held:
        return {**change, "state": DONE, "message": "this encoder is the one that is served"}
    change["state"] = REQUESTED
    write_change(state, change)
    return change


def _check_precision(encoder: EncoderSpec, directory: Path, held: Generation | None) -> None:
    """Refuse another precision under an identity that the catalogue knows, as encoders of older versions may have."""
    if held is None or held.encoder != encoder.identity:
        return
    if held.directory is None or not (held.directory / ENCODER_FILE).is_file():
        return
    known = load_encoder(held.directory)
    if known.identity == encoder.identity and known.precision != encoder.precision:
        raise InvalidRequestError(
            f"reindex: {directory} holds {encoder.identity} in {encoder.precision}, and the catalogue knows the one "
            f"of that name in {known.precision}: an older version built one of them, and their vectors could not be "
            "told apart; build it again with `ensemble-builder build`"
        )
