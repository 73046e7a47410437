"""Photos, the retrieval gate and the similarity scales."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from PIL import Image

from ensemble_builder.embeddings import Encoders, load_samples
from ensemble_builder.photos import Photo, sample_photos, user_photos
from ensemble_builder.report import BuildReport
from ensemble_builder.retrieval_quality import (
    Embedded,
    check_floor,
    check_retrieval,
    embed,
    measure_scales,
    neighbours,
    overlap,
    precision,
)
from product_match.contract.encoder import SimilarityScale, SimilarityScales, load_encoder
from product_match.contract.errors import BuildError, PrecisionError
from product_match.repository.shipped import shipped_sample
from tests.fakes.small_encoders import DEMO

DEFAULT = SimilarityScale(background=0.1, match=0.4)
DEFAULTS = SimilarityScales(
    image_to_image=DEFAULT, image_to_text=DEFAULT, text_to_image=DEFAULT, text_to_text=DEFAULT
)


def rows(count, seed=0, size=24):
    values = np.random.default_rng(seed).normal(size=(count, size))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def shaken(values, amount, seed=1):
    moved = values + amount * np.random.default_rng(seed).normal(size=values.shape)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def clusters(count=60, kinds=6, spread=0.05):
    centres = rows(kinds, seed=5)
    labels = tuple(f"kind {n % kinds}" for n in range(count))
    images = shaken(centres[np.arange(count) % kinds], spread, seed=6)
    return Embedded(images=images, words=shaken(centres[np.arange(count) % kinds], spread, seed=7), labels=labels)


def test_the_nearest_rows_come_best_first_and_without_the_query():
    values = np.eye(4, dtype=np.float32)
    values[1] = [0.9, 0.435, 0, 0]
    assert neighbours(values, values, 1, leave_out_self=True)[0, 0] == 1
    assert neighbours(values, values, 2, leave_out_self=False)[0].tolist() == [0, 1]


def test_overlap_and_precision_are_shares():
    assert overlap(np.array([[1, 2, 3, 4]]), np.array([[4, 9, 1, 8]])) == 0.5
    assert precision(np.array([[0, 2], [1, 0], [1, 1]]), ["a", "b", "a"]) == 0.5


def test_the_same_embeddings_pass_the_gate():
    full, report = clusters(), BuildReport()
    check_retrieval(full, full, report, "int8", "tensorrt")
    held = [check for check in report.checks if check.required]
    assert [check.value for check in held] == [1.0, 0.0, 1.0, 0.0]
    assert {check.limit for check in held} == {">= 0.95", "<= 0.01"}


def test_too_much_noise_is_refused_with_its_figures():
    full = clusters()
    lower = Embedded(images=shaken(full.images, 0.3), words=full.words, labels=full.labels)
    with pytest.raises(
        PrecisionError, match=r"FP8 loses too much on 60 photos: photo to photos, overlap@10 is 0\.\d+"
    ):
        check_retrieval(full, lower, BuildReport(), "fp8", "tensorrt")


def test_lost_precision_alone_is_refused():
    full = clusters(spread=0.0001)
    images = full.images.copy()
    images[:6] = full.images[1:7]
    lower = Embedded(images=images, words=None, labels=full.labels)
    with pytest.raises(PrecisionError, match=r"loss in precision@5 is 0\.\d+, must be <= 0.01"):
        full = Embedded(images=full.images, words=None, labels=full.labels)
        check_retrieval(full, lower, BuildReport(), "int8", "embedded")


def test_photos_without_labels_are_held_to_overlap_only():
    values, report = rows(80), BuildReport()
    same = Embedded(images=values, words=None, labels=("",) * 80)
    check_retrieval(same, same, report, "int8", "tensorrt")
    assert [check.name for check in report.checks if check.required] == ["photo to photos, overlap@10"]


def test_a_handful_of_photos_is_too_few_for_the_gate():
    few = Embedded(images=rows(12), words=None, labels=("",) * 12)
    with pytest.raises(PrecisionError, match=r"measured on at least 50 photos, got 12; give a folder with --photos"):
        check_retrieval(few, few, BuildReport(), "int8", "tensorrt")


def test_scales_run_from_unrelated_pairs_to_the_best_pairs():
    embedded = clusters()
    scales = measure_scales(embedded, DEFAULTS, BuildReport())
    assert (scales.image_to_image.match, scales.text_to_text.match) == (1.0, 1.0)
    own = np.sort((embedded.images * embedded.words).sum(axis=1))
    assert own[-2] - 1e-3 < scales.text_to_image.match <= own[-1]
    assert all(scale.background < 0.4 for scale in (scales.image_to_image, scales.text_to_text, scales.text_to_image))
    assert scales.text_to_image == scales.image_to_text


def test_an_encoder_that_tells_nothing_apart_keeps_the_defaults_and_says_so():
    report = BuildReport()
    alike = Embedded(
        images=shaken(np.ones((40, 8)), 1e-4), words=shaken(np.ones((40, 8)), 1e-4), labels=("a", "b") * 20
    )
    assert measure_scales(alike, DEFAULTS, report) == DEFAULTS
    assert len(report.notes) == 4
    assert "family's default, as the photos do not tell" in report.notes[0]


def test_photos_without_words_or_labels_still_tell_photos_apart():
    report = BuildReport()
    values = clusters().images
    scales = measure_scales(Embedded(images=values, words=None, labels=("",) * len(values)), DEFAULTS, report)
    assert scales.image_to_image.match > scales.image_to_image.background
    assert scales.text_to_text == DEFAULT


def test_labels_that_no_two_photos_share_tell_all_scales():
    values = rows(5)
    scales = measure_scales(Embedded(images=values, words=values, labels=tuple("abcde")), DEFAULTS, BuildReport())
    assert scales.image_to_image.background == pytest.approx(((values @ values.T).sum() - 5) / 20, abs=1e-3)
    assert scales.text_to_image.match == pytest.approx(1, abs=1e-3)


def test_the_sample_catalogue_gives_photos_words_and_labels():
    photos = sample_photos()
    assert len(photos) > 150
    assert all(photo.path.is_file() and photo.words and photo.label for photo in photos)


def test_an_installation_without_the_sample_catalogue_has_no_photos(monkeypatch, tmp_path):
    monkeypatch.setattr("ensemble_builder.photos.shipped_sample", lambda: shipped_sample((tmp_path / "nowhere",)))
    assert sample_photos() == []


def test_one_photo_tells_no_scale():
    report, value = BuildReport(), rows(1)
    assert measure_scales(Embedded(images=value, words=value, labels=("a",)), DEFAULTS, report) == DEFAULTS
    assert len(report.notes) == 4


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "sub/b.PNG"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(path)
    (tmp_path / "notes.txt").write_text("not a photo")
    return tmp_path


def test_a_folder_alone_gives_photos_without_words(folder):
    assert [(photo.path.name, photo.words, photo.label) for photo in user_photos(folder, None)] == [
        ("a.jpg", "", ""),
        ("b.PNG", "", ""),
    ]


def test_captions_come_from_a_table(folder):
    (folder / "words.csv").write_text("image,words,label\na.jpg,red square,red\nsub/b.PNG,also red,\n")
    photos = user_photos(folder, folder / "words.csv")
    assert photos[0] == Photo(path=folder / "a.jpg", words="red square", label="red")
    assert photos[1].label == ""


def test_captions_come_from_products(folder):
    product = {"image": "a.jpg", "name": "Hat", "category": "Hats"}
    (folder / "words.jsonl").write_text(json.dumps(product) + "\n\n")
    assert user_photos(folder, folder / "words.jsonl") == [
        Photo(path=folder / "a.jpg", words="Hat. Hats", label="Hats")
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("words.csv", "file,caption\na.jpg,x\n", r"column image, words is missing; the first line names"),
        ("words.csv", "image,words\n", r"names no photo; give a folder of JPEG"),
        ("words.csv", "image,words\nz.jpg,x\n", r"names 1 photos that are not there, such as .*z.jpg"),
        ("words.jsonl", "{\n", r"words.jsonl, line 1: expected a JSON object with `image`, got '\{'"),
        ("words.jsonl", '{"name": "x"}\n', r"line 1: expected a JSON object with `image`"),
    ],
)
def test_captions_that_do_not_fit_are_named(folder, name, text, words):
    (folder / name).write_text(text)
    with pytest.raises(BuildError, match=words):
        user_photos(folder, folder / name)


def test_a_photo_that_cannot_be_read_is_named(clip_encoder, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a photo")
    photo = Photo(path=path, words="", label="")
    with pytest.raises(
        BuildError, match=r"broken.jpg: image: 11 bytes that are not a photo.*take it out of the photos"
    ):
        load_samples([photo], clip_encoder.spec, clip_encoder.directory)


def test_what_encoders_find_stands_beside_the_floor():
    report = BuildReport()
    check_floor(clusters(), report, untrained=False)
    found = {check.name: (check.value, check.limit) for check in report.checks}
    assert found == {
        "photo to photos, precision@5": (1.0, ">= 0.237"),
        "words to photos, precision@5": (1.0, ">= 0.25"),
    }


@pytest.mark.parametrize("destroyed", ["images", "words"])
def test_encoders_that_find_no_more_than_chance_are_refused(destroyed):
    embedded = dataclasses.replace(clusters(600), **{destroyed: rows(600, seed=9)})
    report = BuildReport()
    with pytest.raises(
        PrecisionError, match=r"tell too little apart on 600 photos: .*precision@5 is 0\.1\d+, must be"
    ):
        check_floor(embedded, report, untrained=False)
    check_floor(embedded, report, untrained=True)
    assert not report.checks[-1].required


def test_collapsed_encoders_are_refused():
    collapsed = shaken(np.ones((60, 24)), 1e-6)
    embedded = dataclasses.replace(clusters(), images=collapsed, words=collapsed)
    with pytest.raises(PrecisionError, match=r"tell too little apart on 60 photos"):
        check_floor(embedded, BuildReport(), untrained=False)


def test_without_labels_words_must_find_their_own_photo():
    same, report = Embedded(images=rows(80), words=rows(80), labels=("",) * 80), BuildReport()
    check_floor(same, report, untrained=False)
    assert [(check.name, check.value) for check in report.checks] == [("words to their own photo, recall@10", 1.0)]
    with pytest.raises(PrecisionError, match=r"words to their own photo, recall@10 is 0\.\d+, must be >= 0\.2"):
        check_floor(dataclasses.replace(same, words=rows(80, seed=3)), BuildReport(), untrained=False)


def test_a_handful_of_photos_judges_nothing():
    report = BuildReport()
    check_floor(Embedded(images=rows(12), words=None, labels=("",) * 12), report, untrained=False)
    assert report.notes == ["what the encoders find is not judged on fewer than 50 photos"]


def test_the_shipped_encoder_passes_and_is_refused_once_a_tower_is_destroyed(tmp_path):
    spec = load_encoder(DEMO)
    samples = load_samples(sample_photos(), spec, DEMO)
    shipped = embed(Encoders.load(DEMO), samples)
    check_floor(shipped, BuildReport(), untrained=False)
    for file in DEMO.iterdir():
        if file.is_file():
            shutil.copyfile(file, tmp_path / file.name)
    graph = onnx.load(tmp_path / "text_encoder.onnx")
    random = np.random.default_rng(0)
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 2 and values.dtype.kind == "f":
            noise = random.normal(0, values.astype(np.float32).std(), values.shape).astype(values.dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(noise, tensor.name))
    onnx.save(graph, tmp_path / "text_encoder.onnx")
    destroyed = dataclasses.replace(shipped, words=Encoders.load(tmp_path).texts(samples))
    with pytest.raises(PrecisionError, match=r"words to photos, precision@5 is 0\.[01]\d+, must be >= 0\.1"):
        check_floor(destroyed, BuildReport(), untrained=False)
