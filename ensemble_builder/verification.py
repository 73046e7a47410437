"""Whether the encoders that a running Triton serves give the embeddings of the FP32 ones.

A TensorRT engine exists only on the GPU that it was built on, after the build's own checks. So the build leaves a few
inputs and their FP32 embeddings behind, and this sends them to the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_builder.embeddings import Encoders, Samples
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError, ParityError, UnavailableError
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model

REFERENCE_FILE: Final = "reference.npz"
REFERENCE_ROWS: Final = 16
SERVED_LIMITS: Final[Mapping[str, float]] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99, "fp8": 0.99}
"""Least cosine of each sample with FP32. INT8 and FP8 have passed the retrieval gate; this finds a broken engine."""


def write_reference(directory: Path, full: Encoders, samples: Samples) -> None:
    """Write inputs and FP32 embeddings of a few samples."""
    rows = slice(0, REFERENCE_ROWS)
    tokens = samples.texts[rows]
    longest = max(text["input_ids"].shape[1] for text in tokens)
    chosen = [text for text in tokens if text["input_ids"].shape[1] == longest]
    ids, ends = (np.concatenate([text[name] for text in chosen]) for name in ("input_ids", "eot_index"))
    np.savez(
        directory / REFERENCE_FILE,
        pixel_values=samples.pixels[rows],
        image_embeds=full.image({"pixel_values": samples.pixels[rows]}),
        input_ids=ids,
        eot_index=ends,
        text_embeds=full.text({"input_ids": ids, "eot_index": ends}),
    )


def verify(directory: Path, spec: EncoderSpec, url: str) -> dict[str, float]:
    """Send the reference inputs to Triton.

    Args:
        directory: Holds reference.npz.
        spec: Its declaration.
        url: Triton's gRPC, host:port.

    Returns:
        The lowest cosine of each encoder.

    Raises:
        ConfigError: There are no reference inputs.
        UnavailableError: Triton does not answer.
        ParityError: An encoder gives other embeddings.
    """
    try:
        with np.load(directory / REFERENCE_FILE) as file:
            reference = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{directory / REFERENCE_FILE} cannot be read ({error}); "
            "`ensemble-builder build --target tensorrt` writes it where there are photos with words"
        ) from error
    lowest = {}
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        declared = composing_model(spec, model)
        wanted = reference[declared.outputs[0].name]
        found = _infer(url, model, {tensor.name: reference[tensor.name] for tensor in declared.inputs}, spec)
        lowest[model] = float((found * wanted).sum(axis=1).min())
    limit = SERVED_LIMITS[spec.precision]
    low = {model: cosine for model, cosine in lowest.items() if not cosine >= limit}
    if low:
        raise ParityError(
            f"the encoders served at {url} differ from FP32: "
            + "; ".join(f"{model} has a cosine of {cosine:.5f}, must be >= {limit}" for model, cosine in low.items())
            + "; build the engines again, with another precision if it stays so"
        )
    return lowest


def _infer(url: str, model: str, tensors: Mapping[str, NDArray[Any]], spec: EncoderSpec) -> NDArray[np.float32]:
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    declared = composing_model(spec, model)
    inputs = []
    for tensor in declared.inputs:
        values = tensors[tensor.name]
        entry = grpc.InferInput(tensor.name, list(values.shape), tensor.dtype.value)
        entry.set_data_from_numpy(values)
        inputs.append(entry)
    client = grpc.InferenceServerClient(url)
    try:
        answer = client.infer(model, inputs, client_timeout=60)
    except InferenceServerException as error:
        raise UnavailableError(
            f"{model} at {url} does not answer ({error.message()}); start Triton with this encoder directory's model "
            "repository, and give its gRPC port with --url"
        ) from error
    finally:
        client.close()
    result: NDArray[np.float32] = answer.as_numpy(declared.outputs[0].name)
    return result
