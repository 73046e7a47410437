"""Encoders, tokens or pixels that are not the checkpoint's: the build says so and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil

import numpy as np
import onnx
import pytest
import transformers
from onnx import numpy_helper
from PIL import Image

from ensemble_builder import build as building
from ensemble_builder import parity, preprocessing_parity
from ensemble_builder.build import BuildRequest, build
from ensemble_builder.checkpoint import open_checkpoint
from ensemble_builder.embeddings import Encoders
from ensemble_builder.export import save
from ensemble_builder.families import family_of
from ensemble_builder.image_rules import image_rules, load_image_processor
from ensemble_builder.loading import load_model
from ensemble_builder.photos import sample_photos
from ensemble_builder.report import BuildReport
from ensemble_builder.staging import staged
from product_match.contract.errors import BuildError, CheckpointError, ParityError


@pytest.fixture(scope="module")
def parts(clip_checkpoint, clip_encoder):
    """What the checks take, for the tiny CLIP."""
    checkpoint = open_checkpoint(str(clip_checkpoint))
    family = family_of(checkpoint)
    model = load_model(checkpoint)
    model.set_attn_implementation("sdpa")
    return checkpoint, {"family": family, "model": model, "spec": clip_encoder.spec}


def test_a_graph_with_another_weight_is_refused_with_its_figures(parts, clip_copy):
    checkpoint, shared = parts
    graph = onnx.load(clip_copy / "text_encoder.onnx")
    weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(values[::-1].copy(), weight.name))
    save(graph, clip_copy / "text_encoder.onnx")
    report = BuildReport()
    rules = image_rules(checkpoint, load_image_processor(checkpoint))
    with pytest.raises(
        ParityError, match=r"texts against transformers, lowest cosine is -?0\.\d+, must be >= 0.9999"
    ):
        parity.check_values(encoders=Encoders.load(clip_copy), rules=rules, report=report, **shared)
    assert [check.passed for check in report.checks] == [True, True, False]


def test_a_graph_with_another_output_is_refused(parts, clip_copy):
    _, shared = parts
    graph = onnx.load(clip_copy / "image_encoder.onnx")
    graph.graph.output[0].name = "output_0"
    onnx.save(graph, clip_copy / "image_encoder.onnx")
    with pytest.raises(
        ParityError, match=r"image_encoder.onnx: outputs are \[\('output_0', 1, \(-1, 40\)\)\], the contract"
    ):
        parity.check_declaration(clip_copy, shared["spec"])


def test_a_tokenizer_that_gives_other_tokens_is_refused_with_an_example(parts, clip_copy):
    checkpoint, shared = parts
    path = clip_copy / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "NFC"}
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.directory)
    with pytest.raises(
        ParityError, match=r"of 40 texts have other tokens .*such as 'Blue DENIM Jacket': from position 1"
    ):
        preprocessing_parity.check_tokens(
            tokenizer=tokenizer,
            directory=clip_copy,
            encoders=Encoders.load(clip_copy),
            report=BuildReport(),
            **shared,
        )


def test_a_tokenizer_that_ends_texts_otherwise_than_the_model_is_refused(parts, clip_encoder, monkeypatch):
    checkpoint, shared = parts
    monkeypatch.setattr(shared["model"].text_model, "eos_token_id", 300)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.directory)
    with pytest.raises(ParityError, match=r"texts of the corpus, words to embedding, lowest cosine is -?0\.\d+"):
        preprocessing_parity.check_tokens(
            tokenizer=tokenizer,
            directory=clip_encoder.directory,
            encoders=Encoders.load(clip_encoder.directory),
            report=BuildReport(),
            **shared,
        )


def test_pixels_that_are_resized_otherwise_are_refused(parts, clip_copy):
    checkpoint, shared = parts
    shared = {**shared, "spec": dataclasses.replace(shared["spec"], resize_mode="squash")}
    with pytest.raises(ParityError, match=r"pixels against the processor, photos as they are, mean error is \d+"):
        preprocessing_parity.check_pixels(
            processor=load_image_processor(checkpoint),
            rules=image_rules(checkpoint, load_image_processor(checkpoint)),
            photos=sample_photos(),
            encoders=Encoders.load(clip_copy),
            report=BuildReport(),
            **shared,
        )


def test_an_image_processor_that_transformers_does_not_know_is_refused(broken_checkpoint):
    path = broken_checkpoint / "preprocessor_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "image_processor_type": "Nonesuch"}), encoding="utf-8"
    )
    with pytest.raises(
        CheckpointError, match=r"transformers cannot make an image processor of preprocessor_config.json"
    ):
        load_image_processor(open_checkpoint(str(broken_checkpoint)))


def test_without_photos_the_pixels_are_compared_on_made_ones(clip_encoder):
    files = preprocessing_parity.photo_files([], clip_encoder.spec)
    sizes = [Image.open(io.BytesIO(data)).size for data in files]
    half = len(files) // 2
    assert half >= 10
    assert all(min(size) == 5 * clip_encoder.spec.resize_size_px for size in sizes[half:])


def test_the_corpus_of_tokens_has_every_kind_of_text():
    corpus = preprocessing_parity.TOKEN_CORPUS
    assert "" in corpus
    assert any(len(text) > 300 for text in corpus)
    assert any("\N{SLIGHTLY SMILING FACE}" in text for text in corpus)
    assert any(text != text.lower() for text in corpus)
    assert any(not text.isascii() for text in corpus)
    assert len(set(corpus)) == len(corpus)


def test_a_build_that_fails_leaves_what_was_there_and_nothing_else(clip_checkpoint, clip_copy, monkeypatch):
    before = {path.name: path.read_bytes() for path in clip_copy.iterdir() if path.is_file()}

    def refuse(*args, **options):
        raise ParityError("values differ")

    monkeypatch.setattr(building.parity, "check_values", refuse)
    monkeypatch.setattr(building._Build, "_export", lambda build, spec: _copy(clip_copy, build._directory))
    with pytest.raises(ParityError, match="values differ"):
        build(BuildRequest(checkpoint=str(clip_checkpoint), out=clip_copy))
    assert {path.name: path.read_bytes() for path in clip_copy.iterdir() if path.is_file()} == before
    assert [path.name for path in clip_copy.parent.iterdir()] == [clip_copy.name]


def _copy(source, target):
    for file in ("image_encoder.onnx", "text_encoder.onnx"):
        shutil.copyfile(source / file, target / file)


def test_a_directory_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(BuildError, match=r"is there and is not an encoder directory; give another --out"),
        staged(tmp_path),
    ):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_finished_build_takes_the_place_of_the_one_before(tmp_path):
    out = tmp_path / "encoder"
    for turn in ("first", "second"):
        with staged(out) as directory:
            (directory / "encoder.json").write_text(turn)
            (directory / turn).touch()
    assert sorted(path.name for path in out.iterdir()) == ["encoder.json", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "tpu"}, r"target 'tpu' is unknown; choose one of embedded, tensorrt"),
        ({"precision": "fp16"}, r"target embedded has no precision 'fp16'; choose one of fp32, int8"),
        ({"precision": "int8", "share_weights": True}, r"--share-weights works for embedded FP32 only"),
        ({"captions": "words.csv"}, r"--captions describes the photos of --photos; give both"),
        ({"max_batch_size": 0}, r"--max-batch-size must be from 1 to 256, got 0"),
    ],
)
def test_requests_that_do_not_fit_together_are_refused(tmp_path, options, words):
    with pytest.raises(BuildError, match=words):
        BuildRequest(checkpoint="somewhere", out=tmp_path, **options)


def test_shared_weights_give_the_same_embeddings_from_one_file(clip_checkpoint, clip_encoder, clip_copy):
    building._share(clip_copy, open_checkpoint(str(clip_checkpoint)))
    small = sum((clip_copy / file).stat().st_size for file in ("image_encoder.onnx", "text_encoder.onnx"))
    assert small < (clip_copy / "weights.safetensors").stat().st_size / 2
    pixels = parity.sample_pixels(clip_encoder.spec, 3)
    whole, shared = Encoders.load(clip_encoder.directory), Encoders.load(clip_copy)
    np.testing.assert_array_equal(whole.image({"pixel_values": pixels}), shared.image({"pixel_values": pixels}))


def test_weights_in_parts_or_pickled_cannot_be_shared(clip_checkpoint, tmp_path):
    checkpoint = open_checkpoint(str(clip_checkpoint))
    for files, words in (
        (checkpoint.weight_files * 2, "model.safetensors, model.safetensors"),
        ((clip_checkpoint / "pytorch_model.bin",), "pytorch_model.bin"),
    ):
        other = dataclasses.replace(checkpoint, weight_files=files)
        with pytest.raises(BuildError, match=rf"--share-weights needs one safetensors file, this has {words}; leave"):
            building._share(tmp_path, other)


def test_weights_past_the_limit_of_one_file_go_beside_it(clip_copy, monkeypatch):
    graph = onnx.load(clip_copy / "text_encoder.onnx")
    monkeypatch.setattr("ensemble_builder.export.EXTERNAL_BYTES", 1000)
    save(graph, clip_copy / "text_encoder.onnx")
    assert (clip_copy / "text_encoder.onnx.data").stat().st_size > 10 * (
        clip_copy / "text_encoder.onnx"
    ).stat().st_size
    tokens = {"input_ids": np.full((1, 8), 7, np.int32), "eot_index": np.full((1, 1), 3, np.int32)}
    assert np.linalg.norm(Encoders.load(clip_copy).text(tokens)) == pytest.approx(1, abs=1e-5)
