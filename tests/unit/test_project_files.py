"""What GitHub, pre-commit and newcomers read fits the project: versions, commands and paths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[2]
WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
# Paths that a page names and a checkout does not have.
MADE = {"dist/"}


def read(name):
    return (PROJECT / name).read_text(encoding="utf-8")


def test_the_workflow_runs_what_a_developer_runs_on_every_version():
    job = YAML(typ="safe").load(WORKFLOW)["jobs"]["test"]
    assert any(step.get("run", "").endswith(".ci/run") for step in job["steps"])
    least, above = map(int, re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', read("pyproject.toml")).groups())
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(least, above)]


@pytest.mark.parametrize(
    ("schema", "file"), [("github-workflows", WORKFLOW), ("dependabot", PROJECT / ".github" / "dependabot.yml")]
)
def test_what_github_reads_fits_its_schema(schema, file):
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([check, "--builtin-schema", f"vendor.{schema}", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def hook_entries():
    repos = YAML(typ="safe").load(read(".pre-commit-config.yaml"))["repos"]
    return [hook["entry"].removeprefix(".venv/bin/").split() for repo in repos for hook in repo["hooks"]]


def test_pre_commit_has_the_formatter_and_the_linter_of_make_test():
    tested = re.findall(r"^\t\$\(BIN\)/(ruff \w+)", read("Makefile"), re.MULTILINE)
    assert set(tested) == {" ".join(entry) for entry in hook_entries() if entry[0] == "ruff"}


def test_pre_commit_compares_what_is_generated_with_the_contract():
    (entry,) = [entry for entry in hook_entries() if entry[0] != "ruff"]
    done = subprocess.run([Path(sys.executable).with_name(entry[0]), *entry[1:]], cwd=PROJECT, capture_output=True)
    assert done.stdout == b"everything fits the contract\n", done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page):
    paths = re.findall(r"`([\w.<>-]+/[\w.<>/-]*)`", read(page))
    assert len(paths) > 3
    for path in set(paths) - MADE:
        assert list(PROJECT.glob(re.sub("<.*?>", "*", path.rstrip("/")))), path


def test_the_names_that_the_traces_lead_to_are_where_they_say():
    """A step begins with the file and then names what is in it."""
    steps = re.findall(r"^\d\. `([\w/]+\.py)`(.*(?:\n   .*)*)", read("docs/architecture.md"), re.MULTILINE)
    assert len(steps) >= 6
    for file, words in steps:
        text = read(file)
        for name in re.findall(r"`(?:\w+\.)?(\w+)`", words):
            assert name in text or any(name in path.read_text() for path in (PROJECT / file).parent.glob("*.py")), (
                name
            )


def test_the_changelog_knows_the_version():
    version = re.search(r'^version = "(.*)"$', read("pyproject.toml"), re.MULTILINE)[1]
    assert re.search(rf"^## {re.escape(version)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_what_make_test_serving_runs_imports_no_torch():
    """`make test-serving` leaves tests/export out, and has no torch to import."""
    assert "pytest --ignore tests/export\n" in read("Makefile")
    heavy = {"torch", "transformers", "safetensors", "sentencepiece", "onnxscript", "huggingface_hub"}
    fakes = PROJECT / "tests" / "fakes"
    imports = {path: top_level_imports(path) for path in (PROJECT / "tests").rglob("*.py")}
    heavy |= {f"tests.fakes.{path.stem}" for path in fakes.glob("*.py") if imports[path] & heavy}
    tests = [path for path in imports if path.parent not in (fakes, PROJECT / "tests" / "export")]
    assert len(tests) > 80
    assert {str(path): sorted(imports[path] & heavy) for path in tests if imports[path] & heavy} == {}


def top_level_imports(path):
    """The modules that a file imports when it is imported, and the packages they are in."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names | {name.split(".")[0] for name in names}
