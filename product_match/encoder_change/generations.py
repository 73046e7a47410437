"""Generations of a catalogue: one for each encoder that it was served with, written down in the state directory.

A generation has its own collection of documents (`products`, later `products_<encoder revision>`) and its own vector
index; photos are shared. `state.json` names the generation that is served and the one before it, which is kept for a
rollback. Replacing that file is the one moment at which the catalogue changes hands.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.host.json_files import read_json, write_json

STATE_FILE: Final = "state.json"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One encoder's catalogue.

    Attributes:
        encoder: Identity (`name@revision`) of the encoder.
        directory: The encoder directory; None where an older version did not write it down.
        name: What its collection of documents is called after the base name; empty for the first.
    """

    encoder: str
    directory: Path | None = None
    name: str = ""

    @property
    def revision(self) -> str:
        """The encoder's revision."""
        return self.encoder.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Generations:
    """What a state directory holds.

    Attributes:
        current: The generation that is served; None in a new directory.
        previous: The one before it, kept for a rollback.
    """

    current: Generation | None = None
    previous: Generation | None = None

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
