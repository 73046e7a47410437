"""Assembles a model repository for one encoder: generated configurations beside the committed adapters."""

from __future__ import annotations

import dataclasses
import py_compile
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.contract.models import STANDING, EnsembleSpec, ModelSpec, composing_models, ensembles
from product_match.repository.configuration import ensemble_configuration, model_configuration

CONFIG_FILE: Final = "config.pbtxt"
ADAPTER_FILE: Final = "model.py"


def configurations(
    encoder: EncoderSpec, suffix: str = "", variables: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the text of each model's `config.pbtxt`, by model name.

    Args:
        encoder: What they are generated for.
        suffix: What the names of the models behind the entry points end with.
        variables: Settings that the models have in place of those in Triton's environment.
    """
    models = tuple(_model_renamed(model, suffix) for model in composing_models(encoder))
    texts = {model.name: model_configuration(model, variables=variables) for model in models}
    for ensemble in ensembles(encoder):
        renamed = _ensemble_renamed(ensemble, suffix)
        texts[renamed.name] = ensemble_configuration(renamed, models)
    return texts


def entry_points(encoder: EncoderSpec) -> list[str]:
    """Return the names of the models that clients call; they are the same for every encoder."""
    return [*STANDING, *(ensemble.name for ensemble in ensembles(encoder))]


def composing_names(encoder: EncoderSpec, suffix: str = "") -> list[str]:
    """Return the names of the models that only the entry points call."""
    models = (_model_renamed(model, suffix) for model in composing_models(encoder))
    return [model.name for model in models if model.name not in STANDING]


def drifted(repository: Path, encoder: EncoderSpec) -> list[str]:
    """Return the models whose committed configuration is missing, differs from the contract, or is unknown to it."""
    wanted = configurations(encoder)
    committed = {path.parent.name: path.read_text(encoding="utf-8") for path in repository.glob(f"*/{CONFIG_FILE}")}
    return sorted(name for name in wanted.keys() | committed.keys() if wanted.get(name) != committed.get(name))


def write_configurations(repository: Path, encoder: EncoderSpec) -> None:
    """Write every `config.pbtxt` of `encoder` and the version folders that Triton asks for."""
    _write(repository, configurations(encoder))


def assemble_repository(
    adapters: Path,
    encoder: EncoderSpec,
    target: Path,
    suffix: str = "",
    variables: Mapping[str, str] | None = None,
) -> None:
    """Make `target` the model repository for `encoder`.

    Args:
        adapters: The committed repository, whose `<model>/1/model.py` files are copied.
        encoder: What the configurations are generated for.
        target: Replaced as a whole.
        suffix: What the names of the models behind the entry points end with.
        variables: Settings that the models have in place of those in Triton's environment.

    Raises:
        ConfigError: An adapter is missing.
    """
    if target.exists():
        shutil.rmtree(target)
    _write(target, configurations(encoder, suffix, variables))
    for model in composing_models(encoder):
        _copy_adapter(adapters, model.name, target / _model_renamed(model, suffix).name)


def add_composing_models(
    adapters: Path, encoder: EncoderSpec, target: Path, suffix: str, variables: Mapping[str, str]
) -> None:
    """Put the models of another encoder beside those in `target`; what clients call stays as it is.

    Raises:
        ConfigError: An adapter is missing.
    """
    texts = configurations(encoder, suffix, variables)
    _write(target, {name: texts[name] for name in composing_names(encoder, suffix)})
    for plain, name in zip(composing_names(encoder), composing_names(encoder, suffix), strict=True):
        _copy_adapter(adapters, plain, target / name)


def write_entry_point(
    name: str, encoder: EncoderSpec, target: Path, suffix: str, variables: Mapping[str, str]
) -> None:
    """Let the entry point `name` lead to the models of `encoder` once Triton loads it again."""
    _write(target, {name: configurations(encoder, suffix, variables)[name]})


def _write(repository: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (repository / name / "1").mkdir(parents=True, exist_ok=True)
        (repository / name / CONFIG_FILE).write_text(text, encoding="utf-8")


def _copy_adapter(adapters: Path, model: str, target: Path) -> None:
    source = adapters / model / "1" / ADAPTER_FILE
    if not source.is_file():
        raise ConfigError(f"{source} is missing; the model repository is incomplete, check the project out again")
    copy = target / "1" / ADAPTER_FILE
    shutil.copyfile(source, copy)
    # Byte code that Python wrote later would be a change of the folder: Triton would load the model again together
    # with every ensemble that it loads.
    py_compile.compile(str(copy), doraise=True)


def _model_renamed(model: ModelSpec, suffix: str) -> ModelSpec:
    return model if model.name in STANDING else dataclasses.replace(model, name=model.name + suffix)


def _ensemble_renamed(ensemble: EnsembleSpec, suffix: str) -> EnsembleSpec:
    return dataclasses.replace(ensemble, steps=tuple(step + suffix for step in ensemble.steps))
