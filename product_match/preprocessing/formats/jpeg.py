"""JPEG, the MPO files of some phones included: its markers up to the first scan, and how many scans there are.

A progressive file goes through all of its pixels once for each scan, and a scan of a few bytes may be repeated
thousands of times: what bounds the work is the number of scans times the pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from product_match.contract import limits
from product_match.preprocessing.formats.header import (
    NOT_TURNED,
    PhotoHeader,
    check_size,
    damaged,
    exif_orientation,
    too_many_parts,
    unread,
    xmp_orientation,
)

NAME: Final = "JPEG"
MAGIC: Final = b"\xff\xd8"

_BASELINE: Final = (0xC0, 0xC1)
_PROGRESSIVE: Final = 0xC2
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN: Final = 0xDA
_SCAN_MARKER: Final = b"\xff\xda"
_END_OF_IMAGE: Final = 0xD9
_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_METADATA: Final = frozenset({*range(0xE0, 0xEE), 0xEF, 0xFE})
"""All of the applications' segments but Adobe's, which tells the colour space, and comments."""
_JFIF: Final = b"JFIF\0"
_PLAIN_JFIF: Final = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_ABOUT_METADATA: Final = ("ICC", "JFIF")
"""Words of libjpeg's warnings that are not about pixels."""
_EXIF: Final = b"Exif\x00\x00"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_ICC: Final = b"ICC_PROFILE\x00"
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In a scan's data FF is followed by 0 or a restart marker, unless the scan ends."""
_SCALES: Final = (8, 4, 2, 1)
_MODES: Final = {1: "L", 3: "RGB", 4: "CMYK"}
_MS_A_BYTE: Final = 12e-6
_MS_A_PIXEL: Final = 1.5e-6
_MS_A_SCANNED_PIXEL: Final = 2.7e-6
"""What a byte, a pixel, and a pixel in each scan take on one core, as measured on two files of 50 megapixels."""


