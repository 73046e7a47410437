"""The `ensemble-builder` command: help, results, exit codes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from ensemble_builder import build as building
from ensemble_builder import engines
from ensemble_builder.command import main
from ensemble_builder.report import BuildReport, read_report, table
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, ParityError


@pytest.mark.parametrize("command", ["build", "engines", "verify", "inspect", "check", "contract"])
def test_help_shows_an_example_of_each_command(capsys, command):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"example: ensemble-builder {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments", [[], ["bake"], ["build"], ["build", "--checkpoint", "x", "--text-buckets", "a,b"], ["engines"]]
)
def test_misuse_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: ensemble-builder" in capsys.readouterr().err


def test_a_failed_build_exits_with_1_and_says_why(capsys):
    assert main(["build", "--checkpoint", "./nowhere"]) == 1
    assert capsys.readouterr().err.endswith("or a hub id such as openai/clip-vit-base-patch32\n")


def test_a_check_outside_a_checkout_says_so(capsys, tmp_path):
    assert main(["contract", "--project", str(tmp_path)]) == 1
    assert (
        "is not the project's folder, as it has no default_encoder/embedded; run this in" in capsys.readouterr().err
    )


def test_without_torch_a_build_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensemble_builder.build", None)
    assert main(["build", "--checkpoint", "./nowhere"]) == 1
    error = capsys.readouterr().err
    assert "building needs more than serving (" in error
    assert "install it with `pip install 'product-match[export]'`" in error


def test_inspect_shows_declaration_files_and_checks(capsys, clip_encoder):
    assert main(["inspect", str(clip_encoder.directory)]) == 0
    words = capsys.readouterr().out
    assert "family           clip" in words
    assert "image_encoder.onnx" in words
    assert "images against transformers, lowest cosine" in words
    assert main(["inspect", str(clip_encoder.directory), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["encoder"]["revision"] == clip_encoder.spec.revision
    assert result["build"]["checks"][0]["passed"] is True


def test_inspect_of_another_directory_fails(capsys, tmp_path, clip_copy):
    assert main(["inspect", str(tmp_path / "nothing")]) == 1
    assert "is not an encoder directory" in capsys.readouterr().err
    (clip_copy / "build.json").write_text("{")
    with pytest.raises(ConfigError, match=r"build.json cannot be read .*build the encoder directory again"):
        read_report(clip_copy)


def test_build_hands_its_options_on_and_prints_the_result(capsys, monkeypatch, clip_encoder, tmp_path):
    asked = []

    def pretend(request, report):
        asked.append(request)
        report.at_least("likeness", 0.99999, 0.9999, 3)
        report.note_figure("worst photo", 0.5, 3)
        report.notes.append("a note")
        return clip_encoder.spec, report

    monkeypatch.setattr(building, "build", pretend)
    monkeypatch.setattr("ensemble_builder.command.read_report", lambda out: read_report(clip_encoder.directory))
    photos, words = tmp_path / "photos", tmp_path / "words.csv"
    arguments = ["build", "--checkpoint", "some/model", "--target", "tensorrt", "--precision", "fp16", "--json"]
    options = ["--text-buckets", "8,77", "--photos", str(photos), "--captions", str(words), "--max-batch-size", "32"]
    assert main(arguments + options) == 0
    request = asked[0]
    assert request.out == Path("encoders/model-tensorrt-fp16")
    assert (request.text_buckets, request.max_batch_size, request.photos, request.captions) == (
        (8, 77),
        32,
        photos,
        words,
    )
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["encoder"] == clip_encoder.spec.identity
    assert result["checks"][0] == {
        "name": "likeness",
        "samples": 3,
        "value": 0.99999,
        "limit": ">= 0.9999",
        "passed": True,
        "required": True,
    }
    assert "likeness           3  0.99999  >= 0.9999  ok" in printed.err
    assert "note: a note" in printed.err


def test_a_check_that_failed_is_marked_in_the_table():

    report = BuildReport()
    report.section("INT8")
    report.at_most("loss", 0.2, 0.01, 200)
    checks = [vars(check) for check in report.checks]
    assert table(checks, []).splitlines()[1].split() == ["INT8:", "loss", "200", "0.2", "<=", "0.01", "FAILED"]


def test_engines_are_built_or_checked(capsys, monkeypatch, tmp_path):
    plan = tmp_path / "image_encoder_x.plan"
    monkeypatch.setattr(engines, "make_engines", lambda directory: {"image_encoder": plan})
    assert main(["engines", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "image_encoder_x.plan\n"
    assert main(["engines", "--directory", str(tmp_path), "--check"]) == 1
    assert "is not an encoder directory" in capsys.readouterr().err


@pytest.fixture
def project(tmp_path, clip_encoder):
    """A project of the tiny CLIP with nothing generated yet."""
    (tmp_path / "README.md").write_text("# Product Match\n")
    (tmp_path / "default_encoder").mkdir()
    (tmp_path / "clients" / "product_match_client").mkdir(parents=True)
    shutil.copytree(clip_encoder.directory, tmp_path / "default_encoder" / "embedded")
    return tmp_path


def test_check_finds_what_drifted_and_writes_it_anew(capsys, project):
    arguments = ["contract", "--project", str(project)]
    assert main(arguments) == 1
    assert "differs from the contract: model_repository/retrieval/config.pbtxt" in capsys.readouterr().out
    assert main([*arguments, "--write", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] is True
    assert main(arguments) == 0
    assert capsys.readouterr().out == "everything fits the contract\n"


def test_what_is_committed_fits_the_contract(capsys):
    assert main(["contract"]) == 0


def test_the_shipped_encoders_are_of_the_shipped_checkpoint():
    from ensemble_builder.checkpoint import open_checkpoint

    report = json.loads(Path("default_encoder/embedded/build.json").read_text())
    assert report["checkpoint"]["weights_sha256"] == open_checkpoint("default_encoder").weights_sha256
    assert report["encoder"] == load_encoder(Path("default_encoder/embedded")).identity
    assert all(check["passed"] for check in report["checks"])


def test_a_build_that_fails_shows_its_figures_and_why(capsys, monkeypatch):
    def refuse(request, report):
        report.at_least("likeness", 0.5, 0.9999, 3)
        raise ParityError("values differ")

    monkeypatch.setattr(building, "build", refuse)
    assert main(["build", "--checkpoint", "x"]) == 1
    words = capsys.readouterr().err
    assert words.endswith("ensemble-builder: values differ\n")
    assert "likeness        3    0.5  >= 0.9999  FAILED" in words
