"""A folder of images: each file is a product, its name the id."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.sources.records import Record, Source

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def folder_source(folder: Path) -> Source:
    """Return the images of a folder and of the folders in it, by name."""

    def names() -> Iterator[str]:
        try:
            yield from image_names(folder)
        except OSError as error:
            raise InvalidRequestError(f"folder {folder} cannot be read ({error}); see its permissions") from error

    def records() -> Iterator[Record]:
        ids: dict[str, str] = {}
        for line, name in enumerate(names(), start=1):
            fields = {"id": file_id(name), "image": name}
            first = ids.setdefault(file_id(name), name)
            reason = "" if first == name else f"{first} gives the same id `{file_id(name)}`; rename one of the two"
            yield Record(
                source=str(folder),
                line=line,
                directory=folder.resolve(),
                fields=None if reason else fields,
                reason=reason,
                raw=fields,
            )

    return Source(name=str(folder), records=records, count=lambda: sum(1 for _ in names()))


def image_names(folder: Path) -> Iterator[str]:
    """Yield the images of a folder in order, each by its path from there; hidden files and folders are left out.

    Raises:
        OSError: A folder cannot be read: to leave it out would look as if its files were gone.
    """
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if is_image_name(name):
                yield Path(place, name).relative_to(folder).as_posix()


def _raise(error: OSError) -> None:
    raise error


def is_image_name(name: str) -> bool:
    """Say whether a file of this name is taken for an image."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def file_id(name: str) -> str:
    """Return the id that a file's path from the folder gives: the path without the suffix."""
    return str(PurePosixPath(name).with_suffix(""))
