"""Photos with words and labels: what precisions are calibrated on and quality is measured with."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import BuildError, ConfigError
from product_match.contract.photo_files import PHOTO_SUFFIXES
from product_match.contract.products import product_words
from product_match.repository.shipped import shipped_sample

logger = logging.getLogger(__name__)

SAMPLE_PRODUCTS: Final = "products.jsonl"


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One photo, the words that describe it, and a label that similar products share."""

    path: Path
    words: str
    label: str


def sample_photos() -> list[Photo]:
    """Return the photos of the sample catalogue, or none where it is not installed."""
    try:
        return _catalogue(shipped_sample() / SAMPLE_PRODUCTS)
    except ConfigError:  # what is built without photos says so in its report
        return []


def photos_sha256(photos: Sequence[Photo]) -> str:
    """Return the SHA-256 over photos, words and labels: what a build was measured on."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(photo.path.read_bytes() if photo.path.is_file() else b"")
        digest.update(f"\n{photo.words}\n{photo.label}\n".encode())
    return digest.hexdigest()


def user_photos(directory: Path, captions: Path | None) -> list[Photo]:
    """Return the user's own photos.

    Args:
        directory: Holds the image files.
        captions: JSON lines of products (`image`, and `name`, `category` and so on), or a CSV file with the columns
            `image`, `words` and, optionally, `label`. Without it the photos have neither words nor labels.

    Raises:
        BuildError: No photo, or a captions file that does not fit.
    """
    if captions is None:
        paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        photos = [Photo(path=path, words="", label="") for path in paths]
    elif captions.suffix == ".csv":
        photos = list(_table(captions, directory))
    else:
        photos = _catalogue(captions, directory)
    if not photos:
        raise BuildError(
            f"{captions or directory} names no photo; give a folder of JPEG, PNG or WebP files, "
            "and captions whose `image` column holds their names"
        )
    missing = [photo.path for photo in photos if not photo.path.is_file()]
    if missing:
        raise BuildError(
            f"{captions} names {len(missing)} photos that are not there, such as {missing[0]}; names are relative to "
            f"{directory}"
        )
    return photos


def _catalogue(file: Path, directory: Path | None = None) -> list[Photo]:
    root = directory or file.parent
    photos = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            product = json.loads(line)
            image = product["image"]
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(
                f"{file}, line {number}: expected a JSON object with `image`, got {line[:60]!r} ({error})"
            ) from error
        words = str(product.get("words") or product_words(product))
        photos.append(Photo(path=root / image, words=words, label=str(product.get("category", ""))))
    return photos


def _table(file: Path, directory: Path) -> Iterable[Photo]:
    with file.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        absent = {"image", "words"} - set(rows.fieldnames or ())
        if absent:
            raise BuildError(
                f"{file}: column {', '.join(sorted(absent))} is missing; the first line names the columns `image`, "
                "`words` and, optionally, `label`"
            )
        for row in rows:
            yield _photo(row, directory)


def _photo(row: Mapping[str, str], directory: Path) -> Photo:
    return Photo(path=directory / row["image"], words=row["words"] or "", label=row.get("label") or "")
