"""How a change of encoder is asked for and how it stands: `reindex.json` in the state directory.

The model `catalogue` writes a request there, `product-match serve` starts the process that performs it, that process
writes how it gets on, and once it has ended, `serve` writes how. Each replaces the file as a whole, and none writes
while another does.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec, load_encoder
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.encoder_change.generations import Generation, read_generations
from product_match.encoder_change.handover import stop_noting
from product_match.host.json_files import read_json, write_json

CHANGE_FILE: Final = "reindex.json"
MODELS_FILE: Final = "models.json"
REQUESTED: Final = "requested"
RUNNING: Final = "running"
DONE: Final = "done"
SWITCHING: Final = "switching"
ENDING: Final = "ending the old models"
FAILED: Final = "failed"
AGAIN: Final = "the encoder before goes on serving, and the same command goes on where it stopped"

Change = dict[str, Any]


def read_change(state_directory: Path) -> Change:
    """Return how the last change of encoder stands; empty where there was none."""
    return read_json(state_directory / CHANGE_FILE)


def write_change(state_directory: Path, change: Mapping[str, Any]) -> None:
    """Replace what is known of the change of encoder."""
    write_json(state_directory / CHANGE_FILE, change)


@dataclass(frozen=True, kw_only=True)
class RunningModels:
    """The models that answer now, for the process that puts others in their place.

    Attributes:
        triton_pid: Triton's process.
        suffix: What the names of the models behind the entry points end with.
        ready: Whether Triton has all of them, and whoever looks after it has noted their processes.
    """

    triton_pid: int
    suffix: str = ""
    ready: bool = False


def read_models(state_directory: Path) -> RunningModels:
    """Return the models that answer now; Triton may have been started again since they were asked for last."""
    return RunningModels(**read_json(state_directory / MODELS_FILE))


def write_models(state_directory: Path, models: RunningModels) -> None:
    """Replace what is known of the models that answer."""
    write_json(state_directory / MODELS_FILE, dataclasses.asdict(models))


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
        write_change(state_directory, {**change, **end, "touched": False})
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


def succeeding(state_directory: Path, encoder: str, directory: Path) -> Generation:
    """Return the generation that `encoder` serves: the one before where it is the same, so that its work is kept."""
    previous = read_generations(state_directory).previous
    revision = encoder.rpartition("@")[2]
    name = previous.name if previous is not None and previous.encoder == encoder else revision
    return Generation(encoder=encoder, directory=directory, name=name)


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
    current = read_generations(state).current
    before = read_change(state)
    if going_on(before):
        if before.get("encoder") == encoder.identity:
            return before
        raise InvalidRequestError(
            f"reindex: the change to {before.get('encoder')} is still going on; wait for its end "
            "(`product-match status` shows it)"
        )
    held = None if current is None else current.encoder
    change: Change = {"id": uuid.uuid4().hex, "encoder": encoder.identity, "from": held, "directory": str(directory)}
    if encoder.identity == held:
        return {**change, "state": DONE, "message": "this encoder is the one that is served"}
    change["state"] = REQUESTED
    write_change(state, change)
    return change
