"""A folder of images: each file is a product, its name the id; or several files are the photos of one product."""

from __future__ import annotations

import collections
import enum
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match.contract.photo_files import PHOTO_SUFFIXES
from product_match_client.loading.sources.records import Record, Source

_MOST_KINDS: Final = 10
_NUMBERED: Final = re.compile(r"(?P<id>.*[^/])[-_](?P<number>\d+)")
_DIGITS: Final = re.compile(r"(\d+)")


class Grouping(enum.Enum):
    """Which images of a folder are photos of the same product."""

    FILE = "file"
    FOLDER = "folder"
    NUMBER = "number"


@dataclass(frozen=True, kw_only=True)
class FolderProduct:
    """A product of a folder.

    Attributes:
        id: Its id.
        names: Its photos, by their paths from the folder, the first one first.
        reason: Why it cannot be taken.
    """

    id: str
    names: Sequence[str]
    reason: str = ""

    def record(self, folder: Path, line: int) -> Record:
        """Return the record that a load takes."""
        fields: dict[str, Any] = {"id": self.id, "image": self.names[0] if len(self.names) == 1 else list(self.names)}
        return Record(
            source=str(folder),
            line=line,
            directory=folder.resolve(),
            fields=None if self.reason else fields,
            reason=self.reason,
            raw=fields,
        )


def folder_source(folder: Path, grouping: Grouping = Grouping.FILE) -> Source:
    """Return the products of a folder and of the folders in it, by name."""

    def products() -> Iterator[FolderProduct]:
        try:
            yield from folder_products(folder, grouping)
        except OSError as error:
            raise InvalidRequestError(f"folder {folder} cannot be read ({error}); see its permissions") from error

    def records() -> Iterator[Record]:
        for line, product in enumerate(products(), start=1):
            yield product.record(folder, line)

    return Source(
        name=str(folder), records=records, count=lambda: sum(1 for _ in products()), left_out=lambda: left_out(folder)
    )


def left_out(folder: Path) -> str:
    """Say which files of a folder are not taken for photos, hidden ones aside; empty where all are."""
    counts: collections.Counter[str] = collections.Counter()
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = (name for name in files if not name.startswith(".") and not is_image_name(name))
        counts.update(PurePosixPath(name).suffix.lower() or "without a suffix" for name in names)
    if not counts:
        return ""
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(_MOST_KINDS))
    more = ", and others" if len(counts) > _MOST_KINDS else ""
    return (
        f"{folder}: left out {counts.total():,} files that are no photos by their suffix ({kinds}{more}); "
        f"read are {', '.join(sorted(PHOTO_SUFFIXES))}"
    )


def folder_products(folder: Path, grouping: Grouping) -> Iterator[FolderProduct]:
    """Yield the products of a folder, a folder in it at a time.

    Raises:
        OSError: A folder cannot be read.
    """
    outside: set[str] = set()
    for place, names in _places(folder):
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(product_id(name, grouping), []).append(name)
        if not place:
            outside = set(groups)
        for id_, group in groups.items():
            ordered = group if grouping is Grouping.FILE else sorted(group, key=photo_order)
            first, *others = ordered
            if grouping is Grouping.FOLDER and place and id_ in outside:
                reason = f"an image beside the folder gives the same id `{id_}`; rename one of the two"
                yield FolderProduct(id=id_, names=ordered, reason=reason)
                continue
            yield FolderProduct(id=id_, names=[first] if grouping is Grouping.FILE else ordered)
            for name in others if grouping is Grouping.FILE else ():
                yield FolderProduct(
                    id=id_, names=[name], reason=f"{first} gives the same id `{id_}`; rename one of the two"
                )


def product_id(name: str, grouping: Grouping = Grouping.FILE) -> str:
    """Return the id of the product that a file shows, from the file's path from the folder."""
    path = PurePosixPath(name)
    if grouping is Grouping.FOLDER and len(path.parts) > 1:
        return str(path.parent)
    plain = str(path.with_suffix(""))
    numbered = _NUMBERED.fullmatch(plain) if grouping is Grouping.NUMBER else None
    return numbered["id"] if numbered else plain


def photo_order(name: str) -> list[Any]:
    """Return a key that puts photo 2 before photo 10, and one without a number first."""
    parts = _DIGITS.split(str(PurePosixPath(name).with_suffix("")))
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _places(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, by its path from the first one (empty for that itself), and its images, in order.

    Hidden files and folders are left out. A folder that cannot be read is an error: to leave it out would look as if
    its files were gone.
    """
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        start = Path(place).relative_to(folder)
        names = [(start / name).as_posix() for name in sorted(files) if is_image_name(name)]
        if names:
            yield "" if start == Path() else start.as_posix(), names


def _raise(error: OSError) -> None:
    raise error


def is_image_name(name: str) -> bool:
    """Say whether a file of this name is taken for an image."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES
