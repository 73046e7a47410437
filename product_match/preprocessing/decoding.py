"""From the header of a photo to the encoder's pixels."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing import colours
from product_match.preprocessing.formats import bmp, gif, heif, jpeg, png, tiff, webp
from product_match.preprocessing.formats.header import PhotoHeader, damaged
from product_match.preprocessing.geometry import Geometry, upright

_DAMAGE: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, RuntimeError,
    ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
"""What decoders raise on a damaged file; they name no smaller set."""
_DECODERS: Final = {
    bmp.NAME: bmp.decode,
    gif.NAME: gif.decode,
    png.NAME: png.decode,
    tiff.NAME: tiff.decode,
    webp.NAME: webp.decode,
}
_DRAFT_FACTOR: Final = 2
"""A JPEG is decoded at no less than this times the target: most work is saved, the error is near 0.5 of 255."""


class Decoder:
    """Decodes photos for one geometry."""

    def __init__(self, geometry: Geometry) -> None:
        """Prepare; one decoder may be used by several threads."""
        # Pillow's own guard warns at 89 megapixels. Ours reads the header first, refuses less, and is the only one.
        Image.MAX_IMAGE_PIXELS = None
        Image.init()
        self._geometry = geometry
        self._profiles = colours.Profiles()

    def pixels(self, header: PhotoHeader) -> NDArray[np.uint8]:
        """Return the pixels of one photo, [H, W, 3], sRGB, 0 to 255.

        Raises:
            InvalidRequestError: It is damaged, or of a kind that is not read.
        """
        decoded = _decoded(header, self._scale(header))
        box = self._geometry.box(decoded.width, decoded.height, decoded.orientation)
        if decoded.scale > 1:
            box = (box[0] / decoded.scale, box[1] / decoded.scale, box[2] / decoded.scale, box[3] / decoded.scale)
        prepare = colours.preparation(decoded.image, header, decoded.low)
        small = self._geometry.resized(decoded.image, box, prepare)
        return np.asarray(upright(self._profiles.to_srgb(small, decoded.profile), decoded.orientation))

    def _scale(self, header: PhotoHeader) -> int:
        return jpeg.scale_for(header, _DRAFT_FACTOR * self._geometry.short_px) if header.format == jpeg.NAME else 1


@dataclass(frozen=True, kw_only=True)
class _Decoded:
    """What a decoder gave.

    Attributes:
        image: The picture, shrunk by `scale`.
        width: Pixels of a row before that; the decoder rounds up.
        height: Rows before that.
        orientation: What is left to turn.
        profile: ICC profile.
        low: The lower bytes of 16-bit samples, where they are needed.
    """

    image: Image.Image
    scale: int
    width: int
    height: int
    orientation: int
    profile: bytes
    low: NDArray[np.uint8] | None


def _decoded(header: PhotoHeader, scale: int) -> _Decoded:
    try:
        return _from_decoder(header, scale)
    except InvalidRequestError:
        raise
    except MemoryError as error:
        raise InvalidRequestError(
            f"image: this {header.format} takes more than {limits.MAX_DECODER_BYTES:,} bytes of memory to decode; "
            "scale it down, or save it as JPEG"
        ) from error
    except UnidentifiedImageError as error:
        raise damaged(header.format, "its header makes no sense, or is of a kind that is not read") from error
    except _DAMAGE as error:
        raise damaged(header.format, error) from error


def _from_decoder(header: PhotoHeader, scale: int) -> _Decoded:
    orientation, profile, size = header.orientation, header.profile, None
    low: NDArray[np.uint8] | None = None
    if header.format == jpeg.NAME:
        image, size = jpeg.decode(header, scale), (header.width, header.height)
    elif header.format in _DECODERS:
        image = _DECODERS[header.format](header)
        if len(header.key) == 3 and header.depth == 16:
            low = png.low_bytes(header)
    else:
        image, orientation = heif.decode(header)
        profile = image.info.get("icc_profile") or b""
    width, height = size or image.size
    return _Decoded(
        image=image, scale=scale, width=width, height=height, orientation=orientation, profile=profile, low=low
    )
