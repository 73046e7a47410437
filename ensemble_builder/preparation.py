"""All of a checkpoint that can be read and checked before anything is exported."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from ensemble_builder.checkpoint import Checkpoint, open_checkpoint
from ensemble_builder.families import family_of
from ensemble_builder.family import Family, TextRules
from ensemble_builder.image_rules import ImageRules, image_rules, load_image_processor
from ensemble_builder.loading import check_config, load_model
from ensemble_builder.tokenization import load_tokenizer, lowers_text, tokenizer_json
from product_match.contract.encoder import EncoderSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checkpoint, read.

    Attributes:
        checkpoint: The folder.
        family: How it is read.
        processor: transformers' own image processor.
        images: How photos are prepared.
        tokenizer: The checkpoint's own.
        vocabulary: The text of tokenizer.json.
        texts: How words are prepared.
        model: In FP32, on the CPU.
        spec: The declaration of its FP32 encoders.
    """

    checkpoint: Checkpoint
    family: Family
    processor: Any
    images: ImageRules
    tokenizer: Any
    vocabulary: str
    texts: TextRules
    model: Any
    spec: EncoderSpec

    @property
    def lowering(self) -> str:
        """Who lower-cases texts: "the tokenizer", "serving" or "nobody"."""
        if self.texts.lowercase_text:
            return "serving"
        return "the tokenizer" if lowers_text(self.tokenizer) else "nobody"


def prepare(source: str, name: str | None = None, text_buckets: tuple[int, ...] | None = None) -> Prepared:
    """Find, read and check a checkpoint, the cheap checks first.

    Args:
        source: A folder, or the id of a model on the Hugging Face hub.
        name: The encoder's short name; the checkpoint's by default.
        text_buckets: Lengths that texts are padded to; the family's by default.

    Raises:
        CheckpointError: It cannot be served; the message says why, and what to do.
    """
    checkpoint = open_checkpoint(source, name)
    family = family_of(checkpoint)
    check_config(checkpoint)
    processor = load_image_processor(checkpoint)
    images = image_rules(checkpoint, processor)
    family.check_shapes(checkpoint, images)
    tokenizer = load_tokenizer(checkpoint)
    family.check_tokenizer(checkpoint, tokenizer)
    vocabulary = tokenizer_json(checkpoint, tokenizer)
    texts = family.text_rules(checkpoint, tokenizer, text_buckets)
    logger.info("loading %s", checkpoint.source)
    model = load_model(checkpoint, family.unused_weights(checkpoint))
    family.check_model(model)
    return Prepared(
        checkpoint=checkpoint,
        family=family,
        processor=processor,
        images=images,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        texts=texts,
        model=model,
        spec=encoder_spec(
            checkpoint=checkpoint,
            family=family,
            images=images,
            texts=texts,
            pad_id=int(tokenizer.pad_token_id),
            vocabulary=vocabulary,
            embedding_dim=family.embedding_dim(model),
        ),
    )


def encoder_spec(
    *,
    checkpoint: Checkpoint,
    family: Family,
    images: ImageRules,
    texts: TextRules,
    pad_id: int,
    vocabulary: str,
    embedding_dim: int,
) -> EncoderSpec:
    """Return the declaration of the FP32 encoders of a checkpoint, with the family's similarity scales."""
    digest = hashlib.sha256(checkpoint.weights_sha256.encode())
    digest.update(hashlib.sha256(vocabulary.encode()).digest())
    digest.update(repr((dataclasses.astuple(images), texts.text_pooling, texts.lowercase_text, pad_id)).encode())
    return EncoderSpec(
        name=checkpoint.name,
        revision=digest.hexdigest()[:12],
        family=family.name,
        precision="fp32",
        image_size_px=images.image_size_px,
        resize_mode=images.resize_mode,
        resize_size_px=images.resize_size_px,
        interpolation=images.interpolation,
        embedding_dim=embedding_dim,
        text_buckets=texts.text_buckets,
        pad_id=pad_id,
        text_pooling=texts.text_pooling,
        scales=family.default_scales,
        lowercase_text=texts.lowercase_text,
    )
