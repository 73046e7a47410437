"""The SigLIP and SigLIP2 families."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import torch

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import Family, OwnTokens, TextRules
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.tokenization import lowers_text
from ensemble_builder.towers import SiglipTextTower, SiglipVisionTower
from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import CheckpointError

SENTENCEPIECE_TOKENIZERS: Final = frozenset({"SiglipTokenizer"})
"""Those that lower-case, or not, as the checkpoint's do_lower_case says."""


class SiglipFamily(Family):
    """SiglipModel, and the SigLIP2 checkpoints of fixed resolution, which are SiglipModel too.

    The text tower sees every position and pools at the last one, so a row is always padded to the full length.
    """

    name = "siglip"
    architectures = ("SiglipModel",)
    model_types = ("siglip",)
    default_scales = SimilarityScales(
        image_to_image=SimilarityScale(background=0.50, match=1.0),
        image_to_text=SimilarityScale(background=0.00, match=0.18),
        text_to_image=SimilarityScale(background=0.00, match=0.18),
        text_to_text=SimilarityScale(background=0.65, match=1.0),
    )

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """One bucket, pooled at its last token."""
        if tokenizer.padding_side != "right":
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: the tokenizer pads on the {tokenizer.padding_side}, and SigLIP "
                'was trained on texts padded on the right; set padding_side to "right" in tokenizer_config.json'
            )
        length = int(checkpoint.text_config.get("max_position_embeddings", 64))
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
        """A SiglipModel with another tokenizer than SigLIP's own of sentencepiece."""
        return super().accepts(checkpoint) and checkpoint.tokenizer_class not in SENTENCEPIECE_TOKENIZERS

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """SigLIP's, on lower-cased text: by serving, where the tokenizer's normaliser leaves capitals as they are."""
        rules = super().text_rules(checkpoint, tokenizer, buckets)
        return dataclasses.replace(rules, lowercase_text=not lowers_text(tokenizer))

    def own_tokens(self, tokenizer: Any, text: str, context_length: int) -> OwnTokens:
        """Lower the text first, which Gemma's tokenizer leaves to its caller."""
        return super().own_tokens(tokenizer, text.lower(), context_length)
