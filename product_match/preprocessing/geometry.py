"""Where the encoder's pixels come from in a photo: the scaling and the crop of the checkpoint's own processor."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from product_match.contract.encoder import EncoderSpec, Interpolation, ResizeMode

Box = tuple[float, float, float, float]

Prepare = Callable[[Image.Image, int], Image.Image]
"""Makes of a band of a photo, from the row given on, what can be resampled: so a large photo is not held twice."""

_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
_SUPPORT: Final = {"bicubic": 2, "bilinear": 1, "lanczos": 3}
"""How many target pixels to each side a filter reads."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS: Final = (5, 6, 7, 8)
_BAND_PIXELS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What an encoder asks of a photo's size.

    Attributes:
        side_px: Height and width of the result.
        short_px: The shortest edge before the crop.
        mode: "shortest_edge_crop" or "squash".
        interpolation: The filter.
    """

    side_px: int
    short_px: int
    mode: ResizeMode
    interpolation: Interpolation

    @classmethod
    def of(cls, encoder: EncoderSpec) -> Geometry:
        """Return an encoder's."""
        return cls(
            side_px=encoder.image_size_px,
            short_px=encoder.resize_size_px,
            mode=encoder.resize_mode,
            interpolation=encoder.interpolation,
        )

    def to_json(self) -> str:
        """Return it as JSON, for another process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Geometry:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))

    def box(self, width: int, height: int, orientation: int) -> Box:
        """Return what of a photo becomes the result: left, top, right, bottom, in its stored pixels.

        Args:
            width: Of the photo as stored, from its header: not of what a decoder shrank and rounded.
            height: The same.
            orientation: EXIF's; the crop is that of the upright photo, which matters where it cannot be centred.
        """
        if self.mode == "squash":
            scaled_width = scaled_height = self.short_px
        else:
            shortest = min(width, height)
            scaled_width, scaled_height = self.short_px * width // shortest, self.short_px * height // shortest
        left = _start(scaled_width - self.side_px, from_end=orientation in _FROM_RIGHT)
        top = _start(scaled_height - self.side_px, from_end=orientation in _FROM_BOTTOM)
        step_x, step_y = width / scaled_width, height / scaled_height
        return (left * step_x, top * step_y, (left + self.side_px) * step_x, (top + self.side_px) * step_y)

    def resized(self, image: Image.Image, box: Box, prepare: Prepare | None) -> Image.Image:
        """Return what is in `box`, resampled to the result's size.

        Args:
            image: The decoded photo.
            box: In its pixels.
            prepare: None where the photo can be resampled as it is.
        """
        size = (self.side_px, self.side_px)
        resampling = _FILTERS[self.interpolation]
        if prepare is None:
            return image.resize(size, resampling, box=box)
        # Rows first, then columns, as Pillow does of all but tall photos.
        left, top, right, bottom = box
        margin = math.ceil(_SUPPORT[self.interpolation] * max(1.0, (bottom - top) / self.side_px)) + 1
        first, last = max(0, math.floor(top) - margin), min(image.height, math.ceil(bottom) + margin)
        step = max(1, _BAND_PIXELS // image.width)
        narrow: Image.Image | None = None
        for start in range(first, last, step):
            end = min(last, start + step)
            band = prepare(image.crop((0, start, image.width, end)), start)
            part = band.resize((self.side_px, end - start), resampling, box=(left, 0, right, end - start))
            if narrow is None:
                narrow = Image.new(part.mode, (self.side_px, last - first))
            narrow.paste(part, (0, start - first))
        if narrow is None:
            raise ValueError(f"a box without rows: {box}")
        return narrow.resize(size, resampling, box=(0, top - first, self.side_px, bottom - first))


_FROM_RIGHT: Final = (2, 3, 7, 8)
"""Orientations whose stored columns, or rows once upright, run from the upright photo's far end."""
_FROM_BOTTOM: Final = (3, 4, 6, 7)


def _start(rest: int, *, from_end: bool) -> int:
    """Return where a crop starts that leaves `rest` pixels out; an odd one is left out at the far end."""
    return rest - rest // 2 if from_end else rest // 2


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return a picture turned as EXIF's orientation says."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
