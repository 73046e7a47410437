"""Whether the exported encoders are the checkpoint's own: names, shapes and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ensemble_builder.embeddings import Encoders
from ensemble_builder.family import Family
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.report import BuildReport, Check
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec
from product_match.contract.errors import ParityError
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.contract.tensors import Dtype

COSINE_LIMITS: Final[Mapping[str, float]] = {"fp32": 0.9999, "fp16": 0.999}
"""Of each sample with transformers; the precisions below are held to the retrieval gate instead."""
BATCH_SIZES: Final = (1, 2, 3, 8)
_ONNX_TYPES: Final = {
    Dtype.UINT8: onnx.TensorProto.UINT8,
    Dtype.INT32: onnx.TensorProto.INT32,
    Dtype.FP32: onnx.TensorProto.FLOAT,
}


def check_declaration(directory: Path, spec: EncoderSpec) -> None:
    """Check names, types and shapes of both ONNX files against the contract.

    Raises:
        ParityError: An input or output differs from the declaration.
    """
    for file, name in ((IMAGE_ONNX_FILE, IMAGE_ENCODER), (TEXT_ONNX_FILE, TEXT_ENCODER)):
        graph = onnx.load(str(directory / file), load_external_data=False).graph
        declared = composing_model(spec, name)
        for side, values, tensors in (
            ("inputs", graph.input, declared.inputs),
            ("outputs", graph.output, declared.outputs),
        ):
            found = [_described(value) for value in values]
            expected = [(tensor.name, _ONNX_TYPES[tensor.dtype], (-1, *tensor.dims)) for tensor in tensors]
            if found != expected:
                raise ParityError(
                    f"{file}: {side} are {found}, the contract declares {expected}; this is a fault of the exporter"
                )


def _described(value: onnx.ValueInfoProto) -> tuple[str, int, tuple[int, ...]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(dim.dim_value or -1 for dim in tensor.shape.dim)


def sample_pixels(spec: EncoderSpec, count: int, seed: int = 7) -> NDArray[np.uint8]:
    """Return images of colour gradients and noise, UINT8 [count, H, W, 3]."""
    random = np.random.default_rng(seed)
    side = spec.image_size_px
    ramp = np.linspace(0.0, 1.0, side)
    images = np.empty((count, side, side, 3), dtype=np.uint8)
    for index in range(count):
        corners = random.uniform(0, 255, (3, 3))
        plane = corners[0] + ramp[:, None, None] * corners[1] + ramp[None, :, None] * corners[2]
        images[index] = np.clip(plane / 2 + random.normal(0, 4 * (index % 8), (side, side, 3)), 0, 255)
    return images


def sample_tokens(
    spec: EncoderSpec, family: Family, model: Any, length: int, count: int
) -> dict[str, NDArray[np.int32]]:
    """Return random rows that end at random places, padded to `length`."""
    random = np.random.default_rng(length)
    vocabulary = int(model.config.text_config.vocab_size)
    ids = random.integers(3, vocabulary, (count, length)).astype(np.int32)
    if spec.text_pooling == "last_token":
        return {"input_ids": ids, "eot_index": np.full((count, 1), length - 1, dtype=np.int32)}
    end = family.end_token(model)
    # Neither the end nor padding comes inside a text: RoBERTa counts positions past padding.
    ids[(ids == end) | (ids == spec.pad_id)] = 3 if spec.pad_id != 3 else 4
    ends = random.integers(1, length, (count, 1)).astype(np.int32)
    ends[0, 0], ends[-1, 0] = length - 1, 1
    ids[np.arange(length)[None, :] > ends] = spec.pad_id
    if end is not None:
        np.put_along_axis(ids, ends.astype(np.int64), end, axis=1)
    return {"input_ids": ids, "eot_index": ends}


def normalised(pixels: NDArray[np.uint8], rules: ImageRules) -> torch.Tensor:
    """Return what the checkpoint's own processor would hand to the model, FP32 [N, 3, H, W]."""
    scaled = pixels.astype(np.float64) * rules.rescale_factor
    values = (scaled - np.asarray(rules.mean)) / np.asarray(rules.std)
    return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    result: NDArray[np.float64] = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return result


def refuse_failures(checks: Sequence[Check]) -> None:
    """Stop the build at a check that failed.

    Raises:
        ParityError: Names each figure that is out of its limit.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        raise ParityError(
            "the exported encoders differ from the checkpoint: "
            + "; ".join(f"{check.name} is {check.value:.6f}, must be {check.limit}" for check in failed)
        )


def check_values(
    *, encoders: Encoders, family: Family, model: Any, spec: EncoderSpec, rules: ImageRules, report: BuildReport
) -> None:
    """Compare both encoders with transformers on the CPU, at several batch sizes and every bucket.

    Raises:
        ParityError: A sample differs by more than the precision allows, or an embedding is not of length 1.
    """
    image_cosines, text_cosines, norms = [], [], []
    for count in BATCH_SIZES:
        pixels = sample_pixels(spec, count, seed=count)
        found = encoders.image({"pixel_values": pixels})
        image_cosines.append(cosines(found, family.reference_images(model, normalised(pixels, rules))))
        norms.append(np.linalg.norm(found, axis=1))
        for length in spec.text_buckets:
            tokens = sample_tokens(spec, family, model, length, count)
            found = encoders.text(tokens)
            own = family.reference_texts(model, tokens["input_ids"], tokens["eot_index"])
            text_cosines.append(cosines(found, own))
            norms.append(np.linalg.norm(found, axis=1))
    lengths = np.concatenate(norms)
    checks = [report.at_most("embedding length, largest error", np.abs(lengths - 1).max(), 1e-3, len(lengths))]
    limit = COSINE_LIMITS[spec.precision]
    for name, parts in (("images", image_cosines), ("texts", text_cosines)):
        values = np.concatenate(parts)
        what = f"{name} against transformers, lowest cosine"
        checks.append(report.at_least(what, values.min(), limit, len(values)))
    refuse_failures(checks)
