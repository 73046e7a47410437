"""Checkpoints and encoder directories that the builder's tests share; each is made once."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from ensemble_builder.build import BuildRequest, build
from ensemble_builder.embeddings import load_samples
from ensemble_builder.photos import sample_photos
from product_match.contract.encoder import load_encoder
from tests.fakes import checkpoints


@pytest.fixture(scope="session", autouse=True)
def quiet_transformers():
    logging.getLogger("transformers").setLevel(logging.ERROR)
    # Thousands of records of each export, which would bury the words of a test that fails.
    logging.getLogger("torch.__trace").disabled = True


@pytest.fixture(scope="session")
def clip_checkpoint(tmp_path_factory):
    return checkpoints.clip_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny_clip")


@pytest.fixture
def broken_checkpoint(clip_checkpoint, tmp_path):
    """A copy of the tiny CLIP for a test to break."""
    return Path(shutil.copytree(clip_checkpoint, tmp_path / "broken"))


class Built:
    """What a build left behind."""

    def __init__(self, directory, spec, report):
        self.directory = directory
        self.spec = spec
        self.report = report

    def check(self, name):
        return next(check for check in self.report.checks if check.name == name)


def built(checkpoint, out, **options):
    options = {"untrained": True, **options}
    spec, report = build(BuildRequest(checkpoint=str(checkpoint), out=out, **options))
    return Built(out, spec, report)


@pytest.fixture(scope="session")
def clip_encoder(clip_checkpoint, tmp_path_factory):
    """The tiny CLIP as an embedded FP32 encoder directory, with its model repository."""
    return built(clip_checkpoint, tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture
def clip_copy(clip_encoder, tmp_path):
    """A copy of the tiny CLIP's encoder directory for a test to change."""
    return Path(shutil.copytree(clip_encoder.directory, tmp_path / "encoder"))


@pytest.fixture(scope="session")
def clip_samples(clip_encoder):
    """Sixty photos of the sample catalogue and their words, as the tiny CLIP takes them."""
    directory = clip_encoder.directory
    return load_samples(sample_photos()[:60], load_encoder(directory), directory)
