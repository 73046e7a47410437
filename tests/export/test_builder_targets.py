"""Whole builds of lower precisions: the default encoder passes the gates, a CLIP that knows nothing does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble_builder import build as building
from ensemble_builder import retrieval_quality
from ensemble_builder.build import BuildRequest, build
from ensemble_builder.verification import REFERENCE_PHOTOS
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import BuildError, PrecisionError
from tests.export.conftest import built
from tests.fakes.tensorrt import tensorrt

DEFAULT = Path(__file__).resolve().parent.parent.parent / "default_encoder"


@pytest.fixture(scope="module")
def default_encoder(tmp_path_factory):
    """The default encoder in FP32 with its weights inside the graphs, which lower precisions are made of."""
    return built(DEFAULT, tmp_path_factory.mktemp("default") / "fp32", repository=False)


@pytest.fixture
def exported(monkeypatch):
    """Let builds take the graphs of a directory, as exporting them again takes most of the time."""

    def take(directory):
        def copy(build, spec):
            for file in ("image_encoder.onnx", "text_encoder.onnx"):
                shutil.copyfile(directory / file, build._directory / file)

        monkeypatch.setattr(building._Build, "_export", copy)

    return take


def figures(encoder, precision):
    return {check.name: check.value for check in encoder.report.checks if check.name.startswith(f"{precision}: ")}


@pytest.mark.timeout(900)  # a build of three minutes alone, of more than the usual 300 s beside other work
@pytest.mark.parametrize(("target", "precision"), [("embedded", "int8"), ("tensorrt", "fp8")])
def test_the_default_encoder_in_a_lower_precision(
    default_encoder, exported, monkeypatch, tmp_path, target, precision
):
    # INT8 misses the gate by a hair, or not, by the processor: what is looked at here is the rest of the build.
    monkeypatch.setattr(retrieval_quality, "OVERLAP_LIMIT", 0.9)
    exported(default_encoder.directory)
    found = built(DEFAULT, tmp_path / "encoder", target=target, precision=precision, max_batch_size=32)
    checks = figures(found, precision.upper())
    assert checks[f"{precision.upper()}: photo to photos, overlap@10"] >= 0.95
    assert checks[f"{precision.upper()}: words to photos, overlap@10"] >= 0.9
    assert checks[f"{precision.upper()}: words to photos, loss in precision@5"] <= 0.01
    assert load_encoder(found.directory).precision == precision
    assert found.spec.identity != default_encoder.spec.identity
    report = json.loads((found.directory / "build.json").read_text())
    assert {"target": target, "precision": precision, "max_batch_size": 32}.items() <= report["options"].items()
    assert report["precision"] == precision
    assert report["scales_measured_on"]["photos"] == 205
    # The table of 30,522 tokens stays as it is, and so do the convolutions of the tower for photos.
    small = (found.directory / "text_encoder.onnx").stat().st_size
    assert small < 0.7 * (default_encoder.directory / "text_encoder.onnx").stat().st_size
    assert (found.directory / "model_repository").is_dir() == (target == "embedded")
    assert (found.directory / "reference.npz").is_file()


def test_explicit_int8_of_the_default_encoder_loses_too_much_and_is_refused(default_encoder, exported, tmp_path):
    exported(default_encoder.directory)
    with pytest.raises(PrecisionError, match=r"INT8 loses too much on 205 photos: .*words to photos, overlap@10"):
        built(DEFAULT, tmp_path / "encoder", target="tensorrt", precision="int8", max_batch_size=32)
    assert not (tmp_path / "encoder").exists()


def test_fp16_is_held_to_the_checkpoint_s_own_values(clip_checkpoint, clip_encoder, exported, tmp_path):
    exported(clip_encoder.directory)
    found = built(clip_checkpoint, tmp_path / "encoder", target="tensorrt", precision="fp16")
    checks = figures(found, "FP16")
    assert checks["FP16: images against transformers, lowest cosine"] >= 0.999
    assert checks["FP16: texts of the corpus, words to embedding, lowest cosine"] >= 0.999
    assert "engines are built on the GPU that serves: ensemble-builder engines --directory" in found.report.notes[-1]
    with np.load(found.directory / "reference.npz") as reference:
        assert np.linalg.norm(reference["image_embeds"], axis=1) == pytest.approx(np.ones(REFERENCE_PHOTOS), abs=1e-5)


def test_where_there_is_a_gpu_one_command_makes_engines_and_repository(
    clip_checkpoint, clip_encoder, exported, tmp_path, monkeypatch
):
    exported(clip_encoder.directory)
    monkeypatch.setattr(building, "this_machine", lambda: (tensorrt("11.0.0.114"), "90"))
    found = built(clip_checkpoint, tmp_path / "encoder", target="tensorrt", max_batch_size=32)
    for model in ("image_encoder", "text_encoder"):
        folder = found.directory / "model_repository" / model
        (plan,) = (folder / "1").iterdir()
        assert plan.name.startswith(f"{model}_trt11.0.0.114_sm90_fp32_b32_")
        assert plan.read_bytes() == b"plan"
        assert f'default_model_filename: "{plan.name}"' in (folder / "config.pbtxt").read_text()
    report = json.loads((found.directory / "build.json").read_text())
    assert "engines" in report["timings_s"]
    assert report["engines"] == {"tensorrt": "11.0.0.114", "capability": "90"}
    assert sum(file.endswith(".plan") for file in report["files"]) == 2
    assert not any("engines are built" in note for note in report["notes"])


def test_a_clip_that_loses_too_much_is_refused_and_leaves_nothing(clip_checkpoint, clip_encoder, exported, tmp_path):
    exported(clip_encoder.directory)
    request = BuildRequest(
        checkpoint=str(clip_checkpoint), out=tmp_path / "encoder", target="tensorrt", precision="fp8"
    )
    with pytest.raises(
        PrecisionError, match=r"FP8 loses too much on 205 photos: .*overlap@10 is 0\.\d+, must be >= 0.95"
    ):
        build(request)
    assert list(tmp_path.iterdir()) == []


def test_without_photos_only_fp32_is_built_and_the_scales_are_the_family_s(
    clip_checkpoint, clip_encoder, exported, tmp_path, monkeypatch
):
    exported(clip_encoder.directory)
    monkeypatch.setattr(building, "sample_photos", list)
    found = built(clip_checkpoint, tmp_path / "encoder")
    assert found.report.notes[-1] == "similarity scales are the family's defaults, as there are no photos"
    with pytest.raises(
        BuildError, match="precision int8 is calibrated on photos and their words, and there are none"
    ):
        build(BuildRequest(checkpoint=str(clip_checkpoint), out=tmp_path / "int8", precision="int8"))
