"""What is generated and committed: configurations of the shipped encoder, the clients' options, the pages' tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from product_match.contract.encoder import EncoderSpec, load_encoder
from product_match.repository.assembly import drifted, write_configurations
from product_match.repository.client_options import client_options
from product_match.repository.shipped import ENCODER, MODEL_REPOSITORY
from product_match.repository.tables import filled

CLIENT_OPTIONS: Final = Path("clients/product_match_client/options.py")


def stale_files(project: Path) -> list[str]:
    """Return the files that differ from the contract, relative to the project.

    Raises:
        ConfigError: The shipped encoder is missing, or a mark names no table.
    """
    encoder = load_encoder(project / ENCODER)
    models = [f"{MODEL_REPOSITORY}/{name}/config.pbtxt" for name in drifted(project / MODEL_REPOSITORY, encoder)]
    texts = _texts(project, encoder)
    return models + [str(path.relative_to(project)) for path, text in texts.items() if text != _read(path)]


def write_generated(project: Path) -> None:
    """Write the configurations, options and tables anew.

    Raises:
        ConfigError: The shipped encoder is missing, or a mark names no table.
    """
    encoder = load_encoder(project / ENCODER)
    write_configurations(project / MODEL_REPOSITORY, encoder)
    for path, text in _texts(project, encoder).items():
        path.write_text(text, encoding="utf-8")


def _texts(project: Path, encoder: EncoderSpec) -> Mapping[Path, str]:
    """Return what files should hold that are not configurations."""
    pages = [project / "README.md", *sorted((project / "docs").glob("*.md"))]
    return {project / CLIENT_OPTIONS: client_options(), **{page: filled(_read(page), encoder) for page in pages}}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
