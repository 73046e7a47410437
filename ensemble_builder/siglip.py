"""The SigLIP and SigLIP2 families."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import Family, ImageRules, TextRules, interpolation, normalisation, side, unit_rows
from ensemble_builder.towers import NaflexVisionTower, SiglipTextTower, SiglipVisionTower
from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import CheckpointError


class SiglipFamily(Family):
    """SiglipModel, and the SigLIP2 checkpoints of fixed resolution, which are SiglipModel too.

    The text tower sees every position and pools at the last one, so a row is always padded to the full length.
    """

    name = "siglip"
    architectures = ("SiglipModel",)
    default_scales = SimilarityScales(
        image_to_image=SimilarityScale(background=0.50, match=1.0),
        image_to_text=SimilarityScale(background=0.00, match=0.18),
        text_to_image=SimilarityScale(background=0.00, match=0.18),
        text_to_text=SimilarityScale(background=0.65, match=1.0),
    )

    def image_rules(self, checkpoint: Checkpoint) -> ImageRules:
        """Straight to the square, whatever the aspect ratio."""
        size = side(checkpoint, "size", checkpoint.preprocessor.get("size"))
        return ImageRules(
            image_size_px=size,
            resize_mode="squash",
            resize_size_px=size,
            interpolation=interpolation(checkpoint),
            **normalisation(checkpoint),
        )

    def text_rules(self, checkpoint: Checkpoint, buckets: tuple[int, ...] | None) -> TextRules:
        """One bucket, pooled at its last token."""
        length = int(checkpoint.config["text_config"].get("max_position_embeddings", 64))
        if buckets not in (None, (length,)):
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: SigLIP pools at the last of {length} tokens, so {length} is "
                "its only text bucket; leave --text-buckets out"
            )
        return TextRules(text_buckets=(length,), text_pooling="last_token", lowercase_text=False)

    def embedding_dim(self, model: Any) -> int:
        """Return the length of the model's embeddings."""
        return int(model.text_model.head.out_features)

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Attention pooling for images, the last token for text."""
        return SiglipVisionTower(model, rules.mean, rules.std, rules.rescale_factor), SiglipTextTower(model)


class Siglip2Family(SiglipFamily):
    """SigLIP2 of fixed resolution: SigLIP's towers with Gemma's tokenizer, trained on lower-cased text."""

    name = "siglip2"

    def accepts(self, checkpoint: Checkpoint) -> bool:
        """A SiglipModel with Gemma's tokenizer."""
        return super().accepts(checkpoint) and checkpoint.tokenizer_class.startswith(("Gemma", "Siglip2"))

    def text_rules(self, checkpoint: Checkpoint, buckets: tuple[int, ...] | None) -> TextRules:
        """SigLIP's, on lower-cased text."""
        rules = super().text_rules(checkpoint, buckets)
        return TextRules(text_buckets=rules.text_buckets, text_pooling=rules.text_pooling, lowercase_text=True)

    def own_tokens(self, tokenizer: Any, text: str, context_length: int) -> list[int]:
        """Lower the text first: Gemma's tokenizer leaves that to its caller."""
        return super().own_tokens(tokenizer, text.lower(), context_length)


class NaflexFamily(Siglip2Family):
    """SigLIP2 NaFlex, at the square grid of its greatest number of patches.

    NaFlex takes any aspect ratio, and with it patches, masks and shapes that differ from photo to photo. Batches of
    photos need one shape, so each is squashed to the square that the checkpoint itself uses for square photos.
    """

    name = "siglip2"
    architectures = ("Siglip2Model",)

    def accepts(self, checkpoint: Checkpoint) -> bool:
        """A Siglip2Model, whatever its tokenizer."""
        return Family.accepts(self, checkpoint)

    def image_rules(self, checkpoint: Checkpoint) -> ImageRules:
        """The largest square of whole patches."""
        patch = side(checkpoint, "patch_size", checkpoint.preprocessor.get("patch_size", 16))
        grid = math.isqrt(side(checkpoint, "max_num_patches", checkpoint.preprocessor.get("max_num_patches", 256)))
        return ImageRules(
            image_size_px=patch * grid,
            resize_mode="squash",
            resize_size_px=patch * grid,
            interpolation=interpolation(checkpoint, 2),
            **normalisation(checkpoint),
        )

    def check_shapes(self, checkpoint: Checkpoint, rules: ImageRules) -> None:
        """Any size fits: positions are resized to the grid."""

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Attention pooling over the patches of a square."""
        image = NaflexVisionTower(model, rules.mean, rules.std, rules.rescale_factor, rules.image_size_px)
        return image, SiglipTextTower(model)

    def own_values(self, processor: Any, image: Image.Image) -> NDArray[np.float32]:
        """Squash to the square first, then put the processor's patches together again."""
        patch, grid = processor.patch_size, math.isqrt(processor.max_num_patches)
        square = image.resize((patch * grid, patch * grid), Image.Resampling(processor.resample))
        patches = np.asarray(processor(images=square, return_tensors="np")["pixel_values"][0], dtype=np.float32)
        cells = patches[: grid * grid].reshape(grid, grid, patch, patch, 3)
        return np.ascontiguousarray(cells.transpose(4, 0, 2, 1, 3).reshape(3, patch * grid, patch * grid))

    def reference_images(self, model: Any, values: torch.Tensor) -> NDArray[np.float32]:
        """Hand transformers the patches, with a mask of ones and the square's shape."""
        patch = model.config.vision_config.patch_size
        grid = values.shape[-1] // patch
        count = values.shape[0]
        cells = values.reshape(count, 3, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1)
        with torch.inference_mode():
            return unit_rows(
                model.get_image_features(
                    pixel_values=cells.reshape(count, grid * grid, -1),
                    pixel_attention_mask=torch.ones((count, grid * grid), dtype=torch.int64),
                    spatial_shapes=torch.full((count, 2), grid, dtype=torch.int64),
                )
            )
