"""A checkpoint on disk: found, checked for completeness, hashed and loaded."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ensemble_builder.formats import refuse_other_formats
from ensemble_builder.safetensors_files import check_safetensors
from product_match.contract.errors import CheckpointError

logger = logging.getLogger(__name__)

CONFIG_FILE: Final = "config.json"
PREPROCESSOR_FILE: Final = "preprocessor_config.json"
PROCESSOR_FILE: Final = "processor_config.json"
"""Where transformers 5 writes the image processor, among others."""
TOKENIZER_CONFIG_FILE: Final = "tokenizer_config.json"
WEIGHTS_FILE: Final = "model.safetensors"
WEIGHTS_INDEX_FILE: Final = "model.safetensors.index.json"
PICKLED_FILE: Final = "pytorch_model.bin"
"""All that older models of the hub have. Only tensors are read from it; no code in it is run."""
HUB_FILES: Final = ("*.json", "*.txt", "*.model", "model*.safetensors")
"""What is fetched from the hub, no copies for other programs; PICKLED_FILE too where there are no safetensors."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder in Hugging Face format whose files are all there.

    Attributes:
        directory: The folder.
        name: Short name, which the encoder keeps.
        source: What the user gave: a folder or a hub id.
        config: Content of config.json.
        preprocessor: How the image processor is made.
        preprocessor_file: Name of the file that says so.
        weight_files: The safetensors files, in the order of their names, or one of pickled tensors.
        tokenizer_class: From tokenizer_config.json, where there is one.
        hub_revision: The commit that was downloaded; None for a folder.
    """

    directory: Path
    name: str
    source: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    weight_files: tuple[Path, ...]
    tokenizer_class: str = ""
    preprocessor_file: str = PREPROCESSOR_FILE
    hub_revision: str | None = None

    @property
    def text_config(self) -> Mapping[str, Any]:
        """What config.json says of the text tower; empty where it is silent, so that transformers' defaults hold."""
        return self.config.get("text_config") or {}

    @property
    def vision_config(self) -> Mapping[str, Any]:
        """What config.json says of the image tower."""
        return self.config.get("vision_config") or {}

    @property
    def has_safetensors(self) -> bool:
        """Whether the weights are safetensors."""
        return self.weight_files[0].suffix == ".safetensors"

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 over the weight files, in hex."""
        digest = hashlib.sha256()
        for path in self.weight_files:
            with path.open("rb") as stream:
                for block in iter(lambda stream=stream: stream.read(1 << 22), b""):  # type: ignore[misc]
                    digest.update(block)
        return digest.hexdigest()


def open_checkpoint(source: str, name: str | None = None) -> Checkpoint:
    """Find a checkpoint and check that it is whole.

    Args:
        source: A folder, or the id of a model on the Hugging Face hub.
        name: Short name; the folder's or the model's by default.

    Raises:
        CheckpointError: Not found, or a file is missing or damaged.
    """
    directory, hub_revision = Path(source), None
    if not directory.exists():
        directory, hub_revision = _download(source)
    refuse_other_formats(directory)
    config = _json_object(directory, CONFIG_FILE)
    preprocessor, preprocessor_file = _preprocessor(directory)
    weight_files = _weight_files(directory)
    for path in weight_files:
        if path.name == PICKLED_FILE:
            _check_pickled(path)
        else:
            check_safetensors(path)
    short = name or (Path(source).resolve().name if Path(source).is_dir() else source.rsplit("/", 1)[-1])
    return Checkpoint(
        directory=directory,
        name=short.replace("_", "-").replace("@", "-"),
        source=source,
        config=config,
        preprocessor=preprocessor,
        preprocessor_file=preprocessor_file,
        weight_files=weight_files,
        tokenizer_class=_tokenizer_class(directory),
        hub_revision=hub_revision,
    )


def _preprocessor(directory: Path) -> tuple[dict[str, Any], str]:
    """Read the image processor where transformers does: as a part of the newer file, else from its own."""
    if (directory / PROCESSOR_FILE).is_file():
        part = _json_object(directory, PROCESSOR_FILE).get("image_processor")
        if isinstance(part, dict):
            return part, PROCESSOR_FILE
    return _json_object(directory, PREPROCESSOR_FILE), PREPROCESSOR_FILE


def _tokenizer_class(directory: Path) -> str:
    if not (directory / TOKENIZER_CONFIG_FILE).is_file():
        return ""
    return str(_json_object(directory, TOKENIZER_CONFIG_FILE).get("tokenizer_class") or "")


def _download(source: str) -> tuple[Path, str]:
    """Return where a hub model was put, and its commit, which the hub's cache names the folder after."""
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise CheckpointError(
            f"checkpoint {source}: no such folder; give a folder that holds {CONFIG_FILE}, or a hub id such as "
            "openai/clip-vit-base-patch32"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(source, allow_patterns=list(HUB_FILES)))
        if not any(directory.glob("model*.safetensors")):
            directory = Path(snapshot_download(source, allow_patterns=[*HUB_FILES, PICKLED_FILE]))
        return directory, directory.name
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {source}: there is no such folder, and the hub did not give a model of this name "
            f"({type(error).__name__}: {str(error).splitlines()[0]:.200}); check the name and the network, or "
            "download the model elsewhere and give its folder"
        ) from error


def _json_object(directory: Path, file: str) -> dict[str, Any]:
    path = directory / file
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {directory}: {file} cannot be read ({error.strerror}); a checkpoint needs {CONFIG_FILE}, "
            f"{PREPROCESSOR_FILE}, {WEIGHTS_FILE} and a tokenizer"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"checkpoint {directory}: {file} is not JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"checkpoint {directory}: {file} must hold a JSON object, got {type(value).__name__}")
    return value


def _weight_files(directory: Path) -> tuple[Path, ...]:
    if (directory / WEIGHTS_FILE).is_file():
        return (directory / WEIGHTS_FILE,)
    if not (directory / WEIGHTS_INDEX_FILE).is_file():
        if (directory / PICKLED_FILE).is_file():
            return (directory / PICKLED_FILE,)
        raise CheckpointError(
            f"checkpoint {directory}: {WEIGHTS_FILE} is missing, and so is {PICKLED_FILE}; download the weights "
            "too, or save them with `model.save_pretrained(...)`"
        )
    index = _json_object(directory, WEIGHTS_INDEX_FILE)
    names = sorted(set(index.get("weight_map", {}).values()))
    missing = [name for name in names if not (directory / name).is_file()]
    if missing or not names:
        raise CheckpointError(
            f"checkpoint {directory}: {WEIGHTS_INDEX_FILE} names {', '.join(missing) or 'no file'}, which is not "
            "there; download the checkpoint again"
        )
    return tuple(directory / name for name in names)


def _check_pickled(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: damaged, or written by a torch before 1.6; download it again, or convert it with "
            "`model.save_pretrained(...)`"
        )
