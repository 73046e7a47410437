"""The models of the running Triton: whose they are to start and end, and what those of a generation are.

Two processes start and end models: `product-match serve`, with Triton itself, and the process that changes the
encoder. Whoever does it holds the lock `models.lock` meanwhile, so neither takes the other's half-loaded models for
its own.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, StackError
from product_match.encoder_change.generations import Generation
from product_match.host.locks import try_lock
from product_match.host.polling import wait_until
from product_match.host.state_layout import StateLayout
from product_match.repository.assembly import assemble_repository
from product_match.settings import PREFIX

LOCK_FILE: Final = "models.lock"


class ModelsLock:
    """The right to start and end models; the file names Triton's process. One that is killed holds it no longer."""

    def __init__(self, state_directory: Path) -> None:
        """Use the lock of a state directory."""
        self._path = state_directory / LOCK_FILE
        self._descriptor: int | None = None

    def try_take(self) -> bool:
        """Take the lock, unless another process has it; say whether this one has it now."""
        if self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if not try_lock(descriptor):
                os.close(descriptor)
                return False
            self._descriptor = descriptor
        return True

    def take(self, timeout_s: float) -> int:
        """Wait for the lock, which `serve` has until all models are ready; return Triton's process.

        Raises:
            StackError: Another process has it, after `timeout_s` seconds.
        """
        if not wait_until(self.try_take, timeout_s):
            raise StackError(f"Triton was not ready again after {timeout_s:g} s; see its log")
        return int(self._path.read_text(encoding="ascii"))

    def give_back(self, triton_pid: int) -> None:
        """Let others start and end models of this Triton, which has all of its own."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(triton_pid).encode("ascii"), 0)
        self.release()

    def release(self) -> None:
        """Give the lock back as it is."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None


def model_variables(state: StateLayout, generation: Generation) -> dict[str, str]:
    """Return the settings that the models of a generation have in place of those in Triton's environment."""
    return {
        f"{PREFIX}ENCODER_DIRECTORY": str(Path(generation.directory or "").resolve()),
        f"{PREFIX}GENERATION": generation.name,
        f"{PREFIX}OWNER_SOCKET": str(state.owner_socket(generation.name)),
    }


def assemble_models(state: StateLayout, adapters: Path, generation: Generation) -> None:
    """Make the state directory's model repository for a generation, in place of what is there.

    Raises:
        ConfigError: The encoder cannot be read, or an adapter is missing.
    """
    if generation.directory is None:
        raise ConfigError(f"{state.path} does not say where the encoder {generation.encoder} is; give --encoder")
    encoder = load_encoder(generation.directory)
    variables = model_variables(state, generation)
    assemble_repository(adapters, encoder, state.model_repository, generation.model_suffix, variables)
