"""Writes `config.pbtxt` from the contract, through Triton's own protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from product_match.contract.encoder import EncoderSpec
from product_match.contract.models import EnsembleSpec, ModelSpec
from product_match.contract.tensors import TensorSpec

HEADER: Final = "# Generated from product_match/contract by `ensemble-builder contract --write`. Do not edit.\n"


def model_configuration(spec: ModelSpec, variables: Mapping[str, str] | None = None) -> str:
    """Return `config.pbtxt` of a composing model that runs in the Python backend.

    Args:
        spec: The model.
        variables: Settings that this model has in place of those in Triton's environment.
    """
    fields: dict[str, Any] = {
        **_common(spec),
        # Words of different bucket lengths share a batch: Triton would close it at each change of length.
        "input": [
            _tensor(tensor) | ({"allow_ragged_batch": True} if -1 in tensor.dims else {}) for tensor in spec.inputs
        ],
        "backend": "python",
        "instance_group": [{"count": spec.instance_count, "kind": "KIND_CPU"}],
    }
    if spec.cached:
        fields["response_cache"] = {"enable": True}
    if variables:
        fields["parameters"] = {name: {"string_value": value} for name, value in variables.items()}
    return _text(fields)


def engine_configuration(spec: ModelSpec, encoder: EncoderSpec, plan_file: str) -> str:
    """Return `config.pbtxt` of an encoder that runs as a TensorRT engine.

    CUDA graphs are captured for stated batch sizes, as Triton would take only 1 and the largest on its own, and each
    serves the sizes down to the next smaller one, as a graph matches its own size alone without a lower bound. The
    response cache is left off: it takes tensors in CPU memory, and an engine's output lies on the GPU.

    Args:
        spec: One of the two encoders.
        encoder: Its declaration, for the text buckets.
        plan_file: File name of the engine.
    """
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size < spec.max_batch_size] + [spec.max_batch_size]
    lengths = encoder.text_buckets if any(-1 in tensor.dims for tensor in spec.inputs) else (0,)
    return _text(
        {
            **_common(spec),
            "platform": "tensorrt_plan",
            "default_model_filename": plan_file,
            "instance_group": [{"count": spec.instance_count, "kind": "KIND_GPU"}],
            "optimization": {
                "cuda": {
                    "graphs": True,
                    "graph_spec": [
                        _graph(spec, size, least, length)
                        for length in lengths
                        for size, least in zip(sizes, [1, *(size + 1 for size in sizes)], strict=False)
                    ],
                }
            },
            "model_warmup": [_warm_up(spec, size, lengths[0]) for size in sizes],
        }
    )


def _graph(spec: ModelSpec, batch_size: int, least: int, length: int) -> dict[str, Any]:
    # The lower bound needs shapes of its own, or Triton takes the upper ones for it and it never fits.
    shapes = {tensor.name: {"dim": _dims(tensor, length)} for tensor in spec.inputs}
    graph = {"batch_size": batch_size, "input": shapes}
    return {**graph, "graph_lower_bound": {"batch_size": least, "input": shapes}} if least < batch_size else graph


def _warm_up(spec: ModelSpec, batch_size: int, length: int) -> dict[str, Any]:
    inputs = {
        tensor.name: {
            "data_type": tensor.dtype.config_name,
            "dims": _dims(tensor, length),
            "zero_data": True,
        }
        for tensor in spec.inputs
    }
    return {"name": f"batch {batch_size}", "batch_size": batch_size, "inputs": inputs}


def _dims(tensor: TensorSpec, length: int) -> list[int]:
    return [length if dim == -1 else dim for dim in tensor.dims]


def _common(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "max_batch_size": spec.max_batch_size,
        "input": [_tensor(tensor) for tensor in spec.inputs],
        "output": [_tensor(tensor) for tensor in spec.outputs],
        # Also puts the answers on Triton's thread pool, where an ensemble's next steps are scheduled side by side.
        # No queue policy: it would make requests wait for nothing; product_match/triton/admission.py has the limit.
        "dynamic_batching": {},
    }


def ensemble_configuration(spec: EnsembleSpec, models: tuple[ModelSpec, ...]) -> str:
    """Return `config.pbtxt` of an ensemble; tensors join by name, so every map's key equals its value."""
    by_name = {model.name: model for model in models}
    produced = {tensor.name for tensor in spec.inputs}
    # Triton refuses an ensemble with a tensor that nobody takes.
    wanted = {tensor.name for name in spec.steps for tensor in by_name[name].inputs}
    wanted |= {tensor.name for tensor in spec.outputs}
    steps = []
    for name in spec.steps:
        model = by_name[name]
        taken = [tensor.name for tensor in model.inputs if tensor.name in produced]
        produced |= {tensor.name for tensor in model.outputs}
        steps.append(
            {
                "model_name": name,
                "model_version": -1,
                "input_map": {tensor: tensor for tensor in taken},
                "output_map": {tensor.name: tensor.name for tensor in model.outputs if tensor.name in wanted},
            }
        )
    return _text(
        {
            "name": spec.name,
            "platform": "ensemble",
            "max_batch_size": spec.max_batch_size,
            "input": [_tensor(tensor) for tensor in spec.inputs],
            "output": [_tensor(tensor) for tensor in spec.outputs],
            "ensemble_scheduling": {"step": steps},
        }
    )


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": spec.name, "data_type": spec.dtype.config_name, "dims": list(spec.dims)}
    return {**fields, "optional": True} if spec.optional else fields


def _text(fields: dict[str, Any]) -> str:
    config = model_config_pb2.ModelConfig()
    # The protobuf refuses a misspelt field, which a text template would carry to the server.
    json_format.ParseDict(fields, config)
    return HEADER + text_format.MessageToString(config)
