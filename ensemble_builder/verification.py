"""Whether the encoders that a running Triton serves give the embeddings of the FP32 ones.

A TensorRT engine exists only on the GPU that it was built on, after the build's own checks. So the build leaves a few
inputs and their FP32 embeddings behind, and this sends them to the server.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_builder.embeddings import Encoders, Samples
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError, ParityError, UnavailableError
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.encoding.processors import gpu_name, processor_name
from product_match.encoding.reference import REFERENCE_FILE, compare, read_reference, record, refusal

REFERENCE_PHOTOS: Final = 4
REFERENCE_TEXTS: Final = 8
READY_POLL_S: Final = 0.5


def write_reference(directory: Path, full: Encoders, samples: Samples) -> None:
    """Write inputs and FP32 embeddings of a few samples."""
    photos = samples.pixels[:: max(1, len(samples.pixels) // REFERENCE_PHOTOS)][:REFERENCE_PHOTOS]
    embeds = full.image({"pixel_values": photos})
    lengths = collections.Counter(text["input_ids"].shape[1] for text in samples.texts)
    usual = lengths.most_common(1)[0][0]
    alike = [text for text in samples.texts if text["input_ids"].shape[1] == usual][:REFERENCE_TEXTS]
    tokens = {name: np.concatenate([text[name] for text in alike]) for name in ("input_ids", "eot_index")}
    np.savez_compressed(
        directory / REFERENCE_FILE,
        pixel_values=photos,
        image_embeds=embeds,
        input_ids=tokens["input_ids"],
        eot_index=tokens["eot_index"],
        text_embeds=full.text(tokens),
    )


def note_built(directory: Path, spec: EncoderSpec, lower: Encoders) -> dict[str, float]:
    """Add the cosines that a lower precision reaches where it is built, below which serving must not fall by much.

    Returns:
        The lowest cosine of each encoder.
    """
    with np.load(directory / REFERENCE_FILE) as file:
        reference = {name: file[name] for name in file.files}
    found = {}
    for model, run in ((IMAGE_ENCODER, lower.image), (TEXT_ENCODER, lower.text)):
        declared = composing_model(spec, model)
        outcome = compare(reference, declared, spec, run, "", budget_s=math.inf)
        reference[f"{declared.outputs[0].name}_built"] = np.float64(outcome.lowest_cosine)
        found[model] = outcome.lowest_cosine
    np.savez_compressed(directory / REFERENCE_FILE, **reference)
    return found


def verify(directory: Path, spec: EncoderSpec, url: str, place: Path | None = None) -> dict[str, float]:
    """Send the reference inputs to Triton.

    Args:
        directory: Holds reference.npz.
        spec: Its declaration.
        url: Triton's gRPC, host:port.
        place: Where to write what was found, for `status`; None writes nothing.

    Returns:
        The lowest cosine of each encoder.

    Raises:
        ConfigError: There are no reference inputs.
        UnavailableError: Triton does not answer.
        ParityError: An encoder gives other embeddings.
    """
    reference = read_reference(directory)
    if reference is None:
        raise ConfigError(
            f"{directory} has no {REFERENCE_FILE}; `ensemble-builder build` writes it where photos have words"
        )
    device = gpu_name() or processor_name()
    lowest = {}
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        encode = functools.partial(_infer, url, model, spec=spec)
        outcome = compare(reference, composing_model(spec, model), spec, encode, device, budget_s=math.inf)
        if not outcome.passed:
            raise ParityError(f"served at {url}: {refusal(outcome)}")
        record(outcome, place)
        lowest[model] = outcome.lowest_cosine
    return lowest


def wait_ready(url: str, seconds: float, process: int | None = None) -> None:
    """Wait until Triton answers requests.

    Args:
        url: Its gRPC, host:port; or its HTTP, http://host:port.
        seconds: Longest wait.
        process: Its process, so that nobody waits for one that has ended; None where it is not known.

    Raises:
        UnavailableError: The time is over, or the process has ended.
    """
    from tritonclient.utils import InferenceServerException

    client = _protocol(url).InferenceServerClient(_address(url))
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            with contextlib.suppress(InferenceServerException, OSError):
                if client.is_server_ready():
                    return
            if process is not None and not Path(f"/proc/{process}").exists():
                raise UnavailableError(f"Triton (process {process}) has ended before it was ready; see its log")
            time.sleep(READY_POLL_S)
    finally:
        client.close()
    raise UnavailableError(f"Triton at {url} was not ready within {seconds:g} s; see its log")


def _infer(url: str, model: str, tensors: Mapping[str, NDArray[Any]], *, spec: EncoderSpec) -> NDArray[np.float32]:
    from tritonclient.utils import InferenceServerException

    protocol = _protocol(url)
    declared = composing_model(spec, model)
    inputs = []
    for tensor in declared.inputs:
        values = tensors[tensor.name]
        entry = protocol.InferInput(tensor.name, list(values.shape), tensor.dtype.value)
        entry.set_data_from_numpy(values)
        inputs.append(entry)
    client = protocol.InferenceServerClient(_address(url))
    try:
        answer = client.infer(model, inputs, **_limit(url))
    except (InferenceServerException, OSError) as error:
        raise UnavailableError(
            f"{model} at {url} does not answer ({_words(error)}); start Triton with this encoder directory's model "
            "repository, and give its gRPC port, or http://host:port, with --url"
        ) from error
    finally:
        client.close()
    result: NDArray[np.float32] = answer.as_numpy(declared.outputs[0].name)
    return result


def _protocol(url: str) -> Any:
    """Return tritonclient's module for an address: HTTP where it says so, which is never encrypted, else gRPC."""
    return importlib.import_module("tritonclient.http" if url.startswith("http://") else "tritonclient.grpc")


def _address(url: str) -> str:
    return url.removeprefix("http://")


def _limit(url: str) -> dict[str, int]:
    """Return the option that bounds the wait for an answer; over HTTP 60 s is what the client does anyway."""
    return {} if url.startswith("http://") else {"client_timeout": 60}


def _words(error: Exception) -> str:
    from tritonclient.utils import InferenceServerException

    return str(error.message()) if isinstance(error, InferenceServerException) else str(error)
