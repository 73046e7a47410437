"""How a checkpoint wants its photos, read from the image processor that transformers makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.loading import one_line
from product_match.contract.encoder import Interpolation, ResizeMode
from product_match.contract.errors import CheckpointError

_INTERPOLATION: Final[dict[int, Interpolation]] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its resampling filters, which the processor's file holds."""
_UNCROPPED_CONVNEXT_PX: Final = 384
"""From this size on ConvNeXt's processor squashes photos, where it resizes and crops smaller ones."""

PROCESSOR_LIMIT: Final = 1.0
"""Mean difference of pixels, of 255, above which a processor does something that the rules do not say."""


@dataclass(frozen=True, kw_only=True)
class ImageRules:
    """How the checkpoint wants its images.

    Attributes:
        image_size_px: Side of the square that the tower takes.
        resize_mode: As in EncoderSpec.
        resize_size_px: As in EncoderSpec.
        interpolation: As in EncoderSpec.
        mean: One value for each channel, of pixels scaled to 0..1.
        std: One value for each channel.
        rescale_factor: What 0..255 is multiplied by.
    """

    image_size_px: int
    resize_mode: ResizeMode
    resize_size_px: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale_factor: float


def load_image_processor(checkpoint: Checkpoint) -> Any:
    """Load the checkpoint's own image processor, in its Pillow form.

    Raises:
        CheckpointError: transformers cannot make it of the checkpoint's files.
    """
    import transformers

    try:
        return transformers.AutoImageProcessor.from_pretrained(
            checkpoint.directory, backend="pil", local_files_only=True
        )
    except (ValueError, OSError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: transformers cannot make an image processor of "
            f"{checkpoint.preprocessor_file} ({one_line(error)})"
        ) from error


def image_rules(checkpoint: Checkpoint, processor: Any) -> ImageRules:
    """Read how photos are resized, cropped and normalised.

    What transformers fills in where the file is silent differs from processor to processor, so the processor is
    asked, and not the file.

    Raises:
        CheckpointError: Photos are prepared in a way that serving has not.
    """
    reader = _Reader(checkpoint, processor)
    resize_mode, resize_size, image_size = reader.geometry()
    mean, std = reader.normalisation()
    rules = ImageRules(
        image_size_px=image_size,
        resize_mode=resize_mode,
        resize_size_px=resize_size,
        interpolation=reader.interpolation(),
        mean=mean,
        std=std,
        rescale_factor=float(processor.rescale_factor) if getattr(processor, "do_rescale", True) else 1.0,
    )
    check_processor(checkpoint, processor, rules)
    return rules


def check_processor(checkpoint: Checkpoint, processor: Any, rules: ImageRules) -> None:
    """Compare the rules with what the processor does to two made photos.

    Raises:
        CheckpointError: The processor does something that the rules do not say.
    """
    for shape in ((151, 211), (222, 149)):
        ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape[1], shape[0])
        photo = Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8))
        own = np.asarray(processor(images=photo, return_tensors="pt")["pixel_values"][0]).transpose(1, 2, 0)
        wanted = (resized(photo, rules) * rules.rescale_factor - np.asarray(rules.mean)) / np.asarray(rules.std)
        steps = np.abs(wanted - own) * np.asarray(rules.std) / rules.rescale_factor
        if steps.mean() > PROCESSOR_LIMIT:
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: {type(processor).__name__.removesuffix('Pil')} prepares photos "
                f"in a way that serving has not (pixels differ by {steps.mean():.1f} of 255); use a checkpoint whose "
                "photos are resized, cropped and normalised, such as a CLIPImageProcessor's"
            )


def resized(photo: Image.Image, rules: ImageRules) -> NDArray[np.float64]:
    """Resize and crop a photo as the rules say, step by step: [H, W, 3], 0 to 255."""
    width, height = photo.size
    short, side = rules.resize_size_px, rules.image_size_px
    if rules.resize_mode == "shortest_edge_crop":
        scaled = (
            (short if width <= height else int(short * width / height)),
            (short if height <= width else int(short * height / width)),
        )
    else:
        scaled = short, short
    left, top = (scaled[0] - side) // 2, (scaled[1] - side) // 2
    whole = photo.resize(scaled, getattr(Image.Resampling, rules.interpolation.upper()))
    return np.asarray(whole.crop((left, top, left + side, top + side)), dtype=np.float64)


