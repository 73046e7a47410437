"""Photos: from encoded bytes to the UINT8 pixels that the image encoder takes."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import InvalidRequestError

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read; JPEG includes the MPO files that some phones write."""

_MAX_MEDIA_TYPE_BYTES: Final = 100
_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
_DAMAGE: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow's decoders raise on a damaged file; its plugins name no smaller set."""


class ImagePreprocessor:
    """Decodes, turns upright, resizes and crops photos for one encoder."""

    def __init__(self, encoder: EncoderSpec, threads: int = 2) -> None:
        """Prepare for `encoder`; `threads` photos are decoded at once (Pillow releases the GIL)."""
        # Pillow's own guard warns at 89 megapixels. Ours reads the header first, refuses less, and is the only one.
        Image.MAX_IMAGE_PIXELS = None
        Image.init()
        self._encoder = encoder
        self._filter = _FILTERS[encoder.interpolation]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None

    def preprocess(self, rows: Sequence[bytes]) -> list[NDArray[np.uint8] | InvalidRequestError]:
        """Preprocess several photos.

        Args:
            rows: Encoded photos.

        Returns:
            For each row its pixels [H, W, 3], RGB, 0 to 255, or the error that says what is wrong with it.
        """
        if self._pool is None or len(rows) < 2:
            return [self._attempt(row) for row in rows]
        return list(self._pool.map(self._attempt, rows))

    def close(self) -> None:
        """End the decoding threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _attempt(self, data: bytes) -> NDArray[np.uint8] | InvalidRequestError:
        try:
            return self.pixels(data)
        except InvalidRequestError as error:
            return error

    def pixels(self, data: bytes) -> NDArray[np.uint8]:
        """Return the pixels of one photo, [H, W, 3], RGB, 0 to 255.

        Args:
            data: An encoded photo, or a data URL (`data:image/jpeg;base64,...`) of one.

        Raises:
            InvalidRequestError: Not a photo that can be read, too large, too small, or damaged.
        """
        with _open(data) as image:
            _check_size(image)
            try:
                turn = _turn(image)
                # Twice the target keeps the error near 0.5 of 255 and skips most of the JPEG decoding.
                image.draft("RGB", (2 * self._encoder.resize_size_px, 2 * self._encoder.resize_size_px))
                upright = _rgb(image)
            except _DAMAGE as error:
                raise InvalidRequestError(
                    f"image: the {image.format} data is damaged or cut short ({error}); send the whole file again"
                ) from error
        if turn is not None:
            upright = upright.transpose(turn)
        return np.asarray(self._resized(upright))

    def _resized(self, image: Image.Image) -> Image.Image:
        side = self._encoder.image_size_px
        # The crop is taken through `box`, so only what is kept is resampled; the result equals resize, then crop.
        width, height = image.size
        short = self._encoder.resize_size_px
        squash = self._encoder.resize_mode == "squash"
        scaled_width = short if squash or width <= height else int(short * width / height)
        scaled_height = short if squash or height <= width else int(short * height / width)
        left, top = (scaled_width - side) // 2, (scaled_height - side) // 2
        step_x, step_y = width / scaled_width, height / scaled_height
        box = (left * step_x, top * step_y, (left + side) * step_x, (top + side) * step_y)
        return image.resize((side, side), self._filter, box=box)


def _from_data_url(data: bytes) -> bytes:
    """Decode a data URL, which is how a photo travels in JSON; anything else is returned as it is."""
    if not data.startswith(b"data:"):
        return data
    head, found, body = data.partition(b";base64,")
    if not found or len(head) > _MAX_MEDIA_TYPE_BYTES:
        raise InvalidRequestError("image: a data URL without `;base64,`; send `data:image/jpeg;base64,...`")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise InvalidRequestError(
            f"image: the data URL's base64 is damaged ({error}); encode the file again"
        ) from error


def _open(data: bytes) -> Image.Image:
    data = _from_data_url(data)
    if not data:
        raise InvalidRequestError("image: expected an encoded photo, got 0 bytes; send a JPEG, PNG, WebP or GIF file")
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InvalidRequestError(
            f"image: {len(data):,} bytes, the limit is {limits.MAX_IMAGE_BYTES:,}; "
            "send a smaller or more compressed file"
        )
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except _DAMAGE as error:
        raise InvalidRequestError(
            f"image: {len(data):,} bytes that are not a photo in a known format; "
            "send a JPEG, PNG, WebP, GIF, BMP or TIFF file"
        ) from error


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > limits.MAX_IMAGE_PIXELS:
        raise InvalidRequestError(
            f"image: {width} x {height} is {width * height:,} pixels, the limit is {limits.MAX_IMAGE_PIXELS:,}; "
            "scale it down before sending"
        )
    if min(width, height) < limits.MIN_IMAGE_SIDE_PX:
        raise InvalidRequestError(
            f"image: {width} x {height} pixels, each side must be at least {limits.MIN_IMAGE_SIDE_PX}; "
            "send a photo of the product"
        )


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DAMAGE:
        # Damaged EXIF does not make the photo unusable; it is taken as it lies.
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I"):
        # 16 bits a sample: Pillow's own conversion would clip at 255 instead of scaling.
        samples = np.asarray(image).astype(np.uint32)
        return Image.fromarray((samples >> 8).clip(0, 255).astype(np.uint8), "L").convert("RGB")
    if image.mode == "F":
        raise InvalidRequestError("image: 32-bit floating-point samples; save it with 8 or 16 bits a sample")
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    # A cut-out product is shown on white in shops; its transparent pixels often hold black.
    background = Image.new("RGBA", image.size, "white")
    background.alpha_composite(image)
    return background.convert("RGB")
