"""Labelled photos in memory: decoded once, squeezed to squares of uint8."""

from __future__ import annotations

import csv
import logging
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

CACHE_SIDE: Final = 160
CLOTHING: Final = "clothing"
GROCERIES: Final = "groceries"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Photo:
    """What is known of one photo before it is decoded.

    Attributes:
        path: The image file.
        label: Garment or product.
        group: Kind of grocery, or the label again for a garment.
        category: `Fruit`, `Vegetables`, `Packages`, or `clothing`.
        kids: Whether a garment is for children.
    """

    path: Path
    label: str
    group: str
    category: str
    kids: bool = False

    @property
    def area(self) -> str:
        """`clothing` or `groceries`."""
        return CLOTHING if self.category == CLOTHING else GROCERIES


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded photos and their colours, row by row.

    Attributes:
        photos: What is known of each photo.
        pixels: [n, 3, CACHE_SIDE, CACHE_SIDE] uint8, each whole photo squeezed to a square.
        aspects: [n] float32, width over height of the photo.
        colours: Named colour of each garment, empty for groceries.
    """

    photos: tuple[Photo, ...]
    pixels: NDArray[np.uint8]
    aspects: NDArray[np.float32]
    colours: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.photos)


def list_photos(folder: Path, parts: Sequence[Part]) -> list[Photo]:
    """Read `images.csv` of a labelled folder.

    Args:
        folder: Holds `images.csv` (`image`, `label`, and maybe `group`, `category`, `kids`) and `images/`.
        parts: The parts of the fixed split that are wanted.

    Returns:
        The photos in the order of the file.

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
        rows = [row for row in reader if part_of(row["image"]) in parts]
    return [
        Photo(
            path=folder / "images" / row["image"],
            label=row["label"],
            group=row.get("group") or row["label"],
            category=row.get("category") or CLOTHING,
            kids=row.get("kids") == "True",
        )
        for row in rows
    ]


def load_photos(photos: Sequence[Photo]) -> PhotoSet:
    """Decode photos and name the garments' colours.

    Args:
        photos: Photos to decode.

    Returns:
        The photos with their pixels, in the same order.
    """
    pixels = np.empty((len(photos), 3, CACHE_SIDE, CACHE_SIDE), dtype=np.uint8)
    aspects = np.empty(len(photos), dtype=np.float32)
    colours = []
    for row, photo in enumerate(photos):
        with Image.open(photo.path) as opened:
            image = opened.convert("RGB")
        aspects[row] = image.width / image.height
        squeezed = image.resize((CACHE_SIDE, CACHE_SIDE), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(squeezed).transpose(2, 0, 1)
        small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
        colours.append(garment_colour(small) if photo.category == CLOTHING else "")
        if (row + 1) % 1000 == 0:
            _logger.info("decoded %s of %s photos", row + 1, len(photos))
    return PhotoSet(photos=tuple(photos), pixels=pixels, aspects=aspects, colours=tuple(colours))


def square_pixels(path: Path, side: int) -> NDArray[np.uint8]:
    """Decode a photo as the served model sees it: shortest side to `side`, then the centre square.

    Args:
        path: The image file.
        side: Side of the square in pixels.

    Returns:
        [3, side, side] uint8.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    return centre_square(image, side)


def centre_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Shrink an image to its centre square.

    Args:
        image: An RGB image.
        side: Side of the square in pixels.

    Returns:
        [3, side, side] uint8.
    """
    scale = side / min(image.size)
    width, height = (max(side, int(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1)
