"""A product's photos, however a record gives them: paths, URLs, inline base64, or bytes."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from product_match.contract.errors import InvalidRequestError
from product_match_client.requests import read_image, within_limit

IMAGE: Final = "image"
IMAGE_BASE64: Final = "image_base64"
QUERY_TEXT: Final = "query_text"


@dataclass(frozen=True, kw_only=True)
class PhotoReference:
    """Where a photo is: exactly one of the three, or none of them.

    Attributes:
        path: A file.
        url: An http(s) URL.
        data: The bytes themselves.
    """

    path: Path | None = None
    url: str = ""
    data: bytes = b""


class Downloader(Protocol):
    """Fetches photos by URL."""

    async def fetch(self, url: str) -> bytes:
        """Return the bytes; raises errors of the project's tree."""


def split_photos(
    fields: Mapping[str, Any], directory: Path, separator: str = ""
) -> tuple[dict[str, Any], tuple[PhotoReference, ...]]:
    """Take a record's photos apart from the product's fields.

    `image` may be a path from `directory`, an http(s) URL, a data URL, bytes, `{"bytes": ..., "path": ...}`, or a
    list of these. Paths and URLs stay in the product; bytes and base64 do not. `image_base64`, which may be a list
    too, goes before `image`.

    Args:
        fields: The record.
        directory: Where relative paths start.
        separator: What stands between several photos in one text; empty where a text is one photo.

    Raises:
        InvalidRequestError: A photo is given as something else.
    """
    product = dict(fields)
    given = product.get(IMAGE)
    if separator and isinstance(given, str | list):
        given = _apart(given, separator)
        product[IMAGE] = given[0] if len(given) == 1 else given
    items = given if isinstance(given, list) else [given]
    named = [item for item in items if item is None or (isinstance(item, str) and not _is_inline(item))]
    if len(named) < len(items):
        del product[IMAGE]
        if named:
            product[IMAGE] = named
    if IMAGE_BASE64 in product:
        inline = product.pop(IMAGE_BASE64)
        photos = inline if isinstance(inline, list) else [inline]
        return product, tuple(PhotoReference(data=_from_base64(photo)) for photo in photos)
    references = (_reference(item, directory) for item in items)
    return product, tuple(reference for reference in references if reference != PhotoReference())


def _apart(given: str | list[Any], separator: str) -> list[Any]:
    """Return photos one by one, of which one text may hold several."""
    found: list[Any] = []
    for item in given if isinstance(given, list) else [given]:
        found += [part.strip() for part in item.split(separator) if part.strip()] if isinstance(item, str) else [item]
    return found


def _is_inline(text: str) -> bool:
    return text[:5].lower() == "data:"


def _reference(value: object, directory: Path) -> PhotoReference:
    if value is None or value == "":
        return PhotoReference()
    if isinstance(value, bytes | bytearray):
        return PhotoReference(data=bytes(value))
    if isinstance(value, dict):
        return _reference(value.get("bytes") or value.get("path"), directory)
    if not isinstance(value, str):
        raise InvalidRequestError(
            f"image must be a path, a URL, a data URL or bytes, got {type(value).__name__}; see the list of sources"
        )
    if value.strip()[:8].lower().startswith(("http://", "https://")):
        return PhotoReference(url=value.strip())
    if _is_inline(value):
        head, comma, data = value.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequestError("image: a data URL must be `data:image/...;base64,` and base64; correct it")
        return PhotoReference(data=_from_base64(data))
    if "\x00" in value:
        raise InvalidRequestError("image: a path cannot hold a NUL; correct it")
    return PhotoReference(path=directory / value)


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise InvalidRequestError(f"{IMAGE_BASE64} must be a string, got {type(text).__name__}; encode the photo")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"the inline photo is not base64 ({error}); encode it again") from error


async def read_photo(reference: PhotoReference, downloader: Downloader) -> bytes:
    """Return a photo's bytes; empty where there is none.

    Raises:
        InvalidRequestError: It cannot be read or fetched, or is larger than a server takes.
        UnavailableError: Its server does not answer.
    """
    if reference.url:
        return within_limit(f"photo {reference.url}", await downloader.fetch(reference.url))
    if reference.path is not None:
        return await asyncio.to_thread(read_image, reference.path)
    return within_limit("the inline photo", reference.data)
