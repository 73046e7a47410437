"""What is in the wheels is enough: the demo and the builder run in an empty folder."""

from __future__ import annotations

import json

import pytest

from tests.packaging.conftest import PROJECT

pytestmark = pytest.mark.triton

PRODUCTS = len((PROJECT / "sample_data" / "products.jsonl").read_text(encoding="utf-8").splitlines())


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_there_is_a_wheel_of_the_code_and_a_heavy_one_of_the_sample(installed):
    sizes = {wheel.name.split("-")[0]: wheel.stat().st_size for wheel in installed.wheels}
    assert sizes.keys() == {"product_match", "product_match_sample"}
    assert sizes["product_match"] < 1_000_000
    assert sizes["product_match_sample"] < 100_000_000  # what the package index takes without asking


def test_nothing_in_the_environment_is_the_checkouts(installed, empty):
    code = (
        "import product_match, product_match_client, ensemble_builder, product_match_sample as sample;"
        "from product_match.repository.shipped import *;"
        "print(product_match.__file__, product_match_client.__file__, ensemble_builder.__file__, sample.__file__,"
        "      shipped_adapters(), shipped_encoder(), shipped_sample(), sep='\\n')"
    )
    places = installed.run("python", "-c", code, folder=empty).stdout.splitlines()
    assert len(places) == 7
    assert all(place.startswith(str(installed.binaries.parent)) for place in places)


def test_the_demo_runs_in_an_empty_folder(installed, empty):
    ports = [word for name in ("http", "grpc", "metrics") for word in (f"--{name}-port", "0")]
    done = installed.run("product-match", "demo", *ports, folder=empty)
    assert done.returncode == 0, done.stderr
    assert f"{PRODUCTS} created, 0 updated, 0 unchanged, 0 rejected" in done.stderr
    assert done.stdout.count("rank  score") == 3
    assert str(PROJECT) not in done.stdout + done.stderr
    assert [path.name for path in empty.iterdir()] == [".state"]


def test_the_builder_finds_what_it_needs_in_an_empty_folder(installed, empty):
    """A whole build takes torch and a minute; `.ci/wheels` does one."""
    code = (
        "from pathlib import Path; from ensemble_builder.photos import sample_photos;"
        "from ensemble_builder.repository import assemble_embedded;"
        "from product_match.contract.encoder import load_encoder;"
        "from product_match.repository.shipped import shipped_encoder;"
        "assemble_embedded(load_encoder(shipped_encoder()), Path()); print(len(sample_photos()))"
    )
    assert installed.run("python", "-c", code, folder=empty).stdout == f"{PRODUCTS}\n"
    models = [path.parents[1].name for path in (PROJECT / "model_repository").glob("*/1/model.py")]
    assert {path.parents[1].name for path in empty.glob("model_repository/*/1/model.py")} == set(models)
    encoder = next(installed.binaries.parent.glob("lib/*/site-packages/product_match_sample/encoder"))
    shown = installed.run("ensemble-builder", "inspect", encoder, "--json", folder=empty)
    assert json.loads(shown.stdout)["encoder"]["name"]
