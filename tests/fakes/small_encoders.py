"""Encoder directories with real ONNX files of a few kilobytes: colours of a photo, mixed words; made in no time."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.encoders import encoder_spec

DEMO = Path(__file__).parents[2] / "default_encoder" / "embedded"
SIDE = 32
VOCABULARY = len(json.loads((DEMO / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])


def small_encoder(directory: Path, *, name: str = "small", dimension: int = 24, seed: int = 7) -> str:
    """Write an encoder directory and return its identity; another seed makes another encoder."""
    directory.mkdir(parents=True)
    shutil.copyfile(DEMO / "tokenizer.json", directory / "tokenizer.json")
    random = np.random.default_rng(seed)
    onnx.save(_image_tower(random, dimension), directory / "image_encoder.onnx")
    onnx.save(_text_tower(random, dimension), directory / "text_encoder.onnx")
    revision = hashlib.sha256((directory / "image_encoder.onnx").read_bytes()).hexdigest()[:12]
    demo = json.loads((DEMO / "encoder.json").read_text())
    spec = encoder_spec(
        name=name,
        revision=revision,
        image_size_px=SIDE,
        resize_size_px=SIDE,
        embedding_dim=dimension,
        text_buckets=tuple(demo["text_buckets"]),
        pad_id=demo["pad_id"],
    )
    (directory / "encoder.json").write_text(spec.to_json(), encoding="utf-8")
    return spec.identity


def _image_tower(random: np.random.Generator, dimension: int) -> onnx.ModelProto:
    """Mean colours of 16 tiles, projected."""
    weights = random.normal(size=(48, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixel_values"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["tiles"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("Sub", ["flat", "grey"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weights"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["image_embeds"], axis=1, p=2),
    ]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.UINT8, ["n", SIDE, SIDE, 3])]
    constants = {"weights": weights, "grey": np.asarray([100.3], np.float32)}
    return _model(nodes, inputs, ("image_embeds", dimension), constants)


def _text_tower(random: np.random.Generator, dimension: int) -> onnx.ModelProto:
    """Mean of a random vector for each token."""
    table = random.normal(size=(VOCABULARY, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("ReduceMean", ["tokens", "axes"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["eot_index"], ["eot"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["eot", "nothing"], ["zero"]),
        helper.make_node("Add", ["mean", "zero"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["text_embeds"], axis=1, p=2),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["n", "s"]),
        helper.make_tensor_value_info("eot_index", TensorProto.INT32, ["n", 1]),
    ]
    constants = {"table": table, "axes": np.asarray([1], np.int64), "nothing": np.zeros(1, np.float32)}
    return _model(nodes, inputs, ("text_embeds", dimension), constants)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: tuple[str, int],
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    name, dimension = output
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", dimension])]
    held = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
