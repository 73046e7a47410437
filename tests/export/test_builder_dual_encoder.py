"""Dual encoders of any two towers: transformers' own image models or timm's, and text models that see both ways."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from ensemble_builder.checkpoint import open_checkpoint
from ensemble_builder.dual_encoder import DualEncoderFamily
from ensemble_builder.loading import load_model
from ensemble_builder.tokenization import load_tokenizer
from product_match.contract.errors import CheckpointError
from product_match.preprocessing.texts import TextPreprocessor
from tests.export.conftest import built
from tests.fakes import checkpoints

COMMON = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILY = DualEncoderFamily()


@pytest.fixture(scope="module")
def timm_checkpoint(tmp_path_factory):
    """EfficientNet-Lite0 at 160 pixels and a BERT whose mean is the embedding."""
    vision = transformers.TimmWrapperConfig(architecture="tf_efficientnet_lite0", hidden_size=1280, num_labels=0)
    folder = tmp_path_factory.mktemp("timm") / "tiny_timm"
    return checkpoints.dual_checkpoint(folder, vision, size=160, text_pooling="mean")


@pytest.fixture(scope="module")
def timm_encoder(timm_checkpoint, tmp_path_factory):
    return built(timm_checkpoint, tmp_path_factory.mktemp("timm") / "encoder", repository=False)


def test_a_timm_tower_and_the_mean_of_a_text_pass_each_check(timm_encoder):
    assert [check.name for check in timm_encoder.report.checks if not check.passed] == []
    spec = timm_encoder.spec
    assert (spec.family, spec.text_pooling, spec.text_buckets) == ("dual", "mean", (8, 16, 32, 128))


def test_the_mean_is_that_of_the_texts_own_tokens_whatever_the_bucket(timm_encoder, timm_checkpoint):
    model = transformers.VisionTextDualEncoderModel.from_pretrained(timm_checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(timm_checkpoint)
    session = onnxruntime.InferenceSession(timm_encoder.directory / "text_encoder.onnx")
    ours = TextPreprocessor(timm_encoder.spec, timm_encoder.directory)
    own = tokenizer(["red dress"], return_tensors="pt")
    with torch.inference_mode():
        hidden = model.text_model(**own).last_hidden_state[0]
        wanted = model.text_projection(hidden.mean(dim=0)).numpy()
    wanted /= np.linalg.norm(wanted)
    for texts in (["red dress"], ["red dress", "a long summer dress " * 6]):
        found = ours.tokenize(texts)
        row = session.run(None, {"input_ids": found.input_ids, "eot_index": found.eot_index})[0][0]
        np.testing.assert_allclose(row, wanted, atol=2e-6)
    assert found.input_ids.shape[1] == 32


def test_a_timm_tower_has_no_normalisation_left_to_run(timm_encoder):
    import onnx

    operators = {node.op_type for node in onnx.load(timm_encoder.directory / "image_encoder.onnx").graph.node}
    assert "BatchNormalization" not in operators
    assert {"Conv", "Clip"} <= operators


@pytest.mark.parametrize(
    ("vision", "text", "options"),
    [
        (None, transformers.RobertaConfig(**COMMON, vocab_size=800, max_position_embeddings=130), {}),
        (
            transformers.CLIPVisionConfig(**COMMON, image_size=80, patch_size=16),
            transformers.DistilBertConfig(dim=48, hidden_dim=96, n_layers=2, n_heads=4, vocab_size=800),
            {"text_pooling": "first_token"},
        ),
        (
            transformers.Dinov2Config(**COMMON, image_size=80, patch_size=16),
            transformers.MPNetConfig(**COMMON, vocab_size=800, max_position_embeddings=130),
            {"text_pooling": "mean"},
        ),
    ],
    ids=["vit+roberta", "clip+distilbert", "dinov2+mpnet"],
)
def test_other_towers_pass_each_check(tmp_path, vision, text, options):
    checkpoint = checkpoints.dual_checkpoint(tmp_path / "towers", vision, text, **options)
    encoder = built(checkpoint, tmp_path / "encoder", repository=False, text_buckets=(8, 64))
    assert [check.name for check in encoder.report.checks if not check.passed] == []
    assert encoder.spec.text_buckets == (8, 64)


def test_the_longest_text_is_what_positions_and_tokenizer_allow(tmp_path):
    text = transformers.RobertaConfig(**COMMON, vocab_size=800, max_position_embeddings=50, pad_token_id=1)
    checkpoint = open_checkpoint(str(checkpoints.dual_checkpoint(tmp_path / "short", None, text)))
    tokenizer = load_tokenizer(checkpoint)
    assert FAMILY.text_rules(checkpoint, tokenizer, None).text_buckets == (8, 16, 32, 48)
    assert FAMILY.text_rules(checkpoint, tokenizer, (8, 400)).text_buckets == (8, 48)
    tokenizer.model_max_length = 20
    assert FAMILY.text_rules(checkpoint, tokenizer, (24,)).text_buckets == (20,)


@pytest.fixture
def dual_checkpoint(tmp_path):
    return checkpoints.dual_checkpoint(tmp_path / "dual")


def _declare(directory, **fields):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_pooling_that_is_unknown_is_refused(dual_checkpoint):
    _declare(dual_checkpoint, text_pooling="max")
    with pytest.raises(CheckpointError, match=r"has text_pooling 'max'; known are pooler, first_token, mean"):
        FAMILY.unused_weights(open_checkpoint(str(dual_checkpoint)))


def test_a_text_model_without_a_pooler_must_say_how_it_pools(tmp_path):
    text = transformers.DistilBertConfig(dim=48, hidden_dim=96, n_layers=2, n_heads=4, vocab_size=800)
    checkpoint = checkpoints.dual_checkpoint(tmp_path / "towers", None, text)
    with pytest.raises(CheckpointError, match=r'DistilBertModel has no pooler, so config.json must say.*: "mean" or'):
        FAMILY.check_model(load_model(open_checkpoint(str(checkpoint))))


def test_a_pooler_that_is_not_used_may_be_missing(dual_checkpoint):
    import safetensors.torch

    path = dual_checkpoint / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    kept = {name: tensor for name, tensor in tensors.items() if ".pooler." not in name or "text_model" not in name}
    assert len(kept) < len(tensors)
    safetensors.torch.save_file(kept, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights lack 2 tensors .*text_model.pooler.dense"):
        load_model(open_checkpoint(str(dual_checkpoint)))
    _declare(dual_checkpoint, text_pooling="mean")
    checkpoint = open_checkpoint(str(dual_checkpoint))
    assert load_model(checkpoint, FAMILY.unused_weights(checkpoint)).config.text_pooling == "mean"
