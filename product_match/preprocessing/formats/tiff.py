"""TIFF and BigTIFF: the tags of the first picture, and where its strips or tiles lie.

What a decoder allocates follows from tags that have nothing to do with the size (a tile of 24,000 x 24,000 in a photo
of 100 x 100; five million values of one tag), so all of them are looked at, and what is not needed is taken out.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from PIL import Image

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.formats.header import (
    NOT_TURNED,
    PhotoHeader,
    check_size,
    damaged,
    too_many_parts,
    unread,
)

NAME: Final = "TIFF"
MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WIDTH, _HEIGHT, _BITS, _PACKING, _COLOURS = 256, 257, 258, 259, 262
_SAMPLES, _ROWS_A_STRIP, _PLANES, _FORMAT, _PROFILE = 277, 278, 284, 339, 34675
_STRIPS: Final = (273, 279)
_TILES: Final = (324, 325)
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_PLACES: Final = (*_STRIPS, *_TILES)
_ORIENTATION: Final = 274
_TAKEN_OUT: Final = frozenset({_ORIENTATION, 330, 700, 33723, 34377, 34665, 34853, 37724, 40965})
"""The orientation, as Pillow would turn the whole photo; further directories (EXIF, GPS, smaller versions), XMP, IPTC
and Photoshop's own data."""
_UNUSED_TAG: Final = 65_000
_BYTES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_NONE, _JPEG = 1, 7
_PACKINGS: Final = {1: "", 2: "", 3: "", 4: "", 5: "", 7: "", 8: "", 32773: "", 32946: ""}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _LAB_KINDS = 0, 1, (8, 9, 10)
_MOST_TAGS: Final = 500
_MS_A_PIXEL: Final = 20e-6


@dataclass(frozen=True)
class _Tag:
    kind: int
    values: int
    place: int
    """Where the entry starts."""
    body: int
    """Where the values start."""


@dataclass(frozen=True)
class _Layout:
    """How numbers are written."""

    order: str
    big: bool

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12


def inspect(data: bytes) -> PhotoHeader:
    """Read the tags of a TIFF.

    Raises:
        InvalidRequestError: Not whole, of a kind that is not read, or of more than a photo needs.
    """
    try:
        layout, tags, following = _directory(data)
        facts = _Facts(data, layout, tags)
        width, height = facts.number(_WIDTH, 0), facts.number(_HEIGHT, 0)
        check_size(NAME, width, height)
        bits, samples = _check_samples(facts)
        _check_places(facts, width, height, bits, samples)
        orientation = facts.number(_ORIENTATION, NOT_TURNED)
    except (struct.error, OverflowError) as error:
        raise damaged(NAME, "a tag points outside of the file") from error
    plain = bytearray(data)
    inverted = bits == 16 and samples == 1 and facts.number(_COLOURS, 0) == _WHITE_IS_ZERO
    if inverted and _COLOURS in tags:
        # Pillow knows this of one byte order alone, and turns the samples of neither about.
        struct.pack_into(layout.order + "H", plain, tags[_COLOURS].body, _BLACK_IS_ZERO)
    _take_out(plain, layout, tags)
    plain[following : following + (8 if layout.big else 4)] = bytes(8 if layout.big else 4)
    return PhotoHeader(
        format=NAME,
        width=width,
        height=height,
        data=bytes(plain),
        orientation=orientation if 1 <= orientation <= 8 else NOT_TURNED,
        profile=facts.bytes(_PROFILE),
        depth=bits,
        inverted=inverted,
        work_ms=width * height * _MS_A_PIXEL,
        memory_bytes=width * height * 8,
        risky=True,
    )


