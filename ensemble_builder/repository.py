"""The model repository beside the encoders, for either target."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.contract.limits import MAX_BATCH_SIZE
from product_match.contract.models import ModelSpec, Role, composing_models, ensembles
from product_match.repository.assembly import ADAPTER_FILE, CONFIG_FILE, assemble_repository
from product_match.repository.configuration import (
    engine_configuration,
    ensemble_configuration,
    model_configuration,
)
from product_match.repository.shipped import shipped_adapters

REPOSITORY_DIRECTORY: Final = "model_repository"


def assemble_embedded(spec: EncoderSpec, directory: Path, adapters: Path | None = None) -> Path:
    """Make the model repository of an encoder directory for the embedded stack.

    Raises:
        ConfigError: An adapter is missing.
    """
    target = directory / REPOSITORY_DIRECTORY
    assemble_repository(adapters or shipped_adapters(), spec, target)
    return target


def assemble_production(
    spec: EncoderSpec, directory: Path, plans: Mapping[str, Path], max_batch_size: int, adapters: Path | None = None
) -> Path:
    """Make the model repository of an encoder directory for production: encoders are TensorRT engines.

    Args:
        spec: The declaration of `directory`.
        directory: The encoder directory; the repository is made in it, and links to the plans there.
        plans: The plan of each encoder.
        max_batch_size: Of the encoders; requests have at most `limits.MAX_BATCH_SIZE` rows anyway.
        adapters: Folder of the models' adapters; the project's own by default.

    Raises:
        ConfigError: An adapter is missing.
    """
    sources = adapters or shipped_adapters()
    target = directory / REPOSITORY_DIRECTORY
    shutil.rmtree(target, ignore_errors=True)
    models = tuple(_sized(model, max_batch_size) for model in composing_models(spec))
    for model in models:
        version = target / model.name / "1"
        version.mkdir(parents=True)
        if model.role is Role.ENCODER:
            plan = plans[model.name]
            # A link keeps a gigabyte from lying there twice, and holds when the directory is mounted elsewhere.
            (version / plan.name).symlink_to(Path("../../..") / plan.name)
            text = engine_configuration(model, spec, plan.name)
        else:
            _copy_adapter(sources, model.name, version)
            text = model_configuration(model)
        (target / model.name / CONFIG_FILE).write_text(text, encoding="utf-8")
    for ensemble in ensembles(spec):
        sized = dataclasses.replace(ensemble, max_batch_size=min(max_batch_size, MAX_BATCH_SIZE))
        (target / ensemble.name / "1").mkdir(parents=True)
        (target / ensemble.name / CONFIG_FILE).write_text(ensemble_configuration(sized, models), encoding="utf-8")
    return target


def _sized(model: ModelSpec, max_batch_size: int) -> ModelSpec:
    size = max_batch_size if model.role is Role.ENCODER else min(max_batch_size, MAX_BATCH_SIZE)
    return dataclasses.replace(model, max_batch_size=size)


def _copy_adapter(adapters: Path, name: str, version: Path) -> None:
    source = adapters / name / "1" / ADAPTER_FILE
    if not source.is_file():
        raise ConfigError(f"{source} is missing; the model repository is incomplete, check the project out again")
    shutil.copyfile(source, version / ADAPTER_FILE)
