"""Each family of checkpoints, built whole: what the build checks, and what serving is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers

from ensemble_builder import engines
from ensemble_builder.checkpoint import open_checkpoint
from ensemble_builder.embeddings import load_samples
from ensemble_builder.families import FAMILIES, family_of
from ensemble_builder.photos import sample_photos
from ensemble_builder.precisions import Calibration, lower_precision
from ensemble_builder.report import BuildReport
from ensemble_builder.tokenization import load_tokenizer
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import CheckpointError
from product_match.preprocessing.texts import TextPreprocessor
from tests.export.conftest import built
from tests.fakes import checkpoints


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    return built(checkpoints.siglip_checkpoint(folder / "tiny_siglip"), folder / "encoder", repository=False)


@pytest.fixture(scope="module")
def siglip2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip2")
    return built(checkpoints.siglip2_checkpoint(folder / "tiny_siglip2"), folder / "encoder", repository=False)


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dual")
    return built(checkpoints.dual_checkpoint(folder / "tiny_dual"), folder / "encoder", repository=False)


@pytest.fixture(scope="module")
def metaclip2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metaclip2")
    return built(checkpoints.metaclip2_checkpoint(folder / "tiny_metaclip2"), folder / "encoder", repository=False)


@pytest.fixture(scope="module")
def chinese_clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chinese_clip")
    return built(checkpoints.chinese_clip_checkpoint(folder / "tiny_chinese"), folder / "encoder", repository=False)


@pytest.fixture(params=["clip_encoder", "siglip", "siglip2", "dual", "metaclip2", "chinese_clip"])
def encoder(request):
    return request.getfixturevalue(request.param)


def test_every_family_passes_each_check_of_the_build(encoder):
    assert [check for check in encoder.report.checks if not check.passed] == []
    assert encoder.check("images against transformers, lowest cosine").value >= 0.9999
    assert encoder.check("texts against transformers, lowest cosine").value >= 0.9999
    assert encoder.check("texts of the corpus with other tokens").value == 0
    assert encoder.check("photos to embeddings, lowest cosine").value >= 0.998


def test_the_declaration_that_is_written_is_the_one_that_was_built(encoder):
    assert load_encoder(encoder.directory) == encoder.spec


def test_build_json_holds_versions_hashes_sizes_and_timings(encoder):
    report = json.loads((encoder.directory / "build.json").read_text())
    assert report["encoder"] == encoder.spec.identity
    assert {"torch", "transformers", "onnx", "onnxruntime"} <= report["versions"].keys()
    assert len(report["files"]["image_encoder.onnx"]["sha256"]) == 64
    assert report["files"]["text_encoder.onnx"]["bytes"] > 1000
    assert {"load", "export", "parity"} <= report["timings_s"].keys()


def test_layer_normalisation_stays_one_node_of_opset_18_or_later(encoder):
    for file in ("image_encoder.onnx", "text_encoder.onnx"):
        model = onnx.load(encoder.directory / file)
        operators = [node.op_type for node in model.graph.node]
        assert operators.count("LayerNormalization") >= 5
        assert not {"Pow", "ReduceMean", "ArgMax"} & set(operators)
        assert model.opset_import[0].version >= 18


def test_every_batch_size_and_bucket_runs(encoder):
    spec = encoder.spec
    image = onnxruntime.InferenceSession(encoder.directory / "image_encoder.onnx")
    text = onnxruntime.InferenceSession(encoder.directory / "text_encoder.onnx")
    for count in range(1, 9):
        pixels = np.full((count, spec.image_size_px, spec.image_size_px, 3), 90, dtype=np.uint8)
        assert image.run(None, {"pixel_values": pixels})[0].shape == (count, spec.embedding_dim)
        for length in spec.text_buckets:
            tokens = {
                "input_ids": np.full((count, length), 5, dtype=np.int32),
                "eot_index": np.full((count, 1), length - 1, dtype=np.int32),
            }
            assert text.run(None, tokens)[0].shape == (count, spec.embedding_dim)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "fp8"])
def test_tensorrt_for_rtx_builds_every_family_at_every_precision(encoder, tmp_path, precision):
    directory = Path(shutil.copytree(encoder.directory, tmp_path / "encoder"))
    if precision != "fp32":
        samples = load_samples(sample_photos()[:8], encoder.spec, directory)
        lower_precision(directory, "tensorrt", precision, Calibration.of(samples), BuildReport())
    trt = engines.load_tensorrt(engines.TENSORRT_RTX)
    plans = engines.build_plans(encoder.spec, directory, trt, "89", 16, state_capability=True)
    assert all(path.stat().st_size > 100_000 for path in plans.values())


def test_clip_pools_texts_of_any_length_at_their_end(clip_encoder, clip_checkpoint):
    model = transformers.CLIPModel.from_pretrained(clip_checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip_checkpoint)
    ours = TextPreprocessor(clip_encoder.spec, clip_encoder.directory)
    session = onnxruntime.InferenceSession(clip_encoder.directory / "text_encoder.onnx")
    for text in ("hat", "a red dress with long sleeves and a belt, size M", "stripes and dots " * 60):
        tokens = ours.tokenize([text])
        found = session.run(None, {"input_ids": tokens.input_ids, "eot_index": tokens.eot_index})[0][0]
        own = tokenizer([text], truncation=True, max_length=77, return_tensors="pt")
        with torch.inference_mode():
            features = model.get_text_features(**own).pooler_output[0].numpy()
        assert found @ features / np.linalg.norm(features) == pytest.approx(1, abs=1e-5)
    assert tokens.eot_index[0, 0] == 76


def test_clip_text_is_padded_to_buckets_and_pooled_at_its_end(clip_encoder):
    spec = clip_encoder.spec
    assert (spec.family, spec.text_buckets, spec.text_pooling) == ("clip", (8, 16, 32, 77), "end_of_text")
    assert (spec.resize_mode, spec.interpolation, spec.pad_id) == ("shortest_edge_crop", "bicubic", 2047)


def test_siglip_has_one_bucket_pooled_at_its_last_token(siglip):
    spec = siglip.spec
    assert (spec.family, spec.text_buckets, spec.text_pooling) == ("siglip", (64,), "last_token")
    assert (spec.resize_mode, spec.lowercase_text, spec.pad_id) == ("squash", False, 1)


def test_siglip2_lowers_the_text_itself(siglip2):
    assert (siglip2.spec.family, siglip2.spec.lowercase_text, siglip2.spec.pad_id) == ("siglip2", True, 0)


def test_metaclip2_ends_at_its_own_token_2(metaclip2):
    spec = metaclip2.spec
    assert (spec.family, spec.text_pooling, spec.pad_id) == ("metaclip2", "end_of_text", 1)
    rows = TextPreprocessor(spec, metaclip2.directory).tokenize(["red dress"])
    assert rows.input_ids[0, rows.eot_index[0, 0]] == 2


def test_chinese_clip_pools_at_its_first_token_and_masks_padding(chinese_clip):
    spec = chinese_clip.spec
    assert (spec.family, spec.text_pooling, spec.text_buckets) == ("chinese_clip", "first_token", (8, 16, 32, 52))


def test_the_revision_depends_on_weights_tokenizer_and_preprocessing_only(clip_encoder, siglip, siglip2, dual):
    assert len({each.spec.revision for each in (clip_encoder, siglip, siglip2, dual)}) == 4
    assert all(len(each.spec.revision) == 12 for each in (clip_encoder, siglip))


def test_each_family_has_scales_of_its_own_kind():
    assert {family.name for family in FAMILIES} == {"clip", "metaclip2", "chinese_clip", "siglip", "siglip2", "dual"}
    assert FAMILIES[0].default_scales != FAMILIES[-1].default_scales


def test_siglip_refuses_text_buckets_that_it_cannot_have(tmp_path):
    checkpoint = open_checkpoint(str(checkpoints.siglip_checkpoint(tmp_path)))
    with pytest.raises(CheckpointError, match=r"pools at the last of 64 tokens.*leave --text-buckets out"):
        family_of(checkpoint).text_rules(checkpoint, load_tokenizer(checkpoint), (16, 64))


def test_a_damaged_tokenizer_is_refused(broken_checkpoint):
    for path in broken_checkpoint.glob("*token*"):
        path.write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json is not JSON"):
        open_checkpoint(str(broken_checkpoint))
    (broken_checkpoint / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"its tokenizer cannot be loaded.*must be there and whole"):
        load_tokenizer(open_checkpoint(str(broken_checkpoint)))


def test_a_tokenizer_of_another_checkpoint_is_refused(broken_checkpoint):
    config = json.loads((broken_checkpoint / "config.json").read_text())
    config["text_config"]["vocab_size"] = 1000
    checkpoints.write_json(broken_checkpoint / "config.json", config)
    with pytest.raises(CheckpointError, match=r"the tokenizer has 2,048 tokens and the text tower 1,000"):
        load_tokenizer(open_checkpoint(str(broken_checkpoint)))


def test_a_tokenizer_without_padding_is_refused(broken_checkpoint, monkeypatch):
    tokenizer = type("Tokenizer", (), {"pad_token_id": None})()
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *args, **options: tokenizer)
    with pytest.raises(CheckpointError, match=r"has no padding token; name one as pad_token"):
        load_tokenizer(open_checkpoint(str(broken_checkpoint)))


def test_a_tokenizer_without_a_fast_form_is_refused(broken_checkpoint):
    from ensemble_builder.tokenization import tokenizer_json

    checkpoint = open_checkpoint(str(broken_checkpoint))
    with pytest.raises(CheckpointError, match=r"PlainTokenizer has no fast form"):
        tokenizer_json(checkpoint, type("PlainTokenizer", (), {})())


def test_the_tokenizer_that_is_shipped_neither_cuts_nor_pads(encoder):
    content = json.loads(Path(encoder.directory / "tokenizer.json").read_text(encoding="utf-8"))
    assert (content["truncation"], content["padding"]) == (None, None)
