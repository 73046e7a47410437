"""Files as they are sent: plain, gzip, or a zip of one file; told by their first bytes."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from product_match.contract.errors import InvalidRequestError

PACKED: Final = frozenset({".gz", ".zip"})
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_BROKEN: Final = (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error)


def inner_suffix(path: Path) -> str:
    """Return the suffix of what a file holds: of the file itself, unless it is packed.

    Raises:
        InvalidRequestError: It is a zip of several files, or of none.
        OSError: It cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with path.open("rb") as file:
            return PurePosixPath(_only_member(file, path).filename).suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open what a file holds, for reading; it is unpacked as it is read.

    Raises:
        InvalidRequestError: It cannot be unpacked.
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start[:2] == _GZIP:
                with gzip.open(file) as inner:
                    yield cast("BinaryIO", inner)
            elif start == _ZIP:
                member = _only_member(file, path)
                with zipfile.ZipFile(file) as archive, archive.open(member) as inner:
                    yield cast("BinaryIO", inner)
            else:
                yield file
    except _BROKEN as error:
        raise InvalidRequestError(
            f"source {path}: it cannot be unpacked ({error}); what came before the damage was read, send it again"
        ) from error


def _only_member(file: BinaryIO, path: Path) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if _is_content(member)]
    except _BROKEN as error:
        raise InvalidRequestError(f"source {path}: it cannot be unpacked ({error}); send it again") from error
    if len(members) != 1:
        raise InvalidRequestError(
            f"source {path}: a zip of {len(members)} files, expected one; unpack it, and give the files"
        )
    return members[0]


def _is_content(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")
