"""What is generated and committed: configurations of the shipped encoder, and the tables in the Markdown files."""

from __future__ import annotations

from pathlib import Path

from product_match.contract.encoder import load_encoder
from product_match.repository.assembly import drifted, write_configurations
from product_match.repository.shipped import ENCODER, MODEL_REPOSITORY
from product_match.repository.tables import filled


def stale_files(project: Path) -> list[str]:
    """Return what differs from the contract: model names and Markdown files, relative to the project.

    Raises:
        ConfigError: The shipped encoder is missing, or a mark names no table.
    """
    encoder = load_encoder(project / ENCODER)
    models = [f"{MODEL_REPOSITORY}/{name}/config.pbtxt" for name in drifted(project / MODEL_REPOSITORY, encoder)]
    pages = [page for page in _pages(project) if filled(_read(page), encoder) != _read(page)]
    return models + [str(page.relative_to(project)) for page in pages]


def write_generated(project: Path) -> None:
    """Write the configurations and tables anew.

    Raises:
        ConfigError: The shipped encoder is missing, or a mark names no table.
    """
    encoder = load_encoder(project / ENCODER)
    write_configurations(project / MODEL_REPOSITORY, encoder)
    for page in _pages(project):
        page.write_text(filled(_read(page), encoder), encoding="utf-8")


def _pages(project: Path) -> list[Path]:
    return [project / "README.md", *sorted((project / "docs").glob("*.md"))]


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")
