"""Torch towers to ONNX graphs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import nn

from product_match.contract.encoder import EncoderSpec
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model

logger = logging.getLogger(__name__)

OPSET: Final = 20
"""The first with Gelu, after LayerNormalization (17); both stay one node each."""

EXTERNAL_BYTES: Final = 1_900_000_000


def export_image(tower: nn.Module, spec: EncoderSpec) -> onnx.ModelProto:
    """Return the graph of an image tower, any batch size."""
    side = spec.image_size_px
    pixels = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    return _export(tower, (pixels,), spec, IMAGE_ENCODER, {"pixel_values": {0: batch}})


def export_text(tower: nn.Module, spec: EncoderSpec) -> onnx.ModelProto:
    """Return the graph of a text tower, any batch size and any length up to the context length."""
    length = min(spec.text_buckets[0], spec.context_length)
    ids = torch.zeros((2, length), dtype=torch.int32)
    end = torch.ones((2, 1), dtype=torch.int32)
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes: dict[str, dict[int, Any]] = {"input_ids": {0: batch}, "eot_index": {0: batch}}
    if len(spec.text_buckets) > 1:
        shapes["input_ids"][1] = torch.export.Dim("sequence", min=2, max=spec.context_length)
    return _export(tower, (ids, end), spec, TEXT_ENCODER, shapes)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph; weights past protobuf's limit of 2 GB go to a file beside it."""
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)
    if weights < EXTERNAL_BYTES:
        onnx.save(model, str(path))
    else:
        onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)


def _export(
    tower: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    spec: EncoderSpec,
    name: str,
    dynamic_shapes: dict[str, dict[int, Any]],
) -> onnx.ModelProto:
    declared = composing_model(spec, name)
    with _quiet_exporter():
        program: Any = torch.onnx.export(
            tower.eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in declared.inputs],
            output_names=[tensor.name for tensor in declared.outputs],
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto
    _tidy(model, name)
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's own progress and warnings, several hundred lines, off the console."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for chatty in loggers:
        chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for chatty, level in zip(loggers, levels, strict=True):
            chatty.setLevel(level)


def _tidy(model: onnx.ModelProto, name: str) -> None:
    """Drop what varies from machine to machine, so that the same weights give the same file."""
    model.graph.name = name
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
