"""What a family of checkpoints is: how text is tokenised, padded and pooled, and which towers a model has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.image_rules import ImageRules
from product_match.contract.encoder import SimilarityScales, TextPooling
from product_match.contract.errors import CheckpointError

SHORT_TEXTS: Final = (8, 16, 32)
"""Bucket lengths before the last. Most queries are 3 to 6 tokens between start and end, and 8 cost half of 16."""


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """How the checkpoint wants its text; the fields are EncoderSpec's."""

    text_buckets: tuple[int, ...]
    text_pooling: TextPooling
    lowercase_text: bool


@dataclass(frozen=True, kw_only=True)
class OwnTokens:
    """What the checkpoint's own tokenizer makes of a text.

    Attributes:
        ids: Padded to the context length.
        end: Where the last token lies that is not padding.
    """

    ids: list[int]
    end: int


class Family(ABC):
    """One family of checkpoints."""

    name: ClassVar[str]
    architectures: ClassVar[tuple[str, ...]]
    model_types: ClassVar[tuple[str, ...]]
    default_scales: ClassVar[SimilarityScales]

    def accepts(self, checkpoint: Checkpoint) -> bool:
        """Say whether `checkpoint` is of this family."""
        architectures = checkpoint.config.get("architectures")
        if not architectures:
            return checkpoint.config.get("model_type") in self.model_types
        return bool(set(architectures) & set(self.architectures))

    def check_shapes(self, checkpoint: Checkpoint, rules: ImageRules) -> None:
        """Check that the image processor makes what the image tower takes.

        Raises:
            CheckpointError: The sizes differ.
        """
        size = checkpoint.vision_config.get("image_size", 224)
        if size != rules.image_size_px:
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: {checkpoint.preprocessor_file} makes images of "
                f"{rules.image_size_px} pixels, and the image tower in config.json takes {size}; the two files "
                "must belong together"
            )

    def unused_weights(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Return how the names begin of weights that the embeddings do not depend on, so that they may be missing."""
        del checkpoint
        return ()

    def check_tokenizer(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        """Check that tokenizer and model agree on where a text ends.

        Raises:
            CheckpointError: They do not.
        """
        del checkpoint, tokenizer

    @abstractmethod
    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """Read how text is padded and pooled."""

    def check_model(self, model: Any) -> None:
        """Check that a loaded model has what the towers take.

        Raises:
            CheckpointError: It has not.
        """
        del model

    @abstractmethod
    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Return the image tower and the text tower, ready for export."""

    def embedding_dim(self, model: Any) -> int:
        """Return the length of the model's embeddings."""
        return int(model.text_projection.out_features)

    def end_token(self, model: Any) -> int | None:
        """Return the id that the model looks for to find the end of a text, or None where it looks for none."""
        del model
        return None

    def own_tokens(self, tokenizer: Any, text: str, context_length: int) -> OwnTokens:
        """Return what the checkpoint's own tokenizer gives for `text`, padded to the context length.

        Control tokens that are spelled in the text are plain text, as in serving.
        """
        found = tokenizer(
            text,
            padding="max_length",
            truncation=True,
            max_length=context_length,
            return_attention_mask=True,
            split_special_tokens=True,
        )
        return OwnTokens(ids=found.input_ids, end=sum(found.attention_mask) - 1)

    def own_values(self, processor: Any, image: Image.Image) -> NDArray[np.float32]:
        """Return the normalised values [3, H, W] that the checkpoint's own processor makes of `image`."""
        values: NDArray[np.float32] = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0])
        return values.astype(np.float32)

    def reference_images(self, model: Any, values: torch.Tensor) -> NDArray[np.float32]:
        """Return transformers' own embeddings of length 1 for normalised values [N, 3, H, W]."""
        with torch.inference_mode():
            return unit_rows(model.get_image_features(pixel_values=values))

    def reference_texts(self, model: Any, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return transformers' own embeddings of length 1 for token ids [N, S] whose texts end at `ends` [N, 1]."""
        del ends
        with torch.inference_mode():
            return unit_rows(model.get_text_features(input_ids=torch.from_numpy(ids.astype(np.int64))))


def unit_rows(features: Any) -> NDArray[np.float32]:
    """Return transformers' features as rows of length 1."""
    rows = features if isinstance(features, torch.Tensor) else features.pooler_output
    result: NDArray[np.float32] = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return result


def seen_tokens(ids: NDArray[np.int32], ends: NDArray[np.int32]) -> torch.Tensor:
    """Return the attention mask [N, S] of rows that end at `ends` [N, 1]."""
    return torch.from_numpy((np.arange(ids.shape[1])[None, :] <= ends).astype(np.int64))


def with_last(wanted: tuple[int, ...], length: int) -> tuple[int, ...]:
    """Return the bucket lengths in `wanted` that are below the context length, and that length."""
    return (*sorted({bucket for bucket in wanted if 2 <= bucket < length}), length)
