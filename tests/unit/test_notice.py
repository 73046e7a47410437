"""Every shipped file of another's has a line in NOTICE, with the licence that the set of photos has."""

from __future__ import annotations

import csv
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from product_match.repository.shipped import ENCODER, SAMPLE

PROJECT = Path(__file__).parents[2]
# Folders whose files go into a wheel beside the Python files.
SHIPPED = (SAMPLE, ENCODER, "product_match/words")
# Written or trained here. What is new in those folders is somebody's: here, or a line in NOTICE.
OWN = (
    "sample_data/*.jsonl",
    "sample_data/README.md",
    "sample_data/provenance.csv",
    "sample_data/licences/*",
    "default_encoder/embedded/build.json",
    "default_encoder/embedded/encoder.json",
    "default_encoder/embedded/*.onnx",
    "default_encoder/embedded/reference.npz",
    "product_match/words/english_groups.txt",
    "product_match/words/wordnet-license.txt",
)
# The words of a set's licence in the text that NOTICE names for it.
LICENCES = {
    "CC0-1.0": "CC0 1.0 Universal",
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "WordNet 3.0": "WordNet 3.0 Copyright 2006 by Princeton University",
}
# What the file of a photo's author and source calls its licence.
ALSO_CALLED = {"CC0 1.0": "CC0-1.0", "CC BY 2.0": "CC-BY-2.0", "no known copyright restrictions": "public domain"}


def notice_lines():
    """The lines of the table: files, set, licence, whose."""
    table = (PROJECT / "NOTICE").read_text(encoding="utf-8").split("\nfiles ")[1].split("\n\n")[0]
    return [re.split(r"\s{2,}", line, maxsplit=3) for line in table.splitlines()[1:]]


def shipped_files():
    for folder in SHIPPED:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                yield path.relative_to(PROJECT).as_posix()


@pytest.fixture(scope="module")
def sets():
    """The set of each photo; files of no set have `-`."""
    with (PROJECT / SAMPLE / "provenance.csv").open(encoding="utf-8", newline="") as file:
        return {f"{SAMPLE}/{row['image']}": row["source_set"] for row in csv.DictReader(file)}


def test_every_shipped_file_of_anothers_has_a_line(sets):
    lines = notice_lines()
    missing = [
        name
        for name in shipped_files()
        if not any(fnmatch(name, own) for own in OWN)
        and not any(fnmatch(name, files) and sets.get(name, "-") == kind for files, kind, _, _ in lines)
    ]
    assert missing == []


def test_every_line_is_about_files_that_are_shipped_and_names_their_licence(sets):
    names = list(shipped_files())
    for files, kind, licence, whose in notice_lines():
        assert any(fnmatch(name, files) and sets.get(name, "-") == kind for name in names), files
        held = PROJECT / re.search(r" in (\S+)$", whose)[1]
        if held.suffix != ".csv":
            assert LICENCES[licence] in held.read_text(encoding="utf-8")
            continue
        with held.open(encoding="utf-8", newline="") as file:
            called = {row["licence"] for row in csv.DictReader(file) if sets[f"{SAMPLE}/{row['image']}"] == kind}
        assert {ALSO_CALLED.get(name, name) for name in called} == set(licence.split(" or ")), kind


def test_the_licence_is_the_one_that_the_readme_and_the_distributions_name():
    assert "Apache License\n                           Version 2.0, January 2004" in (PROJECT / "LICENSE").read_text()
    assert "under Apache-2.0" in (PROJECT / "README.md").read_text(encoding="utf-8")
    for folder in (PROJECT, PROJECT / "distributions" / "product-match-sample"):
        named = re.search(r'^license = "(.*?)"', (folder / "pyproject.toml").read_text(), re.MULTILINE)[1]
        inside = [line for line in notice_lines() if line[0].startswith("product_match/") == (folder == PROJECT)]
        others = {part for _, _, licence, _ in inside for part in licence.split(" or ")}
        expected = {"LicenseRef-WordNet-3.0" if name == "WordNet 3.0" else name for name in others}
        assert {*named.split(" AND ")} == {"Apache-2.0", *expected} - {"public domain"}
