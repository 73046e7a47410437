"""Checkpoints that are missing, incomplete or damaged, and the hub."""

from __future__ import annotations

import json
import pathlib
import struct

import huggingface_hub
import pytest
import safetensors.torch
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError

from ensemble_builder.checkpoint import HUB_FILES, open_checkpoint
from ensemble_builder.image_rules import image_rules, load_image_processor
from ensemble_builder.loading import load_model
from product_match.contract.errors import CheckpointError


@pytest.fixture
def pickled_checkpoint(broken_checkpoint):
    """The tiny CLIP with its weights as torch.save writes them."""
    path = broken_checkpoint / "model.safetensors"
    torch.save(safetensors.torch.load_file(path), broken_checkpoint / "pytorch_model.bin")
    path.unlink()
    return broken_checkpoint


def test_a_whole_folder_is_a_checkpoint_named_after_itself(clip_checkpoint):
    checkpoint = open_checkpoint(str(clip_checkpoint))
    assert (checkpoint.name, checkpoint.tokenizer_class) == ("tiny-clip", "CLIPTokenizer")
    assert len(checkpoint.weights_sha256) == 64
    assert open_checkpoint(str(clip_checkpoint), "shop").name == "shop"


def test_a_folder_that_is_not_there_is_refused_without_asking_the_hub():
    with pytest.raises(CheckpointError, match=r"checkpoint ./nowhere/clip: no such folder; give a folder that holds"):
        open_checkpoint("./nowhere/clip")


def test_a_hub_id_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    def offline(*args, **options):
        raise LocalEntryNotFoundError("no connection\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        CheckpointError, match=r"openai/clip: .*\(LocalEntryNotFoundError: no connection\).*check the name"
    ):
        open_checkpoint("openai/clip")


def test_a_hub_id_is_fetched_without_pickled_weights(monkeypatch, clip_checkpoint):
    asked = {}

    def download(source, allow_patterns):
        asked.update(source=source, patterns=allow_patterns)
        return str(clip_checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert open_checkpoint("openai/clip-vit-base-patch32").name == "clip-vit-base-patch32"
    assert asked == {"source": "openai/clip-vit-base-patch32", "patterns": list(HUB_FILES)}
    assert not any("bin" in pattern for pattern in HUB_FILES)


def test_a_hub_model_without_safetensors_is_fetched_with_what_it_has(monkeypatch, pickled_checkpoint):
    asked = []

    def download(source, allow_patterns):
        asked.append(allow_patterns)
        return str(pickled_checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (pickled_checkpoint / "open_clip_model.safetensors").touch()  # OpenCLIP's own, which transformers cannot read
    assert not open_checkpoint("openai/clip-vit-base-patch32").has_safetensors
    assert asked == [list(HUB_FILES), [*HUB_FILES, "pytorch_model.bin"]]


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_missing_file_is_named(broken_checkpoint, file):
    (broken_checkpoint / file).unlink()
    with pytest.raises(CheckpointError, match=rf"{file} cannot be read \(No such file"):
        open_checkpoint(str(broken_checkpoint))


def test_a_file_that_is_not_json_is_named(broken_checkpoint):
    (broken_checkpoint / "config.json").write_text("<html>", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config.json is not JSON .*download it again"):
        open_checkpoint(str(broken_checkpoint))


def test_a_json_file_that_holds_no_object_is_named(broken_checkpoint):
    (broken_checkpoint / "preprocessor_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json must hold a JSON object, got list"):
        open_checkpoint(str(broken_checkpoint))


def test_missing_weights_are_named(broken_checkpoint):
    (broken_checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors is missing, and so is pytorch_model.bin; download"):
        open_checkpoint(str(broken_checkpoint))


def test_pickled_tensors_are_the_same_weights(pickled_checkpoint, clip_checkpoint):
    found, wanted = (load_model(open_checkpoint(str(path))) for path in (pickled_checkpoint, clip_checkpoint))
    torch.testing.assert_close(found.state_dict(), wanted.state_dict(), rtol=0, atol=0)


def test_pickled_weights_that_were_cut_off_are_named(pickled_checkpoint):
    path = pickled_checkpoint / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        CheckpointError, match=r"pytorch_model.bin: damaged, or written by a torch before 1.6; download"
    ):
        open_checkpoint(str(pickled_checkpoint))


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_code_in_pickled_weights_is_refused_and_not_run(pickled_checkpoint, tmp_path):
    torch.save({"x": Harmful(tmp_path / "run")}, pickled_checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin holds more than tensors, which may be code and is"):
        load_model(open_checkpoint(str(pickled_checkpoint)))
    assert not (tmp_path / "run").exists()


def test_the_image_processor_is_found_where_transformers_5_writes_it(broken_checkpoint):
    before = _rules(broken_checkpoint)
    image = transformers.AutoImageProcessor.from_pretrained(broken_checkpoint, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(broken_checkpoint)
    (broken_checkpoint / "preprocessor_config.json").unlink()
    transformers.CLIPProcessor(image, tokenizer).save_pretrained(broken_checkpoint)
    assert not (broken_checkpoint / "preprocessor_config.json").exists()
    checkpoint = open_checkpoint(str(broken_checkpoint))
    assert _rules(broken_checkpoint) == before
    assert load_image_processor(checkpoint).to_dict() == image.to_dict()
    path = broken_checkpoint / "processor_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "image_processor": {**config["image_processor"], "image_std": [1]}}))
    with pytest.raises(CheckpointError, match=r"processor_config.json .*: image_std is .*; three numbers are needed"):
        _rules(broken_checkpoint)


def _rules(directory):
    checkpoint = open_checkpoint(str(directory))
    return image_rules(checkpoint, load_image_processor(checkpoint))


def test_a_processor_file_of_the_older_kind_is_left_alone(broken_checkpoint):
    (broken_checkpoint / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    assert open_checkpoint(str(broken_checkpoint)).preprocessor_file == "preprocessor_config.json"


def test_weights_in_parts_are_found_and_a_missing_part_is_named(broken_checkpoint):
    tensors = safetensors.torch.load_file(broken_checkpoint / "model.safetensors")
    (broken_checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in parts.items():
        safetensors.torch.save_file({name: tensors[name] for name in held}, broken_checkpoint / file)
    index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (broken_checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert [path.name for path in open_checkpoint(str(broken_checkpoint)).weight_files] == list(parts)
    (broken_checkpoint / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"index.json names b.safetensors, which is not there"):
        open_checkpoint(str(broken_checkpoint))


def test_weights_that_were_cut_off_are_named(broken_checkpoint):
    path = broken_checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: damaged safetensors file, .* where its header says"
    ):
        open_checkpoint(str(broken_checkpoint))


@pytest.mark.parametrize("data", [b"\x00", struct.pack("<Q", 10**9), struct.pack("<Q", 4) + b"{,,}"])
def test_weights_with_a_damaged_header_are_named(broken_checkpoint, data):
    (broken_checkpoint / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged safetensors file \("):
        open_checkpoint(str(broken_checkpoint))


def test_weights_that_lack_tensors_are_refused(broken_checkpoint):
    path = broken_checkpoint / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors["visual_projection.weight"]
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights lack 1 tensors .*such as visual_projection.weight"):
        load_model(open_checkpoint(str(broken_checkpoint)))


def test_weights_of_another_shape_are_refused(broken_checkpoint):
    path = broken_checkpoint / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["visual_projection.weight"] = torch.zeros(3, 3)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"transformers cannot load it .*must belong together"):
        load_model(open_checkpoint(str(broken_checkpoint)))
