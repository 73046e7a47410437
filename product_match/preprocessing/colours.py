"""Any decoded photo to RGB as sRGB means it: over white where it is clear, and through its ICC profile."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.formats.header import PhotoHeader
from product_match.preprocessing.geometry import Prepare

_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_SAME_WITHIN: Final = 2
"""Samples of 255 by which a profile may differ from sRGB and still count as that."""
_PROFILES: Final = 16
_AS_THEY_ARE: Final = ("RGB", "L", "CMYK")


def preparation(image: Image.Image, header: PhotoHeader, low: NDArray[np.uint8] | None = None) -> Prepare | None:
    """Return what makes RGB, L or CMYK of a decoded photo's parts; None where it is one of these already.

    Args:
        image: The photo.
        header: What was read in front of it.
        low: The lower bytes of its samples, where they have 16 bits and a colour of its own is clear.

    Raises:
        InvalidRequestError: Samples of a kind that are not read.
    """
    if header.frame is not None:
        return _Framed(header.frame)
    if header.key:
        return _Keyed(header.key, low)
    if image.mode in _AS_THEY_ARE and "transparency" not in image.info:
        return None
    if image.mode.startswith("I;16"):
        return lambda band, _: _from_16_bits(band, header)
    if image.mode in ("I", "F", "LAB"):
        raise InvalidRequestError(f"image: samples of kind {image.mode}; save it with 8 or 16 bits a sample, as RGB")
    if image.mode == "1":
        return lambda band, _: band.convert("L")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        return lambda band, _: _over_white(band)
    return lambda band, _: band.convert("RGB")


def _from_16_bits(band: Image.Image, header: PhotoHeader) -> Image.Image:
    # Pillow's own conversion would clip at 255 instead of scaling.
    samples = np.asarray(band).astype(np.uint16) >> (header.depth - 8)
    levels = samples.astype(np.uint8)
    return Image.fromarray(255 - levels if header.inverted else levels, "L")


def _over_white(band: Image.Image) -> Image.Image:
    """Return a part, white where it is clear: so shops show a cut-out product, whose clear pixels may be black."""
    if band.mode in ("La", "RGBa"):
        band = band.convert(band.mode.upper())
    clear = band.convert("RGBA")
    background = Image.new("RGB", clear.size, "white")
    background.paste(clear, mask=clear)
    return background


class _Keyed:
    """Puts white in the place of one colour."""

    def __init__(self, key: tuple[int, ...], low: NDArray[np.uint8] | None) -> None:
        self._key, self._low = key, low

    def __call__(self, band: Image.Image, first_row: int) -> Image.Image:
        samples: NDArray[Any] = np.asarray(band.convert("L") if band.mode == "1" else band)
        key: Any = self._key if len(self._key) > 1 else self._key[0]
        if self._low is not None:
            rows = self._low[first_row : first_row + band.height]
            clear = ((samples.astype(np.uint16) << 8 | rows) == key).all(-1)
        else:
            clear = samples == key if samples.ndim == 2 else (samples == key).all(-1)
        levels = (samples >> 8 if samples.dtype.itemsize > 1 else samples).astype(np.uint8)
        levels[clear] = 255
        return Image.fromarray(levels, "L" if levels.ndim == 2 else "RGB")


class _Framed:
    """Puts white around what a GIF's first picture draws."""

    def __init__(self, frame: tuple[int, int, int, int]) -> None:
        self._frame = frame

    def __call__(self, band: Image.Image, first_row: int) -> Image.Image:
        left, top, right, bottom = self._frame
        drawn = _over_white(band) if band.has_transparency_data else band.convert("RGB")
        box = (left, max(0, top - first_row), right, min(band.height, bottom - first_row))
        result = Image.new("RGB", band.size, "white")
        if box[1] < box[3]:
            result.paste(drawn.crop(box), box)
        return result


class Profiles:
    """Converts to sRGB by ICC profiles, and keeps the last few conversions: making one takes longer than using it."""

    def __init__(self) -> None:
        """Start without any."""
        self._srgb = ImageCms.createProfile("sRGB")
        self._known: OrderedDict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = OrderedDict()
        self._lock = threading.Lock()

    def to_srgb(self, image: Image.Image, profile: bytes) -> Image.Image:
        """Return an RGB, L or CMYK picture in sRGB; a profile that is damaged or does not fit counts for nothing."""
        transform = self._transform(profile, image.mode) if profile else None
        if transform is None:
            return image.convert("RGB")
        return transform.apply(image)

    def _transform(self, profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
        key = (hashlib.blake2b(profile, digest_size=16).digest(), mode)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = self._made(profile, mode)
        with self._lock:
            self._known[key] = made
            if len(self._known) > _PROFILES:
                self._known.popitem(last=False)
        return made

    def _made(self, profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space != _SPACES[mode]:
                return None
            transform = ImageCms.buildTransform(source, self._srgb, mode, "RGB")
            return None if mode == "RGB" and _changes_nothing(transform) else transform
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            # Damaged metadata does not make a photo unusable: its samples are taken for sRGB.
            return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(6, 36, 3)
    found = np.asarray(transform.apply(Image.fromarray(cube, "RGB"))).astype(int)
    return bool(np.abs(found - cube).max() <= _SAME_WITHIN)
