"""What is sent: photos and words of which no two are alike, from a catalogue's own.

A server that caches encodings answers a repeated photo without encoding it, so a load of a few photos in a circle
measures the cache. Here several hundred photos are cropped and encoded anew, by a seed, and each time one is sent
its JPEG quantisation table is changed a little: other pixels, at no cost while the load runs.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError, InvalidRequestError

VARIANTS: Final = 2**12
"""Different pictures that `altered` makes of one photo."""

_TABLE_MARKER: Final = b"\xff\xdb"
_TABLE_BYTES: Final = 64
_CHANGED: Final = range(1, 13)
"""Places of the low frequencies in a quantisation table; the first would change the brightness."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Photos and words to send; `photo(n)` and `text(n)` differ for each n up to `capacity`.

    Attributes:
        photos: JPEG files, all different.
        texts: Words, all different.
        repeats: 0 for inputs that never repeat; else only so many different ones are sent, in a circle.
    """

    photos: Sequence[bytes]
    texts: Sequence[bytes]
    repeats: int = 0

    def photo(self, number: int) -> bytes:
        """Return the photo of request `number`."""
        if self.repeats:
            return self.photos[number % min(self.repeats, len(self.photos))]
        turn, place = divmod(number, len(self.photos))
        return altered(self.photos[place], turn) if turn else self.photos[place]

    def text(self, number: int) -> bytes:
        """Return the words of request `number`."""
        if self.repeats:
            return self.texts[number % min(self.repeats, len(self.texts))]
        turn, place = divmod(number, len(self.texts))
        return b"%s no %d" % (self.texts[place], turn) if turn else self.texts[place]


def altered(jpeg: bytes, variant: int) -> bytes:
    """Return a JPEG with other pixels: some entries of its first quantisation table are one higher.

    Args:
        jpeg: A baseline JPEG as Pillow writes it.
        variant: 1 to `VARIANTS` - 1; each gives another picture.

    Raises:
        InvalidRequestError: No quantisation table of bytes is found, or `variant` is out of range.
    """
    if not 0 <= variant < VARIANTS:
        raise InvalidRequestError(f"a photo has {VARIANTS} variants, got number {variant}; use more photos")
    marker = jpeg.find(_TABLE_MARKER)
    if marker < 0 or len(jpeg) < marker + 5 + _TABLE_BYTES or jpeg[marker + 4] >> 4:
        raise InvalidRequestError("photo: expected a JPEG with a quantisation table of bytes; encode it with Pillow")
    changed = bytearray(jpeg)
    table = marker + 5
    for place in _CHANGED:
        variant, step = divmod(variant, 2)
        changed[table + place] = min(255, changed[table + place] + step)
    return bytes(changed)


def photo_files(directory: Path) -> list[Path]:
    """Return the photos under a directory, in the order of their names.

    Raises:
        ConfigError: There are none.
    """
    found = sorted(path for path in directory.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not found:
        raise ConfigError(f"{directory} holds no photo; give a directory of JPEG, PNG or WebP files with --photos")
    return found


def varied_photos(files: Sequence[Path], count: int, seed: int) -> list[bytes]:
    """Return `count` different JPEGs: random crops of the files, a few percent off each side, encoded anew.

    Sizes stay close to those of the files, as decoding is part of what is measured.

    Raises:
        ConfigError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ConfigError('photos are varied with Pillow; install `pip install "product-match[bench]"`') from error
    chance = random.Random(seed)
    made: dict[bytes, None] = {}
    order = list(files)
    chance.shuffle(order)
    for number in range(20 * count):
        if len(made) == count:
            return list(made)
        with Image.open(order[number % len(order)]) as photo:
            image = photo.convert("RGB")
        width, height = image.size
        left, top, right, bottom = (chance.uniform(0, 0.06) for _ in range(4))
        box = (int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height))
        stream = io.BytesIO()
        image.crop(box).save(stream, "JPEG", quality=chance.randint(82, 94))
        made[stream.getvalue()] = None
    raise ConfigError(f"only {len(made)} different photos could be made of {len(files)} files; give more files")


def varied_texts(lines: Sequence[str], count: int, seed: int) -> list[bytes]:
    """Return `count` different short texts: runs of words from the lines, some joined with a word of another line.

    Raises:
        ConfigError: The lines hold too few words for that many texts.
    """
    chance = random.Random(seed)
    vocabulary = sorted({word for line in lines for word in _words(line)})
    phrases = [words for line in lines if (words := _words(line))]
    made: dict[bytes, None] = {}
    for _ in range(50 * count):
        if len(made) == count or not phrases:
            break
        words = chance.choice(phrases)
        length = chance.randint(1, 5)
        start = chance.randrange(max(1, len(words) - length + 1))
        chosen = [
            *chance.sample(vocabulary, min(chance.randint(0, 1), len(vocabulary))),
            *words[start : start + length],
        ]
        made[" ".join(chosen).encode()] = None
    if len(made) < count:
        raise ConfigError(
            f"only {len(made)} different texts could be made of {len(lines)} lines, {count} are wanted; "
            "give more lines with --texts"
        )
    return list(made)


def _words(line: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", line.lower())
