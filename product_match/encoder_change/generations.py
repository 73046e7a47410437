"""Generations of a catalogue: one for each encoder that it was served with, written down in the state directory.

A generation has its own collection of documents (`products`, later `products_<name>`), its own vector index and its
own models in Triton (`retrieval`, later `retrieval_<name>`); photos are shared. `state.json` names the one that is
served and the one before it, which is kept for a rollback. Replacing that file is the one moment at which the
catalogue changes hands.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError
from product_match.host.json_files import read_json, write_json

STATE_FILE: Final = "state.json"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One encoder's catalogue.

    Attributes:
        encoder: Identity (`name@revision`) of the encoder.
        directory: The encoder directory; None where an older version did not write it down.
        name: What its collection of documents and its models are called after; empty for the first.
    """

    encoder: str
    directory: Path | None = None
    name: str = ""

    @property
    def revision(self) -> str:
        """The encoder's revision."""
        return self.encoder.rpartition("@")[2]

    @property
    def model_suffix(self) -> str:
        """What the names of its models behind the entry points end with."""
        return f"_{self.name}" if self.name else ""


@dataclass(frozen=True, kw_only=True)
class Generations:
    """What a state directory holds.

    Attributes:
        current: The generation that is served; None in a new directory.
        previous: The one before it, kept for a rollback.
    """

    current: Generation | None = None
    previous: Generation | None = None

    def next(self, encoder: str, directory: Path) -> Generation:
        """Return the generation that `encoder` serves: the one before where it is the same, so its work is kept."""
        previous = self.previous
        name = previous.name if previous is not None and previous.encoder == encoder else encoder.rpartition("@")[2]
        return Generation(encoder=encoder, directory=directory, name=name)

    def succeeded_by(self, generation: Generation) -> Generations:
        """Return what is written down once `generation` is served."""
        return Generations(current=generation, previous=self.current)


def read_generations(state_directory: Path) -> Generations:
    """Read what the state directory holds.

    Raises:
        ConfigError: The file is damaged.
    """
    fields = read_json(state_directory / STATE_FILE)
    return Generations(current=_generation(fields), previous=_generation(fields.get("previous") or {}))


def write_generations(state_directory: Path, generations: Generations) -> None:
    """Replace what the state directory holds, in one step that survives a crash."""
    fields: dict[str, Any] = {} if generations.current is None else _fields(generations.current)
    if generations.previous is not None:
        fields["previous"] = _fields(generations.previous)
    write_json(state_directory / STATE_FILE, fields, durable=True)


def served_generation(state_directory: Path) -> Generation:
    """Return the generation that is served.

    Raises:
        ConfigError: The state directory is damaged, or no server has been ready with it.
    """
    current = read_generations(state_directory).current
    if current is None:
        raise ConfigError(f"{state_directory} names no encoder that is served; start the server again")
    return current


def serve_generation(state_directory: Path, generation: Generation) -> None:
    """Write down that a server serves `generation` since its start; the one before stays as it is."""
    write_generations(state_directory, dataclasses.replace(read_generations(state_directory), current=generation))


def starting_generation(state_directory: Path, encoder_directory: Path, *, is_default: bool) -> Generation:
    """Return what a server starts with: the catalogue's own encoder, if it has one.

    Args:
        state_directory: What the server keeps.
        encoder_directory: The encoder that was asked for.
        is_default: Whether nobody chose it; the catalogue's own then goes before.

    Raises:
        ConfigError: The encoder cannot be read, or is not the catalogue's, whose vectors would not fit.
    """
    held = read_generations(state_directory).current
    own = held.directory if held is not None and is_default else None
    # One that has been moved away may be the default all the same; its identity tells.
    directory = (own if own is not None and own.is_dir() else encoder_directory).resolve()
    encoder = load_encoder(directory).identity
    if held is not None and held.encoder != encoder:
        raise ConfigError(
            f"the state directory {state_directory} holds a catalogue of the encoder {held.encoder}, but this server "
            f"starts with {encoder}, whose vectors mean something else; "
            "leave out --encoder or give the catalogue's own, and with that server up change the encoder by "
            "`product-match reindex --checkpoint` (or go back to the one before by `product-match rollback`); "
            "or give another directory with --state-dir"
        )
    return Generation(encoder=encoder, directory=directory, name="" if held is None else held.name)


def _generation(fields: dict[str, Any]) -> Generation | None:
    if not fields.get("encoder"):
        return None
    directory = fields.get("directory")
    return Generation(
        encoder=str(fields["encoder"]),
        directory=Path(directory) if directory else None,
        name=str(fields.get("name", "")),
    )


def _fields(generation: Generation) -> dict[str, Any]:
    given = dataclasses.asdict(generation) | {"directory": str(generation.directory or "")}
    return {name: value for name, value in given.items() if value}
