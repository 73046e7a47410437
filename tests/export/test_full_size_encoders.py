"""CLIPs of full size with random weights: exported, compared, and built by TensorRT for RTX at every precision.

TensorRT for RTX parses and builds for a stated GPU on a machine that has none: it proves that a graph can be built,
and runs nothing.
"""

from __future__ import annotations

import gc
import json

import numpy as np
import onnx
import pytest
import torch
import transformers

from ensemble_builder import engines
from ensemble_builder.calibration import Histogram
from ensemble_builder.clip import ClipFamily
from ensemble_builder.embeddings import Encoders
from ensemble_builder.explicit_quantization import linear_inputs, quantize_linears
from ensemble_builder.export import export_image, export_text, save
from ensemble_builder.graphs import GraphView
from ensemble_builder.half_precision import to_half
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.parity import cosines, normalised, sample_pixels, sample_tokens
from ensemble_builder.photos import sample_photos
from ensemble_builder.towers import ATTENTION
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import EngineError
from tests.export.conftest import Built, built
from tests.fakes import checkpoints

pytestmark = pytest.mark.timeout(900)  # exporting a ViT-L/14 takes minutes on a busy machine

FAMILY = ClipFamily()
RULES = ImageRules(
    image_size_px=224,
    resize_mode="shortest_edge_crop",
    resize_size_px=224,
    interpolation="bicubic",
    mean=(0.48, 0.46, 0.41),
    std=(0.27, 0.26, 0.28),
    rescale_factor=1 / 255,
)
GPU = "89"
"""An L4 or an RTX 40: the first generation with FP8."""


