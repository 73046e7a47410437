"""Lower precisions: which nodes they touch, what they keep, and whether the graphs still say the same."""

from __future__ import annotations

import collections
import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ensemble_builder import embedded_int8
from ensemble_builder.build import BuildRequest, _Build
from ensemble_builder.calibration import Histogram, histograms, magnitudes
from ensemble_builder.embeddings import Encoders
from ensemble_builder.explicit_quantization import linear_inputs, quantize_linears
from ensemble_builder.graphs import GraphView
from ensemble_builder.half_precision import MAGNITUDE_LIMIT, to_half
from ensemble_builder.parity import cosines
from ensemble_builder.precisions import Calibration, lower_precision
from ensemble_builder.preparation import prepare
from ensemble_builder.report import BuildReport
from ensemble_builder.retrieval_quality import embed
from product_match.contract.errors import BuildError

LINEARS = 2 * 6
"""Of the tiny CLIP: two layers, each with query, key, value, output and two of the feed-forward part."""


def lowered(directory, target, precision, samples):
    report = BuildReport()
    lower_precision(directory, target, precision, Calibration.of(samples), report)
    return report


@pytest.mark.parametrize(
    ("target", "precision", "least"),
    [
        ("embedded", "int8", 0.99),
        ("tensorrt", "fp16", 0.99999),
        ("tensorrt", "int8", 0.99),
        ("tensorrt", "fp8", 0.97),
    ],
)
def test_lower_precisions_keep_names_types_and_nearly_the_values(
    clip_encoder, clip_copy, clip_samples, target, precision, least
):
    lowered(clip_copy, target, precision, clip_samples)
    for file in ("image_encoder.onnx", "text_encoder.onnx"):
        before, after = (onnx.load(folder / file) for folder in (clip_encoder.directory, clip_copy))
        onnx.checker.check_model(after)
        for side in ("input", "output"):
            ends = [[(v.name, v.type.tensor_type.elem_type) for v in getattr(m.graph, side)] for m in (before, after)]
            assert ends[0] == ends[1]
    full = embed(Encoders.load(clip_encoder.directory), clip_samples)
    found = embed(Encoders.load(clip_copy, optimised=target == "embedded"), clip_samples)
    assert cosines(full.images, found.images).min() > least
    assert cosines(full.words, found.words).min() > least


def test_embedded_int8_quantizes_the_weights_of_linears_only(clip_copy, clip_samples):
    report = lowered(clip_copy, "embedded", "int8", clip_samples)
    assert report.facts == {"image_encoder_int8_linears": LINEARS + 1, "text_encoder_int8_linears": LINEARS + 1}
    graph = onnx.load(clip_copy / "text_encoder.onnx").graph
    operators = collections.Counter(node.op_type for node in graph.node)
    assert operators["MatMulInteger"] == LINEARS + 1
    assert operators["MatMul"] == 2 * 2
    assert [path.name for path in clip_copy.glob("*fp32*")] == []


def test_tensorrt_int8_puts_a_pair_before_each_linear_and_nowhere_else(clip_copy, clip_samples):
    report = lowered(clip_copy, "tensorrt", "int8", clip_samples)
    assert report.facts["image_encoder_graph"]["quantized_linears"] == LINEARS
    graph = onnx.load(clip_copy / "image_encoder.onnx").graph
    operators = collections.Counter(node.op_type for node in graph.node)
    # Query, key and value share one quantised input, so each layer quantises 4 activations.
    assert operators["QuantizeLinear"] == 2 * 4
    assert operators["DequantizeLinear"] == 2 * 4 + LINEARS
    made_by = {name: node for node in graph.node for name in node.output}
    dequantized = {name for name, node in made_by.items() if node.op_type == "DequantizeLinear"}
    readers = {node.op_type for node in graph.node if dequantized & set(node.input)}
    assert readers == {"MatMul"}


def test_int8_weights_are_scaled_per_output_channel_and_fp8_weights_as_a_whole(clip_copy, clip_samples):
    source = onnx.load(clip_copy / "text_encoder.onnx")
    found = {}
    for precision in ("int8", "fp8"):
        model = onnx.ModelProto()
        model.CopyFrom(source)
        names = linear_inputs(GraphView(model))
        quantize_linears(model, precision, histograms(model, names, clip_samples.texts[:4]))
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        found[precision] = [weights[name] for name in weights if name.endswith((".int8", ".fp8"))]
        scales = [tuple(weights[t.name.rsplit(".", 1)[0] + ".scale"].dims) for t in found[precision]]
        shapes = [tuple(tensor.dims) for tensor in found[precision]]
        assert scales == ([shape[1:] for shape in shapes] if precision == "int8" else [()] * len(shapes))
    assert {tensor.data_type for tensor in found["int8"]} == {TensorProto.INT8}
    assert {tensor.data_type for tensor in found["fp8"]} == {TensorProto.FLOAT8E4M3FN}


def test_fp16_keeps_pixel_scaling_and_the_final_norm_in_fp32(clip_copy, clip_samples):
    report = lowered(clip_copy, "tensorrt", "fp16", clip_samples)
    graph = onnx.load(clip_copy / "image_encoder.onnx").graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    linear = next(node for node in graph.node if node.op_type == "MatMul" and node.input[1] in types)
    assert types[linear.input[1]] == TensorProto.FLOAT16
    scaling = next(node for node in graph.node if node.op_type == "Mul")
    assert TensorProto.FLOAT in {types.get(name) for name in scaling.input}
    assert report.facts["image_encoder_graph"]["fp32_islands"] == []
    assert report.facts["image_encoder_graph"]["fp32_by_rule"] == 6


