"""What a checkpoint is, whether it can be built, and what that takes, before anything is exported."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

import numpy as np

from ensemble_builder.parity import BATCH_SIZES, normalised, sample_pixels, sample_tokens
from ensemble_builder.photos import sample_photos
from ensemble_builder.preparation import Prepared, prepare
from ensemble_builder.preprocessing_parity import PHOTOS, TOKEN_CORPUS
from ensemble_builder.towers import attend_as_published
from product_match.encoding.processors import processor_name

BASE_MEMORY_MB: Final = 900
"""Of torch, transformers and ONNX Runtime before any weights."""
MEMORY_FACTOR: Final = 4.5
"""Bytes of memory for each byte of FP32 weights: the model, the graph of a tower, its file and its session."""
BASE_EXPORT_S: Final = 8.0
EXPORT_S_PER_MODULE: Final = 0.05
"""Export traces the towers module by module, so it takes as long for wide layers as for narrow ones."""


def examine(source: str, text_buckets: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Read and check a checkpoint.

    Args:
        source: A folder, or the id of a model on the Hugging Face hub.
        text_buckets: Lengths that texts are padded to; the family's by default.

    Returns:
        What was found, in plain values.

    Raises:
        CheckpointError: It cannot be built; the message says why, and what to do.
    """
    started = time.perf_counter()
    prepared = prepare(source, None, text_buckets)
    load_s = time.perf_counter() - started
    spec, checkpoint = prepared.spec, prepared.checkpoint
    parameters = sum(tensor.numel() for tensor in prepared.model.parameters())
    return {
        "encoder": spec.identity,
        "family": spec.family,
        "weights": ", ".join(path.name for path in checkpoint.weight_files),
        "weights_sha256": checkpoint.weights_sha256,
        "hub_revision": checkpoint.hub_revision,
        "parameters": parameters,
        "embedding_dim": spec.embedding_dim,
        "photos": f"{spec.resize_mode} to {spec.resize_size_px}, {spec.image_size_px} px, {spec.interpolation}",
        "text_buckets": list(spec.text_buckets),
        "text_pooling": spec.text_pooling,
        "lower_casing": f"by {prepared.lowering}",
        "fp32_size_mb": round(parameters * 4 / 1e6),
        "estimated_memory_mb": round(BASE_MEMORY_MB + MEMORY_FACTOR * parameters * 4 / 1e6),
        "estimated_time_s": round(load_s + _export_s(prepared) + _checks_s(prepared)),
        "estimated_on": processor_name(),
    }


def _export_s(prepared: Prepared) -> float:
    modules = sum(1 for module in prepared.model.modules() if not list(module.children()))
    return BASE_EXPORT_S + EXPORT_S_PER_MODULE * modules


def _checks_s(prepared: Prepared) -> float:
    """Time one photo and one text, and multiply by how many the checks of an FP32 build encode."""
    model, family, spec = prepared.model, prepared.family, prepared.spec
    attend_as_published(model)
    pixels = normalised(sample_pixels(spec, 1), prepared.images)
    photo_s = _seconds(lambda: family.reference_images(model, pixels))
    token_s = 0.0
    for length in (spec.text_buckets[0], spec.context_length):
        tokens = sample_tokens(spec, family, model, length, 1)
        ids, ends = tokens["input_ids"], tokens["eot_index"]
        token_s = max(token_s, _seconds(partial(family.reference_texts, model, ids, ends)) / length)
    rows = sum(BATCH_SIZES)
    photos = 2 * (rows + 2 * PHOTOS) + len(sample_photos())
    tokens_read = 2 * rows * sum(spec.text_buckets) + (len(TOKEN_CORPUS) + len(sample_photos())) * spec.context_length
    return photo_s * photos + token_s * tokens_read


def _seconds(work: Any) -> float:
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.min(taken))


def described(found: dict[str, Any]) -> str:
    """Return what was found as lines for people."""
    width = max(len(name) for name in found)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {value}" for name, value in found.items())
