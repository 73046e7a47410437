"""Labelled photos: what a folder's table says of them, and their pixels."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part, part_of

from .colours import SIDE, garment_colour
from .words import GARMENT_NAMES

LARGEST_CROP: Final = 1.0
SMALLEST_CROP: Final = 0.4
"""Share of the centre square's area that a random view shows."""
WIDEST: Final = 1.25
"""Most that a random view is squeezed in one direction."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """What is known of one photo.

    Attributes:
        path: The image file.
        label: Its kind or its product, as the table writes it.
        group: A wider kind, or the label again.
        colour: A named colour, or empty.
    """

    path: Path
    label: str
    group: str
    colour: str = ""


def list_photos(folder: Path, parts: Sequence[Part] | None) -> list[Photo]:
    """Read `images.csv` of a labelled folder.

    Args:
        folder: Holds `images.csv` (`image`, `label`, and maybe `group` and `color`) and `images/`.
        parts: The parts of the fixed split that are wanted; None for all photos.

    Returns:
        The photos in the order of the file. A garment without a colour gets the one that its pixels show.

    Raises:
        ConfigError: The folder has no `images.csv`, or the table lacks a column.
    """
    table = folder / "images.csv"
    if not table.is_file():
        raise ConfigError(
            f"{folder} has no images.csv; expected a table with the columns image and label beside images/"
        )
    with table.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = {"image", "label"} - set(reader.fieldnames or ())
        if missing:
            raise ConfigError(f"{table} lacks the columns {sorted(missing)}; it has {reader.fieldnames}")
        rows = [row for row in reader if parts is None or part_of(row["image"]) in parts]
    photos = []
    for row in rows:
        path = folder / "images" / row["image"]
        colour = row.get("color") or ""
        if not colour and row["label"] in GARMENT_NAMES:
            colour = shown_colour(path)
        photos.append(Photo(path=path, label=row["label"], group=row.get("group") or row["label"], colour=colour))
    return photos


def shown_colour(path: Path) -> str:
    """Name the colour of the garment that a photo shows."""
    with Image.open(path) as opened:
        small = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return garment_colour(np.asarray(small))


def centre_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Return what the served model sees: the centre square, [side, side, 3]."""
    return _resampled(image, _centre(image.size), side)


def random_view(data: bytes, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random part of a photo, maybe mirrored, squeezed, lighter or darker.

    Args:
        data: An encoded image.
        side: Side of the view in pixels.
        rng: Source of all randomness.

    Returns:
        [side, side, 3].
    """
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    short = min(image.size)
    length = short * np.sqrt(rng.uniform(SMALLEST_CROP, LARGEST_CROP))
    squeeze = WIDEST ** rng.uniform(-0.5, 0.5)
    width, height = min(image.width, length * squeeze), min(image.height, length / squeeze)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    pixels = _resampled(image, (left, top, left + width, top + height), side)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    light, contrast = rng.uniform(0.8, 1.2, 2)
    middle = pixels.mean()
    changed = ((pixels - middle) * contrast + middle) * light
    return np.clip(changed, 0, 255).astype(np.uint8)


def _centre(size: tuple[int, int]) -> tuple[float, float, float, float]:
    short = min(size)
    left, top = (size[0] - short) / 2, (size[1] - short) / 2
    return (left, top, left + short, top + short)


def _resampled(image: Image.Image, box: tuple[float, float, float, float], side: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))