def test_nodes_that_see_large_values_become_islands_of_fp32(clip_copy, clip_samples):
    model = onnx.load(clip_copy / "text_encoder.onnx")
    reference = onnxruntime.InferenceSession(model.SerializeToString())
    gelu = next(node for node in model.graph.node if node.op_type in {"Gelu", "Sigmoid"})
    report = to_half(model, {gelu.output[0]: 2 * MAGNITUDE_LIMIT})
    assert gelu.name in report.islands
    onnx.checker.check_model(model)
    kept = next(node for node in model.graph.node if node.name == gelu.name)
    source = next(node for node in model.graph.node if kept.input[0] in node.output)
    assert source.op_type == "Cast"
    half = onnxruntime.InferenceSession(model.SerializeToString())
    tokens = dict(clip_samples.texts[0])
    assert cosines(reference.run(None, tokens)[0], half.run(None, tokens)[0]).min() > 0.9999


def test_a_value_past_fp16_survives_in_an_island():
    """x * 1000 * 1000 / 1000000: the middle is past 65504."""
    names = ("thousand", "again", "million")
    weights = [numpy_helper.from_array(np.float32([v]), n) for n, v in zip(names, (1e3, 1e3, 1e6), strict=True)]
    nodes = [
        helper.make_node("Mul", ["x", "thousand"], ["a"], name="first"),
        helper.make_node("Gelu", ["a"], ["kept"], name="between"),
        helper.make_node("Mul", ["kept", "again"], ["b"], name="second"),
        helper.make_node("Softmax", ["b"], ["c"], name="third"),
        helper.make_node("Mul", ["c", "million"], ["y"], name="fourth"),
    ]
    vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "small", vector[:1], vector[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = np.float32([[0.1, 0.5, 0.9, 0.2]])
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    report = to_half(model, magnitudes(model, ["a", "kept", "b", "c", "y"], [{"x": x}]))
    assert set(report.islands) == {"second", "third", "fourth"}
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1)


def test_an_output_that_would_be_fp16_is_widened():
    vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    node = helper.make_node("Gelu", ["x"], ["y"], name="only")
    graph = helper.make_graph([node], "small", vector[:1], vector[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert to_half(model, {}).half_nodes == 1
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Gelu", "Cast"]


def test_histograms_grow_with_their_values_and_keep_every_count():
    histogram = Histogram()
    for top in (1.0, 5.0, 3.0, 40.0):
        histogram.add(np.linspace(-top, top, 1000, dtype=np.float32))
    assert histogram.largest == 40
    assert histogram.counts.sum() == 4000
    assert histogram.top >= 40


def test_int8_clips_rare_outliers_and_keeps_an_even_spread_whole():
    even, outlier = Histogram(), Histogram()
    even.add(np.linspace(-1, 1, 100_000, dtype=np.float32))
    outlier.add(np.append(np.random.default_rng(0).normal(size=100_000), 60).astype(np.float32))
    assert even.clip_for_int8() == pytest.approx(1, rel=0.02)
    assert outlier.clip_for_int8() < 50


def test_static_int8_without_photos_is_refused(clip_copy):
    with pytest.raises(BuildError, match="static INT8 is calibrated on photos, got none"):
        embedded_int8.quantize(clip_copy / "text_encoder.onnx", clip_copy / "other.onnx", "static")


def test_static_int8_quantizes_the_same_linears(clip_encoder, clip_copy, clip_samples):
    inputs = [dict(tokens) for tokens in clip_samples.texts[:8]]
    target = clip_copy / "static.onnx"
    assert embedded_int8.quantize(clip_copy / "text_encoder.onnx", target, "static", inputs) == LINEARS + 1
    session = onnxruntime.InferenceSession(target)
    full = Encoders.load(clip_encoder.directory)
    assert cosines(session.run(None, inputs[0])[0], full.text(inputs[0])).min() > 0.95


def test_the_log_level_is_left_as_it_was_by_quantization(clip_copy):
    before = logging.getLogger().level
    embedded_int8.quantize(clip_copy / "text_encoder.onnx", clip_copy / "other.onnx")
    assert logging.getLogger().level == before


def test_a_graph_that_is_not_sound_is_refused():
    node = helper.make_node("MatMul", ["x", "x"], ["y"], name="product")
    vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([node], "unsound", vector[:1], vector[1:]))
    with pytest.raises(BuildError, match=r"the graph unsound is not sound: "):
        GraphView(model)


def test_a_lower_precision_without_words_is_refused(clip_checkpoint, clip_encoder, tmp_path):
    request = BuildRequest(checkpoint=str(clip_checkpoint), out=tmp_path / "out", precision="int8")
    work = _Build(request, prepare(str(clip_checkpoint)), tmp_path, BuildReport())
    with pytest.raises(
        BuildError, match=r"precision int8 is calibrated on photos and their words, and there are none"
    ):
        work._lower(clip_encoder.spec, None, None)


def test_calibration_takes_samples_spread_over_all_photos(clip_samples):
    calibration = Calibration.of(clip_samples)
    assert len(calibration.images) == len(clip_samples.pixels)
    assert calibration.images[0]["pixel_values"].shape[0] == 1
