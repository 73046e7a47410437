"""What is generated and committed does not drift from the contract."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from product_match.contract.errors import ConfigError
from product_match.contract.models import composing_models, ensembles
from product_match.contract.options import ALL_OPTIONS
from product_match.repository.generated import CLIENT_OPTIONS, stale_files, write_generated
from product_match.repository.tables import TABLES, filled
from tests.fakes.encoders import encoder_spec

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    for name in ("default_encoder/embedded", "model_repository", "docs"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "*.onnx"))
    shutil.copy(PROJECT / "README.md", tmp_path / "README.md")
    (tmp_path / CLIENT_OPTIONS).parent.mkdir(parents=True)
    return tmp_path


def test_nothing_that_is_committed_is_stale():
    assert stale_files(PROJECT) == []


def test_drift_is_named_and_written_away(copy):
    (copy / "README.md").write_text("<!-- table: limits -->\nold\n<!-- end -->\n")
    (copy / "model_repository" / "retrieval" / "config.pbtxt").write_text("old")
    assert stale_files(copy) == ["model_repository/retrieval/config.pbtxt", str(CLIENT_OPTIONS), "README.md"]
    write_generated(copy)
    assert stale_files(copy) == []
    assert "50,000,000" in (copy / "README.md").read_text()
    assert (copy / CLIENT_OPTIONS).read_text() == (PROJECT / CLIENT_OPTIONS).read_text()


def test_the_tables_name_everything_that_is_declared():
    encoder = encoder_spec()
    for model in composing_models(encoder):
        assert f"`{model.name}`" in TABLES["models"](encoder)
        for tensor in (*model.inputs, *model.outputs):
            assert f"`{tensor.name}`" in TABLES["tensors"](encoder)
    for ensemble in ensembles(encoder):
        assert f"`{ensemble.name}`" in TABLES["ensembles"](encoder)
    for option in ALL_OPTIONS:
        assert f"`{option.name}`" in TABLES["options"](encoder)
    assert "PRODUCT_MATCH_MONGODB_URI" in TABLES["settings"](encoder)


def test_text_outside_the_marks_stays():
    text = "before\n<!-- table: limits -->\n<!-- end -->\nafter\n"
    assert filled(text, encoder_spec()).startswith("before\n<!-- table: limits -->\n| what | limit |")
    assert filled(text, encoder_spec()).endswith("<!-- end -->\nafter\n")
    assert filled(filled(text, encoder_spec()), encoder_spec()) == filled(text, encoder_spec())


def test_a_mark_that_names_no_table_is_an_error():
    with pytest.raises(ConfigError, match="`<!-- table: nothing -->` names no table; known are ensembles"):
        filled("<!-- table: nothing -->\n<!-- end -->", encoder_spec())
