"""What the process that changes the encoder is told, and what its variables are called."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.encoder_change.generations import Generation
from product_match.host.state_layout import StateLayout
from product_match.settings import PREFIX

MODULE: Final = "product_match.encoder_change.worker"
ADMIN_KEY_VARIABLE: Final = "TRITON_ADMIN_KEY"


@dataclass(frozen=True, kw_only=True)
class ReindexTask:
    """One change of encoder.

    Attributes:
        state_directory: Of the server.
        adapters: The committed model repository.
        grpc: Where Triton answers.
        encoder: Identity of the new encoder.
        directory: The new encoder directory.
    """

    state_directory: str
    adapters: str
    grpc: str
    encoder: str
    directory: str

    @property
    def new_suffix(self) -> str:
        """What the names of the new encoder's models end with."""
        return f"_{self.encoder.rpartition('@')[2]}"

    def to_json(self) -> str:
        """Return the argument of the process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReindexTask:
        """Read the argument of the process."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)


def generation_variables(state: StateLayout, generation: Generation) -> dict[str, str]:
    """Return the settings that the models of a generation have in place of those in Triton's environment."""
    return {
        f"{PREFIX}ENCODER_DIRECTORY": str(Path(generation.directory or "").resolve()),
        f"{PREFIX}GENERATION": generation.name,
        f"{PREFIX}OWNER_SOCKET": str(state.owner_socket(generation.name)),
    }
