"""The command that trains and measures the demonstration CLIP; needs torch and transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from ensemble_builder.demo_clip import __main__ as command
from ensemble_builder.demo_clip import training
from ensemble_builder.demo_clip.model import new_model, save_checkpoint
from ensemble_builder.demo_clip.photos import list_photos
from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part
from tests.fakes.demo_training import labelled_garments, short, tiny_config

TINY_STEPS = ["--teacher-epochs", "1", "--student-epochs", "1", "--further-epochs", "1"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return labelled_garments(tmp_path / "clothing")


@pytest.fixture
def tiny(monkeypatch):
    """Make the command train a tiny model in small batches."""
    monkeypatch.setattr(training, "new_model", lambda seed: new_model(seed, tiny_config()))
    monkeypatch.setattr(command, "TEACHER_SCHEDULE", dataclasses.replace(command.TEACHER_SCHEDULE, batch=8))
    monkeypatch.setattr(command, "STUDENT_SCHEDULE", short(1))
    monkeypatch.setattr(command, "CONTINUED_SCHEDULE", dataclasses.replace(command.CONTINUED_SCHEDULE, batch=8))


def epochs_in(messages: list[str]) -> list[str]:
    return [text.split(":")[0] for text in messages if text.startswith(("stage", "epoch", "resumed"))]


def test_the_command_trains_all_stages_goes_on_where_it_stopped_and_measures(folder, tmp_path, tiny, capsys, caplog):
    caplog.set_level("INFO", logger="ensemble_builder.demo_clip")
    out = tmp_path / "out"
    words = ["train", "--images", str(folder), "--out", str(out), "--threads", "1", *TINY_STEPS]
    assert command.main(words) == 0
    assert epochs_in(caplog.messages) == [
        *("stage one", "epoch 1 of 1", "stage two", "epoch 1 of 1", "stage three", "epoch 1 of 1")
    ]
    whole = (out / "model.safetensors").read_bytes()
    (tmp_path / "out-training" / "further.pt").unlink()
    caplog.clear()
    assert command.main([*words, "--resume"]) == 0
    assert epochs_in(caplog.messages) == [
        *("stage one", "resumed teacher.pt after epoch 1", "stage two", "resumed student.pt after epoch 1"),
        *("stage three", "epoch 1 of 1"),
    ]
    assert (out / "model.safetensors").read_bytes() == whole
    capsys.readouterr()
    assert command.main(["measure", "--images", str(folder), "--checkpoint", str(out), "--part", "train"]) == 0
    report = json.loads(capsys.readouterr().out)[str(folder)]
    assert set(report) == {"photos", "image_to_image", "text_to_image", "colour_and_garment", "copies_found_first"}


def test_the_command_goes_on_from_a_checkpoint_without_a_teacher(folder, tmp_path, tiny):
    start, out = tmp_path / "start", tmp_path / "out"
    begun = new_model(1, tiny_config())
    save_checkpoint(begun, training.caption_merges(), start)
    words = ["train", "--images", str(folder), "--out", str(out), "--start-from", str(start)]
    assert command.main([*words, "--further-epochs", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "out-training").iterdir()) == ["further.pt"]
    # One epoch at a low rate moves the weights a little; a model that began anew would be far away. The sharpening
    # moves the projections by more.
    after = CLIPModel.from_pretrained(out).float().state_dict()
    moved = {name: float((after[name] - value).abs().max()) for name, value in begun.state_dict().items()}
    assert 0.0 < max(moved[name] for name in moved if "projection" not in name) < 0.05


def test_without_stage_three_a_checkpoint_is_sharpened_alone(folder, tmp_path, tiny):
    start, out = tmp_path / "start", tmp_path / "out"
    begun = new_model(1, tiny_config())
    save_checkpoint(begun, training.caption_merges(), start)
    words = ["train", "--images", str(folder), "--out", str(out), "--start-from", str(start)]
    assert command.main([*words, "--further-epochs", "0"]) == 0
    before, after = CLIPModel.from_pretrained(start).state_dict(), CLIPModel.from_pretrained(out).state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"visual_projection.weight", "text_projection.weight"}


def test_the_validation_part_is_learned_from_on_request(folder, tmp_path, tiny, caplog):
    caplog.set_level("INFO", logger="ensemble_builder.demo_clip.training")
    words = ["train", "--images", str(folder), "--out", str(tmp_path / "out"), *TINY_STEPS]
    assert command.main(words) == 0
    assert command.main([*words, "--with-validation"]) == 0
    seen = [int(text.split(" ")[0]) for text in caplog.messages if "photos, classes" in text]
    parts = ([Part.TRAIN], [Part.TRAIN, Part.VALIDATION])
    assert seen == [len(list_photos(folder, wanted)) for wanted in parts]
    assert seen[0] < seen[1] < 24


@pytest.mark.parametrize("parts", [(), (Part.TRAIN, Part.TEST)])
def test_the_test_part_is_not_trained_on(tmp_path, parts):
    with pytest.raises(ConfigError, match="the test part is for measuring alone"):
        training.TrainingPlan(folders=(tmp_path,), out=tmp_path, work=tmp_path, parts=parts)


def test_a_start_that_is_no_checkpoint_is_refused(folder, tmp_path, capsys):
    words = ["train", "--images", str(folder), "--out", str(tmp_path / "out"), "--start-from", str(tmp_path)]
    assert command.main(words) == 1
    assert "lacks config.json, model.safetensors, tokenizer.json" in capsys.readouterr().err


def test_a_start_with_other_tokens_is_refused(folder, tmp_path, capsys):
    start = tmp_path / "start"
    save_checkpoint(new_model(1, tiny_config()), training.caption_merges()[:100], start)
    words = ["train", "--images", str(folder), "--out", str(tmp_path / "out"), "--start-from", str(start)]
    assert command.main(words) == 1
    assert "are not those of the captions" in capsys.readouterr().err


def test_the_command_says_what_is_wrong_with_a_folder(tmp_path, capsys):
    assert command.main(["train", "--images", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "has no images.csv" in capsys.readouterr().err


def test_a_plan_without_folders_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="pass --images DIR at least once"):
        training.TrainingPlan(folders=(), out=tmp_path, work=tmp_path)
