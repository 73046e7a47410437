"""What a family of checkpoints is: how text is tokenised, padded and pooled, and how images are resized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ensemble_builder.checkpoint import Checkpoint
from product_match.contract.encoder import Interpolation, ResizeMode, SimilarityScales, TextPooling
from product_match.contract.errors import CheckpointError

SHORT_TEXTS: Final = (8, 16, 32)
"""Bucket lengths before the last. Most queries are 3 to 6 tokens between start and end, and 8 cost half of 16."""

_INTERPOLATION: Final[Mapping[int, Interpolation]] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its resampling filters, which preprocessor_config.json holds."""


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


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """How the checkpoint wants its text; the fields are EncoderSpec's."""

    text_buckets: tuple[int, ...]
    text_pooling: TextPooling
    lowercase_text: bool


class Family(ABC):
    """One family of checkpoints."""

    name: ClassVar[str]
    architectures: ClassVar[tuple[str, ...]]
    default_scales: ClassVar[SimilarityScales]

    def accepts(self, checkpoint: Checkpoint) -> bool:
        """Say whether `checkpoint` is of this family."""
        return bool(set(checkpoint.config.get("architectures") or ()) & set(self.architectures))

    @abstractmethod
    def image_rules(self, checkpoint: Checkpoint) -> ImageRules:
        """Read how images are resized and normalised."""

    def check_shapes(self, checkpoint: Checkpoint, rules: ImageRules) -> None:
        """Check that the image processor makes what the image tower takes.

        Raises:
            CheckpointError: The sizes differ.
        """
        size = (checkpoint.config.get("vision_config") or {}).get("image_size", 224)
        if size != rules.image_size_px:
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: {checkpoint.preprocessor_file} makes images of "
                f"{rules.image_size_px} pixels, and the image tower in config.json takes {size}; the two files "
                "must belong together"
            )

    @abstractmethod
    def text_rules(self, checkpoint: Checkpoint, buckets: tuple[int, ...] | None) -> TextRules:
        """Read how text is padded and pooled."""

    @abstractmethod
    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Return the image tower and the text tower, ready for export."""

    def embedding_dim(self, model: Any) -> int:
        """Return the length of the model's embeddings."""
        return int(model.text_projection.out_features)

    def own_tokens(self, tokenizer: Any, text: str, context_length: int) -> list[int]:
        """Return the ids that the checkpoint's own tokenizer gives for `text`, padded to the context length."""
        ids: list[int] = tokenizer(text, padding="max_length", truncation=True, max_length=context_length).input_ids
        return ids

    def own_values(self, processor: Any, image: Image.Image) -> NDArray[np.float32]:
        """Return the normalised values [3, H, W] that the checkpoint's own processor makes of `image`."""
        values: NDArray[np.float32] = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0])
        return values.astype(np.float32)

    def reference_images(self, model: Any, values: torch.Tensor) -> NDArray[np.float32]:
        """Return transformers' own embeddings of length 1 for normalised values [N, 3, H, W]."""
        with torch.inference_mode():
            return unit_rows(model.get_image_features(pixel_values=values))

    def reference_texts(self, model: Any, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return transformers' own embeddings of length 1 for token ids [N, S]."""
        with torch.inference_mode():
            return unit_rows(model.get_text_features(input_ids=torch.from_numpy(ids.astype(np.int64))))


def unit_rows(features: Any) -> NDArray[np.float32]:
    """Return transformers' features as rows of length 1."""
    rows = features if isinstance(features, torch.Tensor) else features.pooler_output
    result: NDArray[np.float32] = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return result


def triple(checkpoint: Checkpoint, field: str) -> tuple[float, float, float]:
    """Read one number for each channel.

    Raises:
        CheckpointError: The field does not hold three numbers.
    """
    value = checkpoint.preprocessor.get(field)
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, int | float) for v in value):
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {checkpoint.preprocessor_file} needs {field} with 3 numbers, "
            f"got {value!r:.80}"
        )
    return float(value[0]), float(value[1]), float(value[2])


def side(checkpoint: Checkpoint, field: str, value: object) -> int:
    """Read 224, {"height": 224, "width": 224} or {"shortest_edge": 224}.

    Raises:
        CheckpointError: It is not one side in pixels.
    """
    if isinstance(value, Mapping):
        sides = {value[key] for key in ("height", "width", "shortest_edge") if key in value}
        value = sides.pop() if len(sides) == 1 else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {checkpoint.preprocessor_file} has {field} {value!r:.80}; one side "
            "in pixels is needed, for square images"
        )
    return value


def interpolation(checkpoint: Checkpoint, default: int = 3) -> Interpolation:
    """Read Pillow's resampling filter."""
    number = checkpoint.preprocessor.get("resample", default)
    if number not in _INTERPOLATION:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {checkpoint.preprocessor_file} has resample {number!r}; "
            f"known are {', '.join(f'{k} ({v})' for k, v in _INTERPOLATION.items())}"
        )
    return _INTERPOLATION[number]


def normalisation(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the fields of ImageRules that say how pixels are scaled."""
    preprocessor = checkpoint.preprocessor
    plain = not preprocessor.get("do_normalize", True)
    return {
        "mean": (0.0, 0.0, 0.0) if plain else triple(checkpoint, "image_mean"),
        "std": (1.0, 1.0, 1.0) if plain else triple(checkpoint, "image_std"),
        "rescale_factor": float(preprocessor.get("rescale_factor", 1 / 255)),
    }
