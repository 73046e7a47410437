"""Where the files that come with the code are looked for; tests/packaging installs wheels and runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from product_match.contract.errors import ConfigError
from product_match.repository.shipped import ENCODER, SAMPLE, shipped_adapters, shipped_encoder, shipped_sample

PROJECT = Path(__file__).parents[2]


def test_a_checkout_uses_its_own_folder():
    assert shipped_adapters() == PROJECT / "model_repository"


def test_the_installed_adapters_come_first(tmp_path):
    (tmp_path / "installed").mkdir()
    assert shipped_adapters((tmp_path / "installed", PROJECT / "model_repository")) == tmp_path / "installed"


def test_adapters_that_are_nowhere_are_missed_with_what_to_do(tmp_path):
    with pytest.raises(
        ConfigError, match=r"adapters are in none of .*, .*; install the project again \(`pip install"
    ):
        shipped_adapters((tmp_path / "a", tmp_path / "b"))


def test_a_checkout_has_the_encoder_and_the_sample_in_folders_of_its_own():
    assert shipped_encoder() == PROJECT / ENCODER
    assert shipped_sample() == PROJECT / SAMPLE


def test_the_installed_sample_comes_first(tmp_path, monkeypatch):
    (tmp_path / "product_match_sample" / "encoder").mkdir(parents=True)
    (tmp_path / "product_match_sample" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert shipped_encoder() == tmp_path / "product_match_sample" / "encoder"
    assert shipped_sample() == PROJECT / SAMPLE


def test_an_encoder_and_a_sample_that_are_nowhere_are_missed_with_what_to_do(tmp_path):
    words = r"is not installed; `pip install product-match-sample` brings it, or give "
    with pytest.raises(ConfigError, match=f"the encoder that comes with the project {words}an encoder directory"):
        shipped_encoder((tmp_path / "a",))
    with pytest.raises(ConfigError, match=f"the sample catalogue .* {words}the folder of one with --sample-data"):
        shipped_sample((tmp_path / "a",))
