"""Tells a format by the first bytes, and names what is no photo."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.formats import bmp, gif, heif, jpeg, png, tiff, webp
from product_match.preprocessing.formats.header import PhotoHeader, unread

Inspect = Callable[[bytes], PhotoHeader]

_HEAD_BYTES: Final = 1024
_SEND: Final = "send a JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF file"
_RENDERED: Final = "send it drawn as PNG, 512 pixels or more a side"
_PHOTO_ITSELF: Final = "send the bytes of the photo itself"

_INSPECT: Final[Mapping[bytes, Inspect]] = {
    jpeg.MAGIC: jpeg.inspect,
    png.MAGIC[:4]: png.inspect,
    gif.MAGIC: gif.inspect,
    bmp.MAGIC: bmp.inspect,
    **dict.fromkeys(tiff.MAGICS, tiff.inspect),
}

_BOXES: Final = {b"jP  ": ("a JPEG 2000 file", "send it as JPEG"), b"JXL ": ("a JPEG XL file", "send it as JPEG")}

_OTHERS: Final[Mapping[bytes, tuple[str, str]]] = {
    b"%PDF": ("a PDF document", "send a page of it as PNG or JPEG"),
    b"%!PS": ("a PostScript drawing", _RENDERED),
    b"\xc5\xd0\xd3\xc6": ("a PostScript drawing", _RENDERED),
    b"\xff\x0a": ("a JPEG XL file", "send it as JPEG"),
    b"\xff\x4f\xff\x51": ("a JPEG 2000 file", "send it as JPEG"),
    b"8BPS": ("a Photoshop file", "send it exported as PNG or JPEG"),
    b"\0\0\1\0": ("an icon (ICO)", "send a photo of the product"),
    b"\0\0\2\0": ("a cursor (CUR)", "send a photo of the product"),
    b"DDS ": ("a DDS texture", "send it as PNG"),
    b"v/1\1": ("an OpenEXR file", "send it as JPEG"),
    b"FUJIFILMCCD-RAW": ("a camera's raw file", "send it developed, as JPEG"),
    b"PK\3\4": ("a ZIP archive", _PHOTO_ITSELF),
    b"\x1f\x8b": ("gzip data", _PHOTO_ITSELF),
    b"Rar!": ("a RAR archive", _PHOTO_ITSELF),
    b"7z\xbc\xaf": ("a 7-Zip archive", _PHOTO_ITSELF),
    b"\x1aE\xdf\xa3": ("a film (WebM or Matroska)", "send one picture of it"),
    b"/9j/": ("base64 text", "send the bytes that it stands for, or a data URL: `data:image/jpeg;base64,...`"),
    b"iVBORw0KGgo": ("base64 text", "send the bytes that it stands for, or a data URL: `data:image/png;base64,...`"),
    b"version https://git-lfs": ("a pointer of Git LFS", "send the file that it points to"),
    b"http://": ("an address", "send the bytes that lie there"),
    b"https://": ("an address", "send the bytes that lie there"),
}
_SVG: Final = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HTML: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|script|div|p|h1)[\s>]", re.IGNORECASE)


def inspect(data: bytes) -> PhotoHeader:
    """Read of a photo what can be read without decoding it.

    Raises:
        InvalidRequestError: Not a photo that is read, not whole, or more than a photo may be.
    """
    found = _INSPECT.get(data[:2]) or _INSPECT.get(data[:4])
    if found is not None:
        return found(data)
    if data.startswith(webp.MAGIC) and data[8:12] == b"WEBP":
        return webp.inspect(data)
    kind = data[4:8]
    boxes = heif.container_format(data) if kind == b"ftyp" else None
    if boxes is not None:
        return heif.inspect(data, boxes)
    raise _named(data, kind)


def _named(data: bytes, kind: bytes) -> InvalidRequestError:
    if kind == b"ftyp":
        return unread("a film (MP4 or MOV)", "send one picture of it")
    if kind in _BOXES:
        return unread(*_BOXES[kind])
    for magic, words in _OTHERS.items():
        if data.startswith(magic):
            return unread(*words)
    if data.startswith(webp.MAGIC):
        return unread("a film or a sound (RIFF)", "send one picture of it")
    head = data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"<"):
        if _SVG.search(head):
            return unread("an SVG drawing", _RENDERED)
        if _HTML.search(head):
            return unread("a web page (HTML)", f"{_PHOTO_ITSELF}; its address may have moved, or ask for a login")
        return unread("an XML document", _PHOTO_ITSELF)
    if head.startswith((b"{", b"[")):
        return unread("a JSON document", _PHOTO_ITSELF)
    return InvalidRequestError(f"image: {len(data):,} bytes that are not a photo in a known format; {_SEND}")
