"""A small encoder declaration for tests that need no weights."""

from __future__ import annotations

from typing import Any

from product_match.contract.encoder import EncoderSpec, SimilarityScale, SimilarityScales

SCALES = SimilarityScales(
    image_to_image=SimilarityScale(background=0.5, match=1.0),
    image_to_text=SimilarityScale(background=0.1, match=0.3),
    text_to_image=SimilarityScale(background=0.2, match=0.4),
    text_to_text=SimilarityScale(background=0.4, match=0.9),
)


def encoder_spec(**changes: Any) -> EncoderSpec:
    fields: dict[str, Any] = {
        "name": "tiny",
        "revision": "0123456789ab",
        "family": "clip",
        "precision": "fp32",
        "image_size_px": 32,
        "resize_mode": "shortest_edge_crop",
        "resize_size_px": 32,
        "interpolation": "bicubic",
        "embedding_dim": 4,
        "text_buckets": (8, 16),
        "pad_id": 0,
        "text_pooling": "end_of_text",
        "scales": SCALES,
    }
    return EncoderSpec(**{**fields, **changes})
