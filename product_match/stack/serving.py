"""What the processes of one generation are told: the models in Triton, and the process that changes the encoder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError
from product_match.encoder_change.generations import Generation
from product_match.encoder_change.succession import WORKER
from product_match.encoder_change.task import ADMIN_KEY_VARIABLE, MODULE, ReindexTask, generation_variables
from product_match.host.processes import ChildProcess
from product_match.repository.assembly import assemble_repository
from product_match.settings import Secret, ServingSettings
from product_match.stack import document_server as documents
from product_match.stack.state import StateDirectory


def starting_generation(state: StateDirectory, encoder_directory: Path, *, is_default: bool) -> Generation:
    """Return what a server starts with: the catalogue's own encoder, if it has one.

    Args:
        state: The state directory.
        encoder_directory: The encoder that was asked for.
        is_default: Whether nobody chose it; the catalogue's own then goes before.

    Raises:
        ConfigError: The encoder cannot be read, or is not the catalogue's.
    """
    held = state.generations.current
    own = held.directory if held is not None and is_default else None
    # One that has been moved away may be the default all the same; its identity tells.
    directory = (own if own is not None and own.is_dir() else encoder_directory).resolve()
    encoder = load_encoder(directory).identity
    state.check_encoder(encoder)
    return Generation(encoder=encoder, directory=directory, name="" if held is None else held.name)


def assemble_models(state: StateDirectory, adapters: Path, generation: Generation) -> None:
    """Make the state directory's model repository for a generation.

    Raises:
        ConfigError: The encoder cannot be read, or an adapter is missing.
    """
    if generation.directory is None:
        raise ConfigError(f"{state.path} does not say where the encoder {generation.encoder} is; give --encoder")
    encoder = load_encoder(generation.directory)
    assemble_repository(adapters, encoder, state.model_repository, generation_variables(state, generation))


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
    )


def change_worker(
    state: StateDirectory, task: ReindexTask, settings: ServingSettings, admin_key: str
) -> ChildProcess:
    """Return the process that changes the encoder, not yet started."""
    variables = {**settings.to_environment(), ADMIN_KEY_VARIABLE: admin_key}
    return ChildProcess(
        name=WORKER,
        command=[sys.executable, "-m", MODULE, task.to_json()],
        environment={**documents.process_environment(os.environ), **variables},
        log_file=state.logs / "reindex.log",
    )
