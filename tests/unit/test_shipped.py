"""Where the models' adapters are looked for; `.ci/image-install` installs a wheel and looks in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from product_match.contract.errors import ConfigError
from product_match.repository.shipped import shipped_adapters

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
