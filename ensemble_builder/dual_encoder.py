"""Dual encoders of any image tower and any text tower: VisionTextDualEncoderModel."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import SHORT_TEXTS, Family, TextRules, seen_tokens, unit_rows, with_last
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.towers import MaskedTextTower, PooledVisionTower, pooled_text
from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import CheckpointError

TEXT_POOLING: Final = "text_pooling"
"""The key of config.json that says how the text tower's output is pooled, where it is not by the model itself.

transformers has no such key and keeps it; it would pool with the text model's own pooler, which sentence encoders
such as MiniLM do not use.
"""
POOLINGS: Final = ("pooler", "first_token", "mean")
LONGEST_TEXT: Final = 128
"""The default of the greatest bucket. Towers of 512 positions were mostly trained on texts of up to 128 tokens."""
_OFFSET_POSITIONS: Final = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "xmod"})
"""Text models whose first two positions stand for padding."""


class DualEncoderFamily(Family):
    """VisionTextDualEncoderModel: a text tower that sees both ways, and any image tower of transformers or timm."""

    name = "dual"
    architectures = ("VisionTextDualEncoderModel",)
    model_types = ("vision-text-dual-encoder",)
    default_scales = SimilarityScales(
        image_to_image=SimilarityScale(background=0.30, match=1.0),
        image_to_text=SimilarityScale(background=0.05, match=0.40),
        text_to_image=SimilarityScale(background=0.05, match=0.40),
        text_to_text=SimilarityScale(background=0.30, match=1.0),
    )

    def check_shapes(self, checkpoint: Checkpoint, rules: ImageRules) -> None:
        """Compare the sizes where the image tower has one; timm's towers take any."""
        if "image_size" in checkpoint.vision_config:
            super().check_shapes(checkpoint, rules)

    def unused_weights(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The text model's pooler, unless it is what pools."""
        return () if _pooling(checkpoint) == "pooler" else ("text_model.pooler.",)

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """Buckets up to the last one that is asked for; padding is masked, so any length will do."""
        config = checkpoint.text_config
        positions = int(config.get("max_position_embeddings", 512))
        if config.get("model_type") in _OFFSET_POSITIONS:
            positions -= int(config.get("pad_token_id") or 0) + 1
        positions = min(positions, int(tokenizer.model_max_length))
        wanted = buckets or (*SHORT_TEXTS, LONGEST_TEXT)
        chosen = with_last(wanted, min(max(wanted), positions))
        pooling = _pooling(checkpoint)
        return TextRules(
            text_buckets=chosen,
            text_pooling="mean" if pooling == "mean" else "first_token",
            lowercase_text=False,
        )

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Both pooled outputs, each through its projection."""
        image = PooledVisionTower(model, rules.mean, rules.std, rules.rescale_factor)
        return image, MaskedTextTower(model, _model_pooling(model))

    def check_model(self, model: Any) -> None:
        """Look for a pooler where it is to pool."""
        if _model_pooling(model) == POOLINGS[0] and getattr(model.text_model, "pooler", None) is None:
            raise CheckpointError(
                f"{type(model.text_model).__name__} has no pooler, so config.json must say how text is pooled: "
                f'"{TEXT_POOLING}": "mean" or "first_token"'
            )

    def reference_texts(self, model: Any, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.float32]:
        """Run transformers' own towers, and pool as the checkpoint declares."""
        seen, tokens = seen_tokens(ids, ends), torch.from_numpy(ids.astype(np.int64))
        pooling = _model_pooling(model)
        with torch.inference_mode():
            if pooling == "pooler":
                return unit_rows(model.get_text_features(input_ids=tokens, attention_mask=seen))
            output = model.text_model(input_ids=tokens, attention_mask=seen)
            return unit_rows(model.text_projection(pooled_text(output, seen, pooling)))


def _model_pooling(model: Any) -> str:
    return str(getattr(model.config, TEXT_POOLING, POOLINGS[0]))


def _pooling(checkpoint: Checkpoint) -> str:
    pooling = checkpoint.config.get(TEXT_POOLING, POOLINGS[0])
    if pooling not in POOLINGS:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: config.json has {TEXT_POOLING} {pooling!r}; known are "
            f"{', '.join(POOLINGS)}"
        )
    return str(pooling)
