"""Training of the demonstration CLIP on a few generated photos; needs torch and transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer, CLIPModel

from ensemble_builder.demo_clip import learning, training
from ensemble_builder.demo_clip.augmentation import ViewOptions, mixed_views, random_views, recoloured
from ensemble_builder.demo_clip.learning import Lesson, train_student
from ensemble_builder.demo_clip.loop import Schedule, train_epochs
from ensemble_builder.demo_clip.losses import image_text_loss, multi_positive_loss
from ensemble_builder.demo_clip.measurement import clip_encoders, measure_folder
from ensemble_builder.demo_clip.model import new_model, save_checkpoint
from ensemble_builder.demo_clip.photos import list_photos, load_photos
from ensemble_builder.demo_clip.student import Student
from ensemble_builder.demo_clip.targets import (
    GARMENT_SHARE,
    LABEL_BALANCE,
    NO_CLASS,
    Targets,
    balanced_draws,
    label_loss,
    targets_of,
)
from ensemble_builder.demo_clip.teacher import Teacher
from ensemble_builder.demo_clip.tokenizer import END_TOKEN_ID, START_TOKEN_ID, build_tokenizer, text_tokenizer
from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part
from tests.fakes.demo_training import labelled_garments, short, tiny_config


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return labelled_garments(tmp_path / "clothing")


def lesson_of(folder: Path) -> Lesson:
    photos = load_photos(list_photos(folder, list(Part)))
    targets = targets_of(photos)
    vocabulary, merges = build_tokenizer(training.caption_merges())
    torch.manual_seed(0)
    teacher = Teacher(targets.head_sizes, widths=(8, 8, 8, 8), depth=1).eval()
    return Lesson(photos=photos, targets=targets, tokenizer=text_tokenizer(vocabulary, merges), teacher=teacher)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_few_epochs_bring_the_loss_down(folder, caplog):
    caplog.set_level("INFO", logger="ensemble_builder.demo_clip.loop")
    train_student(new_model(1, tiny_config()), lesson_of(folder), seed=1, checkpoint=None, schedule=short(6))
    captions = [float(text.split("captions ")[1].split(",")[0]) for text in caplog.messages if "captions" in text]
    assert captions[-1] < captions[0]


class PowerCutError(Exception):
    """Stands for the machine going down."""


def test_a_resumed_run_gives_the_same_weights(folder, tmp_path, monkeypatch):
    whole = train_student(new_model(1, tiny_config()), lesson_of(folder), seed=1, checkpoint=None, schedule=short(2))
    state = tmp_path / "student.pt"
    from ensemble_builder.demo_clip import loop

    save = loop._save

    def save_then_stop(*arguments: object) -> None:
        save(*arguments)
        raise PowerCutError

    monkeypatch.setattr(loop, "_save", save_then_stop)
    with pytest.raises(PowerCutError):
        train_student(new_model(1, tiny_config()), lesson_of(folder), seed=1, checkpoint=state, schedule=short(2))
    monkeypatch.setattr(loop, "_save", save)
    resumed = train_student(
        new_model(2, tiny_config()), lesson_of(folder), seed=1, checkpoint=state, schedule=short(2)
    )
    expected = weights_of(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(resumed).items())


def test_gradients_of_shards_add_up_to_the_gradient_of_the_batch():
    inputs = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))

    def trained(shards: int) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        schedule = Schedule(epochs=2, batch=16, peak_rate=0.1, shards=shards)
        train_epochs(
            model, lambda rows, _random, _epoch: {"total": model(inputs[rows]).pow(2).mean()}, 64, schedule, seed=3
        )
        return model.weight.detach()

    assert torch.allclose(trained(1), trained(2), atol=2e-3)


def test_shards_share_the_threads_out():
    torch.set_num_threads(2)
    model, seen = nn.Linear(3, 1), {}
    for shards in (1, 2):
        used = seen.setdefault(shards, set())

        def loss_of(
            rows: torch.Tensor, _random: torch.Generator, _epoch: float, used: set[int] = used
        ) -> dict[str, torch.Tensor]:
            used.add(torch.get_num_threads())
            return {"total": model(torch.ones(len(rows), 3)).sum()}

        train_epochs(model, loss_of, 16, Schedule(epochs=1, batch=8, peak_rate=0.1, shards=shards), seed=1)
        assert torch.get_num_threads() == 2
    assert seen == {1: {2}, 2: {1}}


def test_a_schedule_warms_up_and_falls_to_a_hundredth():
    schedule = Schedule(epochs=10, batch=8, peak_rate=1.0, warm_up=2.0)
    assert schedule.rate(1.0) == pytest.approx(1.01 / 2.01)
    assert schedule.rate(2.0) == pytest.approx(1.0)
    assert schedule.rate(6.0) == pytest.approx(0.505)
    assert schedule.rate(10.0) == pytest.approx(0.01)


def test_a_schedule_without_epochs_is_refused():
    with pytest.raises(ConfigError, match="at least 1 epoch of batches of 2, got 0 and 8"):
        Schedule(epochs=0, batch=8, peak_rate=1.0)


def test_several_positives_share_the_loss():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    shares = torch.log_softmax(logits, dim=1)[0]
    both = multi_positive_loss(logits, torch.tensor([[True, True, False]]))
    assert float(both) == pytest.approx(-float(shares[0] + shares[1]) / 2)
    assert float(multi_positive_loss(logits, torch.zeros(1, 3, dtype=torch.bool))) == 0.0
    rows = torch.eye(2)
    assert float(image_text_loss(rows, rows, rows.bool(), torch.tensor(20.0))) < 1e-6


def test_photos_without_a_class_add_nothing_to_its_loss(folder):
    targets = targets_of(load_photos(list_photos(folder, list(Part))))
    assert targets.classes["group"] == ()
    assert (targets.numbers["group"] == NO_CLASS).all()
    rows = torch.arange(4)
    label, colour = torch.zeros(4, 2), torch.zeros(4, 2)
    expected = np.log(2.0)
    assert float(label_loss({"label": label}, targets, rows)) == pytest.approx(expected)
    assert float(label_loss({"label": label, "group": torch.zeros(4, 1)}, targets, rows)) == pytest.approx(expected)
    assert float(label_loss({"label": label, "colour": colour}, targets, rows)) == pytest.approx(1.4 * expected)


def test_views_keep_their_shape_and_their_seed():
    pixels = torch.randint(0, 255, (4, 3, 160, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    aspects = torch.tensor([0.75, 1.0, 1.4, 0.5])
    views = [
        random_views(pixels, aspects, 48, ViewOptions(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert views[0].shape == (4, 3, 48, 48)
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_recolouring_leaves_the_shapes_and_the_other_views():
    random = torch.Generator().manual_seed(0)
    views = torch.randn(20, 3, 4, 4, generator=random)
    chosen = torch.arange(20) < 16
    changed = recoloured(views, chosen, random)
    assert torch.equal(changed[16:], views[16:])
    assert torch.allclose(changed.mean(dim=1), views.mean(dim=1), atol=1e-6)
    grey = torch.tensor([bool((view == view[:1]).all()) for view in changed[:16]])
    assert 0 < int(grey.sum()) < 16
    assert not torch.equal(changed[:16][~grey], views[:16][~grey])


def test_a_mixture_says_how_much_of_each_view_is_left():
    views = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32).contiguous()
    for seed in range(12):
        mixed = mixed_views(views, torch.Generator().manual_seed(seed), share=1.0)
        means = mixed.views.mean(dim=(1, 2, 3))
        own, other = torch.arange(4.0), torch.arange(4.0)[mixed.partners]
        assert torch.allclose(means, mixed.kept * own + (1 - mixed.kept) * other, atol=1e-5)
    untouched = mixed_views(views, torch.Generator().manual_seed(0), share=0.0)
    assert untouched.kept == 1.0


def test_a_saved_checkpoint_opens_in_transformers_with_the_same_tokens(tmp_path):
    model = new_model(1, tiny_config())
    save_checkpoint(model, training.caption_merges(), tmp_path)
    loaded = CLIPModel.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float16
    assert loaded.config.text_config.eos_token_id == END_TOKEN_ID
    expected = model.state_dict()["visual_projection.weight"].half()
    assert torch.equal(loaded.state_dict()["visual_projection.weight"], expected)
    ours, theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json")), AutoTokenizer.from_pretrained(tmp_path)
    for text in ("Blue tee on a hanger", "日本 🍎", ""):
        assert ours.encode(text).ids == theirs(text)["input_ids"]
        assert ours.encode(text).ids[0] == START_TOKEN_ID
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["crop_size"] == {"height": 24, "width": 24}


def test_rare_labels_and_garments_are_drawn_more_often_than_they_are():
    labels = torch.tensor([0] * 8 + [1] + [2] * 3)
    colours = torch.tensor([0] * 9 + [NO_CLASS] * 3)
    targets = Targets(classes={"label": ("a", "b", "c")}, numbers={"label": labels, "colour": colours})
    draws = balanced_draws(targets)
    assert float(draws.sum()) == pytest.approx(1.0)
    assert float(draws[:9].sum()) == pytest.approx(GARMENT_SHARE)
    assert float(draws[8] / draws[0]) == pytest.approx(8**LABEL_BALANCE)
    clothing = Targets(classes={"label": ("a", "b")}, numbers={"label": labels[:9], "colour": colours[:9]})
    assert float(balanced_draws(clothing).sum()) == pytest.approx(1.0)


def test_half_of_the_groceries_of_a_batch_stand_beside_their_shelf_neighbours(tmp_path):
    root = tmp_path / "groceries"
    (root / "images").mkdir(parents=True)
    lines = ["image,label,group,category"]
    for number in range(16):
        label = ("Lime", "Lemon")[number // 8]
        Image.new("RGB", (32, 32), (90, 200, 40)).save(root / "images" / f"{label}_{number:03}.jpg")
        lines.append(f"{label}_{number:03}.jpg,{label},{label},Fruit")
    (root / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lesson = dataclasses.replace(lesson_of(root), teacher=None)
    step = learning._Step(Student(new_model(1, tiny_config()), None), lesson, torch.device("cpu"), short(1))
    assert step._beside_neighbours(torch.tensor([2, 9, 4, 12])).tolist() == [2, 3, 4, 5]
    # 7 is the last lime: the photo after it is a lemon, so its partner stays as it was drawn.
    assert step._beside_neighbours(torch.tensor([7, 12])).tolist() == [7, 12]


def test_groceries_are_measured_without_the_run_of_the_query_too(tmp_path):
    root = tmp_path / "groceries"
    (root / "images").mkdir(parents=True)
    lines = ["image,label,group,category"]
    for label in ("Lime", "Lemon"):
        for number in range(30):
            name = f"train-{label}_{number:03}.jpg"
            Image.new("RGB", (32, 32), (90, 200, 40) if label == "Lime" else (240, 220, 60)).save(
                root / "images" / name
            )
            lines.append(f"{name},{label},{label},Fruit")
    (root / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    checkpoint = tmp_path / "checkpoint"
    save_checkpoint(new_model(1, tiny_config()), training.caption_merges(), checkpoint)
    report = measure_folder(clip_encoders(checkpoint), root, Part.TRAIN, copies=False)
    assert set(report) == {"photos", "image_to_image", "image_to_image_other_runs", "text_to_image"}
