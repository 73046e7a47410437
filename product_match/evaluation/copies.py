"""Re-encoded copies of a photo, as a shop's or a shopper's tools make them."""

from __future__ import annotations

import hashlib
import io

from PIL import Image, ImageOps

CROPPED_SIDE = 0.9
RECOMPRESSED_QUALITY = 50
RESCALED_SIDE = 0.6


def encoded_copies(photo: bytes, file_name: str) -> dict[str, bytes]:
    """Make four changed copies of a photo.

    Args:
        photo: An encoded image.
        file_name: Decides where the crop lies, so that copies are the same in every run.

    Returns:
        `crop` (90% of each side), `flip` (mirrored), `recompress` (JPEG quality 50) and `rescale` (60% of each side),
        each as a JPEG; quality 90 but for `recompress`.
    """
    with Image.open(io.BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    digest = hashlib.sha256(file_name.encode("utf-8")).digest()
    width, height = (max(1, round(side * CROPPED_SIDE)) for side in image.size)
    left = (image.width - width) * digest[8] // 255
    top = (image.height - height) * digest[9] // 255
    smaller = image.resize(
        (max(1, round(image.width * RESCALED_SIDE)), max(1, round(image.height * RESCALED_SIDE))),
        Image.Resampling.LANCZOS,
    )
    return {
        "crop": _jpeg(image.crop((left, top, left + width, top + height)), 90),
        "flip": _jpeg(ImageOps.mirror(image), 90),
        "recompress": _jpeg(image, RECOMPRESSED_QUALITY),
        "rescale": _jpeg(smaller, 90),
    }


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
