"""Assembles a model repository for one encoder: generated configurations beside the committed adapters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.contract.models import composing_models, ensembles
from product_match.repository.configuration import ensemble_configuration, model_configuration

CONFIG_FILE: Final = "config.pbtxt"
ADAPTER_FILE: Final = "model.py"


def configurations(encoder: EncoderSpec) -> dict[str, str]:
    """Return the text of each model's `config.pbtxt`, by model name."""
    models = composing_models(encoder)
    texts = {model.name: model_configuration(model) for model in models}
    texts |= {ensemble.name: ensemble_configuration(ensemble, models) for ensemble in ensembles(encoder)}
    return texts


def drifted(repository: Path, encoder: EncoderSpec) -> list[str]:
    """Return the models whose committed configuration is missing, differs from the contract, or is unknown to it."""
    wanted = configurations(encoder)
    committed = {path.parent.name: path.read_text(encoding="utf-8") for path in repository.glob(f"*/{CONFIG_FILE}")}
    return sorted(name for name in wanted.keys() | committed.keys() if wanted.get(name) != committed.get(name))


def write_configurations(repository: Path, encoder: EncoderSpec) -> None:
    """Write every `config.pbtxt` of `encoder` and the version folders that Triton asks for."""
    for name, text in configurations(encoder).items():
        (repository / name / "1").mkdir(parents=True, exist_ok=True)
        (repository / name / CONFIG_FILE).write_text(text, encoding="utf-8")


def assemble_repository(adapters: Path, encoder: EncoderSpec, target: Path) -> None:
    """Make `target` the model repository for `encoder`.

    Args:
        adapters: The committed repository, whose `<model>/1/model.py` files are copied.
        encoder: What the configurations are generated for.
        target: Replaced as a whole.

    Raises:
        ConfigError: An adapter is missing.
    """
    if target.exists():
        shutil.rmtree(target)
    write_configurations(target, encoder)
    for model in composing_models(encoder):
        source = adapters / model.name / "1" / ADAPTER_FILE
        if not source.is_file():
            raise ConfigError(f"{source} is missing; the model repository is incomplete, check the project out again")
        shutil.copyfile(source, target / model.name / "1" / ADAPTER_FILE)