def exported(name, directory):
    """Export both towers of a CLIP and compare one batch of each with transformers."""
    config = checkpoints.full_size_config(name)
    spec = EncoderSpec(
        name=name,
        revision="0" * 12,
        family="clip",
        precision="fp32",
        image_size_px=224,
        resize_mode="shortest_edge_crop",
        resize_size_px=224,
        interpolation="bicubic",
        embedding_dim=config.projection_dim,
        text_buckets=(8, 16, 32, 77),
        pad_id=49407,
        text_pooling="end_of_text",
        scales=FAMILY.default_scales,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    model.set_attn_implementation(ATTENTION)
    image, text = FAMILY.towers(model, RULES)
    save(export_image(image, spec), directory / "image_encoder.onnx")
    save(export_text(text, spec), directory / "text_encoder.onnx")
    model.set_attn_implementation("sdpa")
    pixels, tokens = sample_pixels(spec, 2), sample_tokens(spec, FAMILY, model, 16, 3)
    encoders = Encoders.load(directory)
    found = (
        cosines(encoders.image({"pixel_values": pixels}), FAMILY.reference_images(model, normalised(pixels, RULES))),
        cosines(encoders.text(tokens), FAMILY.reference_texts(model, tokens["input_ids"], tokens["eot_index"])),
    )
    del model, image, text, encoders
    gc.collect()
    return Built(directory, spec, found)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return exported("l14", tmp_path_factory.mktemp("l14"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """ViT-B/32, built whole from a checkpoint on disk."""
    folder = tmp_path_factory.mktemp("b32")
    config = checkpoints.full_size_config("b32")
    config.text_config.eos_token_id = 2047  # of the tokenizer, which is the demo's
    checkpoint = checkpoints.clip_checkpoint(folder / "b32", config)
    few = sample_photos()[::20]
    rows = [{"image": str(photo.path), "words": photo.words, "category": photo.label} for photo in few]
    (folder / "few.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    photos = {"photos": few[0].path.parent, "captions": folder / "few.jsonl"}
    return built(checkpoint, folder / "encoder", repository=False, **photos)


def test_b32_passes_every_check_of_a_build(base):
    assert [check.name for check in base.report.checks if not check.passed] == []
    assert base.check("images against transformers, lowest cosine").value >= 0.9999
    assert (base.spec.embedding_dim, base.spec.image_size_px) == (512, 224)


def test_b16_is_exported_with_transformers_own_values(tmp_path):
    images, texts = exported("b16", tmp_path).report
    assert images.min() >= 0.9999
    assert texts.min() >= 0.9999


def test_l14_is_exported_with_transformers_own_values(large):
    images, texts = large.report
    assert images.min() >= 0.9999
    assert texts.min() >= 0.9999


def lowered(source, target, precision):
    """Write a graph of a lower precision; random weights have small activations, so one stated range serves all."""
    model = onnx.load(source)
    if precision in {"int8", "fp8"}:
        spread = Histogram()
        spread.add(np.linspace(-6, 6, 5000, dtype=np.float32))
        assert quantize_linears(model, precision, dict.fromkeys(linear_inputs(GraphView(model)), spread)) >= 72
    if precision != "fp32":
        assert to_half(model, {}).islands == ()
    save(model, target)


@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])
@pytest.mark.parametrize("model", ["image_encoder", "text_encoder"])
@pytest.mark.parametrize("size", ["base", "large"])
def test_tensorrt_for_rtx_builds_each_tower_at_each_precision(request, tmp_path, size, model, precision):
    encoder = request.getfixturevalue(size)
    source = encoder.directory / f"{model}.onnx"
    target = tmp_path / source.name
    lowered(source, target, precision)
    plan = engines.build_plan(
        engines.load_tensorrt(engines.TENSORRT_RTX),
        target,
        engines.profile_shapes(encoder.spec, model, 64),
        capability=GPU,
    )
    assert 0.9 * target.stat().st_size < len(plan) < 1.3 * target.stat().st_size


def test_the_plans_of_a_directory_are_built_once_and_named(clip_encoder, clip_copy):
    trt = engines.load_tensorrt(engines.TENSORRT_RTX)
    made = engines.build_plans(clip_encoder.spec, clip_copy, trt, GPU, 8, state_capability=True)
    assert [path.name.split("_sm")[1][:12] for path in made.values()] == [
        "89_fp32_b8_" + made["image_encoder"].name[-17],
        "89_fp32_b8_" + made["text_encoder"].name[-17],
    ]
    times = [path.stat().st_mtime_ns for path in made.values()]
    again = engines.build_plans(clip_encoder.spec, clip_copy, trt, GPU, 8, state_capability=True)
    assert [path.stat().st_mtime_ns for path in again.values()] == times
    assert list(clip_copy.glob("*.partial")) == []


def test_profiles_run_from_one_row_to_the_largest_batch_and_the_longest_text(clip_encoder):
    shapes = engines.profile_shapes(clip_encoder.spec, "text_encoder", 32)
    usual = clip_encoder.spec.text_buckets[len(clip_encoder.spec.text_buckets) // 2]
    assert 8 < usual < 77
    assert shapes == {"input_ids": ((1, 8), (32, usual), (32, 77)), "eot_index": ((1, 1), (32, 1), (32, 1))}
    assert engines.profile_shapes(clip_encoder.spec, "image_encoder", 4)["pixel_values"][1] == (4, 80, 80, 3)


def test_a_graph_that_cannot_be_parsed_is_named_with_the_reason(tmp_path):
    (tmp_path / "image_encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"TensorRT 1\.\d.* cannot parse image_encoder.onnx: "):
        engines.build_plan(
            engines.load_tensorrt(engines.TENSORRT_RTX), tmp_path / "image_encoder.onnx", {}, capability=GPU
        )


def test_a_graph_that_cannot_be_built_is_named_with_the_reason(clip_encoder):
    trt = engines.load_tensorrt(engines.TENSORRT_RTX)
    shapes = {"pixel_values": ((1, 80, 80, 3), (1, 80, 80, 3), (1, 48, 48, 3))}
    with pytest.raises(EngineError, match=r"TensorRT .* cannot build image_encoder.onnx: "):
        engines.build_plan(trt, clip_encoder.directory / "image_encoder.onnx", shapes, capability=GPU)


def test_a_gpu_that_tensorrt_for_rtx_does_not_know_is_named(clip_encoder):
    trt = engines.load_tensorrt(engines.TENSORRT_RTX)
    shapes = engines.profile_shapes(clip_encoder.spec, "image_encoder", 4)
    with pytest.raises(EngineError, match=r"does not build for compute capability 90; it knows SM120.*SM89"):
        engines.build_plan(trt, clip_encoder.directory / "image_encoder.onnx", shapes, capability="90")
