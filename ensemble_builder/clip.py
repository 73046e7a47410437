"""The CLIP family, and those of its shape: MetaCLIP 2 and Chinese-CLIP."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.family import SHORT_TEXTS, Family, TextRules, seen_tokens, unit_rows, with_last
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.towers import ClipTextTower, ClipVisionTower, MaskedTextTower
from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import CheckpointError

DEFAULT_END_TOKEN: Final = 49407
"""Of CLIPTextConfig and MetaClip2TextConfig, where config.json is silent."""
CHINESE_CONTEXT_LENGTH: Final = 52
"""What Chinese-CLIP was trained on. Source: `tokenize` of its authors' cn_clip, context_length=52."""


class ClipFamily(Family):
    """CLIPModel: OpenAI's, OpenCLIP's and FashionCLIP's exports.

    A causal text tower: what follows the end-of-text token cannot change its embedding, so rows are padded to the
    next bucket and pooled at the position of that token.
    """

    name = "clip"
    architectures = ("CLIPModel",)
    model_types = ("clip",)
    greatest_id_means: ClassVar[int | None] = 2
    """The `eos_token_id` for which the text model pools at the greatest id of a row (CLIPTextModel.forward)."""
    default_scales = SimilarityScales(
        image_to_image=SimilarityScale(background=0.55, match=1.0),
        image_to_text=SimilarityScale(background=0.17, match=0.36),
        text_to_image=SimilarityScale(background=0.17, match=0.36),
        text_to_text=SimilarityScale(background=0.65, match=1.0),
    )

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """Buckets up to the context length, pooled at the end of text."""
        del tokenizer
        length = int(checkpoint.text_config.get("max_position_embeddings", 77))
        chosen = with_last(buckets or SHORT_TEXTS, length)
        return TextRules(text_buckets=chosen, text_pooling="end_of_text", lowercase_text=False)

    def check_tokenizer(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        """Compare the token that the model pools at with the one that the tokenizer ends a text with."""
        declared = checkpoint.text_config.get("eos_token_id", DEFAULT_END_TOKEN)
        found = tokenizer.eos_token_id
        what = (
            f"checkpoint {checkpoint.directory}: text_config in config.json has eos_token_id {json.dumps(declared)}"
        )
        if found is None:
            raise CheckpointError(
                f"{what}, and the tokenizer has no end token; name it as eos_token in tokenizer_config.json"
            )
        if declared == self.greatest_id_means and isinstance(declared, int):
            above = len(tokenizer) - 1 - found
            if above > 0:
                raise CheckpointError(
                    f"{what}, for which transformers pools at the greatest id of a text, and the tokenizer has "
                    f"{above} tokens above its end token {found}, such as "
                    f"{tokenizer.convert_ids_to_tokens(len(tokenizer) - 1)!r}; write {found} there"
                )
        elif declared != found or isinstance(declared, bool):
            raise CheckpointError(
                f"{what}, where the model pools, and the tokenizer ends texts with {found} "
                f"({tokenizer.eos_token!r}); write {found} there if the tokenizer is the model's own"
            )

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """CLS token and end-of-text token, each through its projection."""
        return ClipVisionTower(model, rules.mean, rules.std, rules.rescale_factor), ClipTextTower(model)

    def end_token(self, model: Any) -> int | None:
        """Return the id that ends a text: the vocabulary's greatest where the config holds CLIP's old value of 2."""
        config = model.config.text_config
        greatest = config.eos_token_id == self.greatest_id_means
        return int(config.vocab_size) - 1 if greatest else int(config.eos_token_id)


class MetaClip2Family(ClipFamily):
    """MetaClip2Model: CLIP's towers with the tokenizer of XLM-V, whose end token is 2 indeed."""

    name = "metaclip2"
    architectures = ("MetaClip2Model",)
    model_types = ("metaclip_2",)
    greatest_id_means = None


class ChineseClipFamily(ClipFamily):
    """ChineseCLIPModel: CLIP's image tower, and a BERT whose first token is pooled."""

    name = "chinese_clip"
    architectures = ("ChineseCLIPModel",)
    model_types = ("chinese_clip",)

    def check_tokenizer(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        """BERT pools at the first token, wherever a text ends."""

    def text_rules(self, checkpoint: Checkpoint, tokenizer: Any, buckets: tuple[int, ...] | None) -> TextRules:
        """Buckets up to the last one that is asked for; padding is masked, so any length will do."""
        positions = int(checkpoint.text_config.get("max_position_embeddings", 512))
        positions = min(positions, int(tokenizer.model_max_length))
        wanted = buckets or (*SHORT_TEXTS, CHINESE_CONTEXT_LENGTH)
        chosen = with_last(wanted, min(max(wanted), positions))
        return TextRules(text_buckets=chosen, text_pooling="first_token", lowercase_text=False)

    def towers(self, model: Any, rules: ImageRules) -> tuple[torch.nn.Module, torch.nn.Module]:
        """CLS token of both, each through its projection."""
        image = ClipVisionTower(model, rules.mean, rules.std, rules.rescale_factor)
        return image, MaskedTextTower(model, "first_token")

    def end_token(self, model: Any) -> None:
        """Return None: the model looks for no end."""

    def reference_texts(self, model: Any, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.float32]:
        """Hand transformers the attention mask too."""
        with torch.inference_mode():
            return unit_rows(
                model.get_text_features(
                    input_ids=torch.from_numpy(ids.astype(np.int64)), attention_mask=seen_tokens(ids, ends)
                )
            )