class _Reader:
    """Reads a processor's attributes, and names what is wrong with them."""

    def __init__(self, checkpoint: Checkpoint, processor: Any) -> None:
        self._checkpoint = checkpoint
        self._processor = processor

    def geometry(self) -> tuple[ResizeMode, int, int]:
        """Return how photos are resized, to what size, and the side of what is left of them."""
        processor = self._processor
        if not getattr(processor, "do_resize", True):
            raise self._refusal("do_resize is false, so photos keep their size; set do_resize to true")
        if getattr(processor, "do_pad", False):
            raise self._refusal("do_pad is true; use a checkpoint whose photos are cropped or squashed")
        size = self._sides("size", getattr(processor, "size", None))
        shortest, square = size.get("shortest_edge"), self._square("size", size)
        if getattr(processor, "crop_pct", None) and shortest:
            if shortest >= _UNCROPPED_CONVNEXT_PX:
                return "squash", shortest, shortest
            return "shortest_edge_crop", int(shortest / processor.crop_pct), shortest
        crop = None
        if getattr(processor, "do_center_crop", False):
            crop = self._square("crop_size", self._sides("crop_size", processor.crop_size))
        if shortest is None and square is None:
            raise self._refusal(f"size is {size}; a shortest edge, or height and width, are needed")
        if square is None and crop is None:
            raise self._refusal(
                f"size is {size} without a centre crop, so that the shape of the image follows the photo's, and the "
                "image tower takes one shape; set do_center_crop and crop_size, or size to height and width"
            )
        target: int = square or shortest  # type: ignore[assignment]
        if crop is not None and crop > target:
            raise self._refusal(
                f"photos are resized to {target} pixels and cropped to {crop}, which would pad them with black; "
                "the crop must not be greater"
            )
        return ("squash" if square else "shortest_edge_crop"), target, crop or target

    def normalisation(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return mean and deviation of each channel."""
        if not getattr(self._processor, "do_normalize", True):
            return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        return self._triple("image_mean"), self._triple("image_std")

    def interpolation(self) -> Interpolation:
        """Return the resampling filter."""
        number = getattr(self._processor, "resample", None)
        if number is None or int(number) not in _INTERPOLATION:
            known = ", ".join(f"{key} ({name})" for key, name in _INTERPOLATION.items())
            raise self._refusal(f"resample is {number if number is None else int(number)}; known are {known}")
        return _INTERPOLATION[int(number)]

    def _sides(self, field: str, value: Any) -> dict[str, int]:
        names = ("shortest_edge", "longest_edge", "height", "width")
        found = {name: getattr(value, name, None) for name in names}
        sides = {name: side for name, side in found.items() if side is not None}
        if not sides or not all(isinstance(side, int) and side > 0 for side in sides.values()):
            raise self._refusal(f"{field} is {sides or value}; sides in pixels are needed")
        if "longest_edge" in sides:
            raise self._refusal(
                f"{field} is {sides}, so that the shape of the image follows the photo's; use a checkpoint whose "
                "photos are cropped or squashed to one square"
            )
        return sides

    def _square(self, field: str, sides: dict[str, int]) -> int | None:
        height, width = sides.get("height"), sides.get("width")
        if height != width:
            raise self._refusal(f"{field} is {sides}; height and width must be the same")
        return height

    def _triple(self, field: str) -> tuple[float, float, float]:
        value = getattr(self._processor, field, None)
        values = list(value) if isinstance(value, list | tuple) else []
        if len(values) != 3 or not all(isinstance(number, int | float) for number in values):
            raise self._refusal(f"{field} is {value!r:.80}; three numbers are needed")
        return float(values[0]), float(values[1]), float(values[2])

    def _refusal(self, what: str) -> CheckpointError:
        kind = type(self._processor).__name__.removesuffix("Pil")
        return CheckpointError(
            f"checkpoint {self._checkpoint.directory}: {self._checkpoint.preprocessor_file} ({kind}): {what}"
        )