class _Marks:
    """What the segments in front of the first scan say."""

    def __init__(self) -> None:
        self.frame = b""
        self.kind = 0
        self.orientation: int | None = None
        self.xmp_orientation: int | None = None
        self.profile: list[bytes] = []

    def take(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            if self.frame:
                raise damaged(NAME, "two frame headers")
            self.kind, self.frame = marker, body
        elif marker == _APP1 and body.startswith(_EXIF) and self.orientation is None:
            self.orientation = exif_orientation(body)
        elif marker == _APP1 and body.startswith(_XMP) and self.xmp_orientation is None:
            self.xmp_orientation = xmp_orientation(body)
        elif marker == _APP2 and body.startswith(_ICC):
            self.profile.append(body[len(_ICC) :])


def inspect(data: bytes) -> PhotoHeader:
    """Read the markers of a JPEG.

    Raises:
        InvalidRequestError: Not whole, of a kind that is not read, too large, or of too many scans.
    """
    marks = _Marks()
    scan = _first_scan(data, marks)
    if len(marks.frame) < 6:
        raise damaged(NAME, "no frame header")
    precision, components = marks.frame[0], marks.frame[5]
    height, width = int.from_bytes(marks.frame[1:3], "big"), int.from_bytes(marks.frame[3:5], "big")
    _check_kind(marks.kind, precision, components)
    check_size(NAME, width, height)
    pixels = width * height
    # One scan with all components is decoded row by row; anything else collects the coefficients of the whole photo.
    collected = marks.kind not in _BASELINE or data[scan + 4 : scan + 5] != bytes([components])
    scans = _scans(data, scan, pixels) if collected else 1
    work = len(data) * _MS_A_BYTE + pixels * (_MS_A_PIXEL + (scans * _MS_A_SCANNED_PIXEL if collected else 0))
    return PhotoHeader(
        format=NAME,
        width=width,
        height=height,
        data=data,
        orientation=marks.orientation or marks.xmp_orientation or NOT_TURNED,
        profile=_profile(marks.profile) if marks.profile else b"",
        mode=_MODES[components],
        work_ms=work,
        memory_bytes=pixels * (2 * components if collected else 0) + min(pixels, 4_000_000) * 4,
    )


def _first_scan(data: bytes, marks: _Marks) -> int:
    """Give the segments to `marks`, and return where the marker of the first scan is."""
    end = 2
    for marker, start, end in _segments(data):
        if marker >= _APP1 or marker in _FRAMES:
            marks.take(marker, data[start + 4 : end])
    return data.index(_SCAN_MARKER, end)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment in front of the first scan, where it starts and where it ends."""
    place = 2
    try:
        for _ in range(limits.MAX_IMAGE_PARTS):
            if data[place] != 0xFF:
                raise damaged(NAME, f"no marker at byte {place:,}")
            marker = data[place + 1]
            if marker == 0xFF:
                place = _after_filling(data, place)
                continue
            if marker == _START_OF_SCAN:
                return
            if marker == _END_OF_IMAGE:
                raise damaged(NAME, "it ends in front of its first scan")
            length = data[place + 2] << 8 | data[place + 3]
            end = place + 2 + length
            if length < 2 or end > len(data):
                raise damaged(NAME, f"the segment at byte {place:,} is not whole")
            yield marker, place, end
            place = end
    except IndexError:
        raise damaged(NAME, "it ends in front of its first scan") from None
    raise too_many_parts(NAME, "segments", limits.MAX_IMAGE_PARTS, limits.MAX_IMAGE_PARTS)


def _after_filling(data: bytes, place: int) -> int:
    """Return where the last of the FFs from `place` on is, in one step however many there are."""
    rest = data[place : place + 65_536].lstrip(b"\xff")
    skipped = min(65_536, len(data) - place) - len(rest)
    return place + max(1, skipped - 1)


def _check_kind(kind: int, precision: int, components: int) -> None:
    if precision != 8:
        raise unread(f"a JPEG of {precision} bits a sample", "save it with 8 bits")
    if kind not in (*_BASELINE, _PROGRESSIVE):
        raise unread("a lossless, hierarchical or arithmetic-coded JPEG", "save it as a baseline JPEG")
    if components not in _MODES:
        raise unread(f"a JPEG of {components} components", "save it as RGB")


def _scans(data: bytes, first: int, pixels: int) -> int:
    """Return how many scans there are, at most; a count of the marker is too high only where other data holds it.

    Raises:
        InvalidRequestError: More than a photo of this size may have.
    """
    most = max(1, min(limits.MAX_JPEG_SCANS, limits.MAX_JPEG_SCANNED_PIXELS // max(pixels, 1)))
    scans = data.count(_SCAN_MARKER, first)
    if scans > most:
        scans = _scans_one_by_one(data, first, most)
    if scans > most:
        raise too_many_parts(NAME, f"scans of {pixels:,} pixels", scans, most)
    return scans


def _scans_one_by_one(data: bytes, place: int, most: int) -> int:
    scans = 0
    while scans <= most:
        marker = data[place + 1]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        body = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        following = _MARKER.search(data, body)
        if following is None:
            break
        place = following.start()
    return scans


def _profile(parts: Sequence[bytes]) -> bytes:
    """Join the parts of an ICC profile; one that is not whole, or too large, counts as none."""
    if any(len(part) < 2 for part in parts) or sum(map(len, parts)) > limits.MAX_PROFILE_BYTES:
        return b""
    ordered = sorted(parts, key=lambda part: part[0])
    if [part[0] for part in ordered] != list(range(1, len(parts) + 1)) or ordered[0][1] != len(parts):
        return b""
    return b"".join(part[2:] for part in ordered)


def scale_for(header: PhotoHeader, least_px: int) -> int:
    """Return by how much the decoder may shrink the photo so that both sides keep `least_px`: 8, 4, 2 or 1."""
    factor = min(header.width, header.height) // least_px
    return next((scale for scale in _SCALES if factor >= scale), 1)


def decode(header: PhotoHeader, scale: int) -> Image.Image:
    """Decode a JPEG, shrunk by `scale`; whatever libjpeg warns of makes it damaged.

    Raises:
        InvalidRequestError: It is damaged.
    """
    try:
        samples = _decoded(header, header.data, scale)
    except ValueError as error:
        if not any(word in str(error) for word in _ABOUT_METADATA):
            raise damaged(NAME, error) from error
        samples = _decoded_without_metadata(header, scale)
    if header.mode == "CMYK":
        # Adobe's programs store ink inverted, and everyone reads it so, with Adobe's marker or without.
        np.subtract(255, samples, out=samples)
    return Image.fromarray(samples[..., 0] if header.mode == "L" else samples, header.mode)


def _decoded(header: PhotoHeader, data: bytes, scale: int) -> NDArray[np.uint8]:
    samples: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        colorspace="GRAY" if header.mode == "L" else header.mode,
        min_height=-(-header.height // scale),
        min_width=-(-header.width // scale),
        strict=True,
    )
    return samples


def _decoded_without_metadata(header: PhotoHeader, scale: int) -> NDArray[np.uint8]:
    """Decode what is left when the segments are taken out that libjpeg warns of though no pixel comes from them."""
    data = header.data
    kept = [data[:2]]
    end = 2
    for marker, start, end in _segments(data):
        if marker == _APP0 and data[start + 4 : start + 9] == _JFIF:
            # What it says of the version does not matter, that it is there does: it tells the colour space.
            kept.append(_PLAIN_JFIF)
        elif marker not in _METADATA:
            kept.append(data[start:end])
    kept.append(data[end:])
    try:
        return _decoded(header, b"".join(kept), scale)
    except ValueError as error:
        raise damaged(NAME, error) from error
