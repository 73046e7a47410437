"""The CLIP family."""

from __future__ import annotations

from typing import Any

import torch

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import SHORT_TEXTS, Family, TextRules, with_last
from ensemble_builder.image_rules import ImageRules
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

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """Buckets up to the context length, pooled at the end of text."""
        del tokenizer
        length = int(checkpoint.config["text_config"].get("max_position_embeddings", 77))
        chosen = with_last(buckets or SHORT_TEXTS, length)
        return TextRules(text_buckets=chosen, text_pooling="end_of_text", lowercase_text=False)

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """CLS token and end-of-text token, each through its projection."""
        return ClipVisionTower(model, rules.mean, rules.std, rules.rescale_factor), ClipTextTower(model)

    def end_token(self, model: Any) -> int:
        """Return the id that ends a text: the vocabulary's greatest where the config holds CLIP's old value of 2.

        Source: transformers CLIPTextModel.forward, which pools at the greatest id of a row for 2.
        """
        config = model.config.text_config
        return int(config.eos_token_id) if config.eos_token_id != 2 else int(config.vocab_size) - 1
