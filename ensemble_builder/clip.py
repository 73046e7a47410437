"""The CLIP family."""

from __future__ import annotations

from typing import Any

import torch

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import SHORT_TEXTS, Family, ImageRules, TextRules, interpolation, normalisation, side
from ensemble_builder.towers import ClipTextTower, ClipVisionTower
from product_match.contract.encoder import SimilarityScale, SimilarityScales


class ClipFamily(Family):
    """CLIPModel: OpenAI's, OpenCLIP's and FashionCLIP's exports.

    A causal text tower: what follows the end-of-text token cannot change its embedding, so rows are padded to the
    next bucket and pooled at the position of that token.
    """

    name = "clip"
    architectures = ("CLIPModel",)
    default_scales = SimilarityScales(
        image_to_image=SimilarityScale(background=0.55, match=1.0),
        image_to_text=SimilarityScale(background=0.17, match=0.36),
        text_to_image=SimilarityScale(background=0.17, match=0.36),
        text_to_text=SimilarityScale(background=0.65, match=1.0),
    )

    def image_rules(self, checkpoint: Checkpoint) -> ImageRules:
        """Shortest edge, then a centre crop."""
        preprocessor = checkpoint.preprocessor
        size = side(checkpoint, "size", preprocessor.get("size", preprocessor.get("crop_size")))
        crop = side(checkpoint, "crop_size", preprocessor.get("crop_size", size))
        squash = not preprocessor.get("do_center_crop", True)
        return ImageRules(
            image_size_px=size if squash else crop,
            resize_mode="squash" if squash else "shortest_edge_crop",
            resize_size_px=size,
            interpolation=interpolation(checkpoint),
            **normalisation(checkpoint),
        )

    def text_rules(self, checkpoint: Checkpoint, buckets: tuple[int, ...] | None) -> TextRules:
        """Buckets up to the context length, pooled at the end of text."""
        length = int(checkpoint.config["text_config"].get("max_position_embeddings", 77))
        wanted = buckets or SHORT_TEXTS
        chosen = (*sorted({bucket for bucket in wanted if 2 <= bucket < length}), length)
        return TextRules(text_buckets=chosen, text_pooling="end_of_text", lowercase_text=False)

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """CLS token and end-of-text token, each through its projection."""
        return ClipVisionTower(model, rules.mean, rules.std, rules.rescale_factor), ClipTextTower(model)
