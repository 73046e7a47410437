"""What cannot be built is named in one sentence, before anything is exported."""

from __future__ import annotations

import json
import struct

import pytest
import safetensors.torch
import torch
import transformers

from ensemble_builder.checkpoint import open_checkpoint
from ensemble_builder.command import main
from ensemble_builder.families import family_of
from ensemble_builder.preparation import prepare
from product_match.contract.errors import CheckpointError
from tests.fakes import checkpoints


def change(directory, file="config.json", **fields):
    path = directory / file
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(content.get(name), dict):
            content[name].update(value)
        else:
            content[name] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return directory


def add_token(directory, token="<new>"):
    """Add a token above the end token, as fine-tuning scripts do, and a row for it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    tokenizer.add_tokens([token])
    tokenizer.save_pretrained(directory)
    model = transformers.CLIPModel.from_pretrained(directory)
    model.text_model.resize_token_embeddings(len(tokenizer))
    model.config.text_config.vocab_size = len(tokenizer)
    model.save_pretrained(directory)


def refused(directory, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        prepare(str(directory))
    assert "\n" not in str(caught.value)


def test_a_token_above_the_end_token_is_refused_where_the_greatest_id_is_pooled(broken_checkpoint):
    add_token(broken_checkpoint)
    change(broken_checkpoint, text_config={"eos_token_id": 2})
    refused(
        broken_checkpoint,
        r"eos_token_id 2, for which transformers pools at the greatest id of a text, and the tokenizer has 1 tokens "
        r"above its end token 2047, such as '<new>'; write 2047 there",
    )
    change(broken_checkpoint, text_config={"eos_token_id": 2047})
    assert prepare(str(broken_checkpoint)).family.end_token(prepare(str(broken_checkpoint)).model) == 2047


def test_the_greatest_id_is_the_end_where_the_config_has_the_old_value(broken_checkpoint):
    prepared = prepare(str(change(broken_checkpoint, text_config={"eos_token_id": 2})))
    assert prepared.family.end_token(prepared.model) == 2047


@pytest.mark.parametrize("end", [300, None, [2047], 0])
def test_an_end_token_that_is_not_the_tokenizers_is_refused_with_both_named(broken_checkpoint, end):
    change(broken_checkpoint, text_config={"eos_token_id": end})
    told = json.dumps(end).replace("[", r"\[").replace("]", r"\]")
    refused(
        broken_checkpoint, rf"has eos_token_id {told}, where the model pools, and the tokenizer ends texts with 2047"
    )


def test_a_tokenizer_without_an_end_token_is_refused(broken_checkpoint, monkeypatch):
    checkpoint = open_checkpoint(str(broken_checkpoint))
    tokenizer = type("Tokenizer", (), {"eos_token_id": None})()
    with pytest.raises(
        CheckpointError, match=r"has eos_token_id 2047, and the tokenizer has no end token; name it as"
    ):
        family_of(checkpoint).check_tokenizer(checkpoint, tokenizer)


def test_no_tokenizer_at_all_is_named(broken_checkpoint):
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (broken_checkpoint / name).unlink()
    refused(broken_checkpoint, r"tokenizer.json is missing, and so is every other file that a tokenizer is made from")
    (broken_checkpoint / "vocab.json").write_text("{}")
    refused(broken_checkpoint, r"the tokenizer has vocab.json and no merges.txt; download that too")


def test_fewer_layers_in_the_config_than_in_the_weights_are_refused(broken_checkpoint):
    change(broken_checkpoint, text_config={"num_hidden_layers": 1})
    refused(
        broken_checkpoint,
        r"the weights hold 16 tensors that the architecture in config.json has no place for, such as "
        r"text_model.encoder.layers.1.*or says fewer layers",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"text_config": {"hidden_size": 44}},
        {"text_config": {"num_attention_heads": 5}},
        {"vision_config": {"patch_size": 20}},
        {"projection_dim": 41},
        {"text_config": {"eos_token_id": True}},
        {"vision_config": {"hidden_act": "nonesuch"}},
    ],
    ids=str,
)
def test_shapes_and_heads_that_do_not_fit_are_one_sentence(broken_checkpoint, fields):
    refused(
        change(broken_checkpoint, **fields),
        r"transformers (cannot load it|does not take config.json) \(.*and the weights must belong",
    )


def test_a_number_that_is_none_in_one_token_row_is_refused(broken_checkpoint):
    path = broken_checkpoint / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["text_model.embeddings.token_embedding.weight"][1234, 5] = torch.nan
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    refused(
        broken_checkpoint,
        r"token_embedding.weight has 1 values that are not finite in 1 of its 2,048 rows, the first is row 1234; the",
    )


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": "x"}}',
        b'{"a": {"data_offsets": []}}',
    ],
)
def test_a_safetensors_header_that_makes_no_sense_is_refused(broken_checkpoint, header):
    (broken_checkpoint / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    refused(broken_checkpoint, r"model.safetensors: damaged safetensors file \(.*\); download it again")


def test_a_safetensors_header_whose_shapes_do_not_fit_is_refused(broken_checkpoint):
    header = b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}'
    (broken_checkpoint / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"0000")
    refused(broken_checkpoint, r"model.safetensors: damaged safetensors file \(.*\); download it again")


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (
            "Siglip2Model",
            r"Siglip2Model is SigLIP2 NaFlex, .*; use a SigLIP2 of fixed resolution, such as google/siglip2",
        ),
        ("AltCLIPModel", r"AltCLIPModel is not supported; use MetaCLIP 2 or a multilingual SigLIP2"),
        ("CLIPVisionModelWithProjection", r"is one half of a CLIP; give the folder of the whole model"),
        ("LlavaForConditionalGeneration", r"writes text rather than embeddings .*; use a CLIP or SigLIP"),
        ("ViTForImageClassification", r"has an image tower alone; join it with a text tower"),
        ("Dinov2Model", r"has an image tower alone; join it with a text tower"),
        ("BertModel", r"has a text tower alone; join it with an image tower"),
        ("BlipForImageTextRetrieval", r"looks at photo and words together"),
        ("SomethingNew", r"SomethingNew is not supported; use a CLIP or SigLIP \(accepted: CLIP, SigLIP and SigLIP2"),
    ],
)
def test_an_architecture_is_refused_by_its_name_with_what_to_use(broken_checkpoint, architecture, words):
    refused(change(broken_checkpoint, architectures=[architecture]), words)


def test_a_checkpoint_with_code_of_its_own_is_refused(broken_checkpoint):
    change(broken_checkpoint, architectures=["JinaCLIPModel"], auto_map={"AutoModel": "modeling.JinaCLIPModel"})
    refused(broken_checkpoint, r"JinaCLIPModel brings code of its own, which is not run; use a checkpoint")


@pytest.mark.parametrize("make", [checkpoints.siglip_checkpoint, checkpoints.clip_checkpoint])
def test_a_config_without_architectures_is_known_by_its_model_type(tmp_path, make):
    directory = make(tmp_path / "plain")
    config = json.loads((directory / "config.json").read_text())
    named = family_of(open_checkpoint(str(directory)))
    del config["architectures"]
    (directory / "config.json").write_text(json.dumps(config))
    assert family_of(open_checkpoint(str(directory))) is named


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], r"holds a LoRA adapter.*merge it into its base"),
        (["modules.json"], r"is a sentence-transformers folder of a text model, which has a text tower alone"),
        (
            ["modules.json", "0_CLIPModel/config.json"],
            r"sentence-transformers folder; its CLIP lies in .*0_CLIPModel: give",
        ),
        (["model_index.json"], r"is a diffusers folder, which makes photos"),
        (["model.gguf"], r"holds GGUF files and no config.json; give the checkpoint that they were made from"),
        (["image.onnx"], r"holds ONNX files and no config.json"),
    ],
)
def test_other_formats_are_named(tmp_path, files, words):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    refused(tmp_path, words)


def test_a_timm_folder_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "resnet50", "pretrained_cfg": {}}')
    refused(tmp_path, r"is a timm model, which has an image tower alone; join it with a text tower")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", r"is a file; give its folder, which must hold config.json and the tokenizer too"),
        ("open_clip.pt", r"is a PyTorch file without a config; save the model with `save_pretrained`"),
        ("image.onnx", r"is a ONNX file, which cannot be checked against its source; give the checkpoint"),
        ("model.zip", r"is a file; give a folder in Hugging Face format"),
    ],
)
def test_a_file_is_refused_with_what_to_give(tmp_path, name, words):
    (tmp_path / name).touch()
    refused(tmp_path / name, words)


def test_siglip_padded_on_the_left_is_refused(tmp_path):
    directory = checkpoints.siglip2_checkpoint(tmp_path / "left")
    change(directory, "tokenizer_config.json", padding_side="left")
    refused(directory, r"the tokenizer pads on the left, and SigLIP was trained on texts padded on the right; set")


def test_lower_casing_follows_the_tokenizers_normaliser(tmp_path):
    directory = checkpoints.siglip2_checkpoint(tmp_path / "plain")
    change(directory, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    prepared = prepare(str(directory))
    assert (prepared.family.name, prepared.spec.lowercase_text, prepared.lowering) == ("siglip2", True, "serving")
    change(directory, "tokenizer_config.json", tokenizer_class="Siglip2Tokenizer")
    prepared = prepare(str(directory))
    assert (prepared.family.name, prepared.spec.lowercase_text) == ("siglip2", False)
    assert prepared.lowering == "the tokenizer"


def test_check_tells_what_a_checkpoint_is_and_what_it_takes(capsys, clip_checkpoint):
    assert main(["check", str(clip_checkpoint), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["family"], found["embedding_dim"], found["text_buckets"]) == ("clip", 40, [8, 16, 32, 77])
    assert found["estimated_memory_mb"] > found["fp32_size_mb"]
    assert found["estimated_time_s"] > 5
    assert main(["check", str(clip_checkpoint)]) == 0
    words = capsys.readouterr().out
    assert "lower casing" in words
    assert words.endswith("this checkpoint can be built\n")


def test_check_of_what_cannot_be_built_fails(capsys, broken_checkpoint):
    (broken_checkpoint / "config.json").unlink()
    assert main(["check", str(broken_checkpoint)]) == 1
    assert "config.json cannot be read" in capsys.readouterr().err
