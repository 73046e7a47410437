"""A product's photo, however a record gives it: a path, a URL, inline base64, or bytes."""

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


def split_photo(fields: Mapping[str, Any], directory: Path) -> tuple[dict[str, Any], PhotoReference]:
    """Take a record's photo apart from the product's fields.

    `image` may be a path from `directory`, an http(s) URL, a data URL, bytes, `{"bytes": ..., "path": ...}`, or a
    list of these, of which the first is the product's photo. Paths, URLs and lists of them stay in the product;
    bytes and base64 do not. `image_base64` goes before `image`.

    Raises:
        InvalidRequestError: A photo is given as something else.
    """
    product = dict(fields)
    given = product.get(IMAGE)
    if IMAGE_BASE64 in product:
        inline = product.pop(IMAGE_BASE64)
        if isinstance(given, bytes | bytearray | dict):
            del product[IMAGE]
        return product, PhotoReference(data=_from_base64(inline))
    first = (given[0] if given else None) if isinstance(given, list) else given
    reference = _reference(first, directory)
    if reference.data or isinstance(first, dict):
        if isinstance(given, list) and all(isinstance(item, str) for item in given[1:]):
            product[IMAGE] = given[1:]
        else:
            del product[IMAGE]
    return product, reference


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
    scheme = value[:8].lower()
    if scheme.startswith(("http://", "https://")):
        return PhotoReference(url=value)
    if scheme.startswith("data:"):
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