class _Facts:
    """The values of the tags."""

    def __init__(self, data: bytes, layout: _Layout, tags: Mapping[int, _Tag]) -> None:
        self.data, self.layout, self.tags = data, layout, tags

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the values of a tag; none where it is absent or holds no whole numbers."""
        found = self.tags.get(tag)
        if found is None or found.kind not in _NUMBERS:
            return ()
        return struct.unpack_from(f"{self.layout.order}{found.values}{_NUMBERS[found.kind]}", self.data, found.body)

    def number(self, tag: int, otherwise: int) -> int:
        values = self.numbers(tag)
        return values[0] if values else otherwise

    def bytes(self, tag: int) -> bytes:
        found = self.tags.get(tag)
        size = 0 if found is None else found.values * _BYTES.get(found.kind, 1)
        return self.data[found.body : found.body + size] if found and size <= limits.MAX_PROFILE_BYTES else b""


def _directory(data: bytes) -> tuple[_Layout, dict[int, _Tag], int]:
    """Return the layout, the tags of the first picture, and where the place of the next one is written."""
    layout = _Layout("<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+"))
    head, count_kind, place_kind = (8, "Q", "Q") if layout.big else (4, "H", "I")
    (start,) = struct.unpack_from(layout.order + place_kind, data, head)
    (count,) = struct.unpack_from(layout.order + count_kind, data, start)
    if count > _MOST_TAGS:
        raise too_many_parts(NAME, "tags", count, _MOST_TAGS)
    first = start + struct.calcsize("<" + count_kind)
    tags: dict[int, _Tag] = {}
    held = 0
    for place in range(first, first + count * layout.entry_bytes, layout.entry_bytes):
        number, kind, values = struct.unpack_from(layout.order + "HH" + place_kind, data, place)
        size = _BYTES.get(kind, 1) * values
        inline = 8 if layout.big else 4
        body = place + layout.entry_bytes - inline
        if size > inline:
            (body,) = struct.unpack_from(layout.order + place_kind, data, body)
        if number not in _TAKEN_OUT:
            held += size
            if number in _PLACES and values > limits.MAX_IMAGE_PARTS:
                raise too_many_parts(NAME, "strips or tiles", values, limits.MAX_IMAGE_PARTS)
            if body + size > len(data) or held > len(data):
                raise damaged(NAME, f"tag {number} points outside of the file")
        tags.setdefault(number, _Tag(kind, values, place, body))
    return layout, tags, first + count * layout.entry_bytes


def _check_samples(facts: _Facts) -> tuple[int, int]:
    """Return the bits of a sample and the samples of a pixel."""
    given = facts.numbers(_BITS) or (1,)
    samples = facts.number(_SAMPLES, 1)
    formats = set(facts.numbers(_FORMAT) or (_UNSIGNED,))
    bits = max(given)
    if _FLOAT in formats:
        raise InvalidRequestError(f"image: {bits}-bit floating-point samples; save it with 8 or 16 bits a sample")
    if bits > 16:
        raise InvalidRequestError(f"image: {bits}-bit integer samples; save it with 8 or 16 bits a sample")
    if formats - {_UNSIGNED}:
        raise InvalidRequestError("image: samples with a sign; save it with unsigned samples of 8 or 16 bits")
    if facts.number(_COLOURS, _WHITE_IS_ZERO) in _LAB_KINDS:
        raise InvalidRequestError("image: a TIFF in L*a*b* colours, which are not read; save it as RGB")
    if not 1 <= samples <= 6:
        raise unread(f"a TIFF of {samples:,} samples a pixel", "save it as RGB")
    packing = facts.number(_PACKING, _NONE)
    if packing not in _PACKINGS:
        raise unread(f"a TIFF packed in way {packing}", "save it with LZW or ZIP, or as PNG")
    return bits, samples


def _check_places(facts: _Facts, width: int, height: int, bits: int, samples: int) -> None:
    """Check that every strip or tile is there and none is larger than a photo."""
    planes = samples if facts.number(_PLANES, 1) == 2 else 1
    pixel_bits = bits * (1 if planes > 1 else samples)
    tiled = _TILES[0] in facts.tags
    if tiled:
        columns, rows = facts.number(_TILE_WIDTH, 0), facts.number(_TILE_HEIGHT, 0)
        if not columns or not rows:
            raise damaged(NAME, "tiles without a size")
        wanted = -(-width // columns) * -(-height // rows)
    else:
        columns, rows = width, min(height, facts.number(_ROWS_A_STRIP, height) or height)
        wanted = -(-height // rows)
    if wanted * columns * rows > 2 * limits.MAX_IMAGE_PIXELS or columns * rows > limits.MAX_IMAGE_PIXELS:
        raise InvalidRequestError(
            f"image: a TIFF with {wanted:,} tiles of {columns} x {rows}, which are more than its {width} x {height} "
            "pixels need; save it again with an image editor"
        )
    if columns * rows * pixel_bits // 8 > limits.MAX_TIFF_PART_BYTES:
        raise InvalidRequestError(
            f"image: a TIFF with {columns * rows * pixel_bits // 8:,} bytes in one strip or tile, the limit is "
            f"{limits.MAX_TIFF_PART_BYTES:,}; save it again with an image editor"
        )
    places, sizes = (facts.numbers(tag) for tag in (_TILES if tiled else _STRIPS))
    if len(places) < wanted * planes:
        raise damaged(NAME, f"{len(places):,} of {wanted * planes:,} strips or tiles")
    packing = facts.number(_PACKING, _NONE)
    if packing == _NONE:
        row_bytes = (columns * pixel_bits + 7) // 8
        last = rows if tiled or height % rows == 0 else height % rows
        needed = [row_bytes * rows] * (wanted - 1) + [row_bytes * last]
        sizes = tuple(needed * planes)
    elif len(sizes) < wanted * planes:
        raise damaged(NAME, "strips or tiles without a length")
    for place, size in zip(places[: wanted * planes], sizes, strict=False):
        if place + size > len(facts.data):
            raise damaged(NAME, f"a strip or tile at byte {place:,} is not whole")
        if packing == _JPEG and b"\xff\xd9" not in facts.data[max(place, place + size - 4) : place + size]:
            raise damaged(NAME, f"the JPEG at byte {place:,} is not whole")


def _take_out(data: bytearray, layout: _Layout, tags: Mapping[int, _Tag]) -> None:
    """Put an empty tag in the place of each that no pixel comes from."""
    for number, tag in tags.items():
        if number in _TAKEN_OUT:
            entry = struct.pack(layout.order + "HH" + ("Q" if layout.big else "I"), _UNUSED_TAG, 1, 1)
            data[tag.place : tag.place + layout.entry_bytes] = entry.ljust(layout.entry_bytes, b"\0")


def decode(header: PhotoHeader) -> Image.Image:
    """Decode the first picture of a TIFF, as it is stored; raises what Pillow raises."""
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.load()
    return image
