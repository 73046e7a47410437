from __future__ import annotations

import io
import json
import sys

import pytest
from PIL import Image

from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part, Role, role_of
from product_match_client.cli.command import main
from product_match_client.cli.evaluation.labelled_photos import labelled_photos, words
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal

COLOURS = {"Red_Shirt": (200, 0, 0), "Hat": (0, 0, 200)}


def photo(colour, number):
    """A photo of its own for each number, as the fake server tells photos by their bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (32 + number, 32), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/images").mkdir(parents=True)
    lines = ["image,label"]
    for number in range(24):
        label = list(COLOURS)[number % 2]
        name = f"photo{chr(97 + number)}.png"
        (tmp_path / "photos/images" / name).write_bytes(photo(COLOURS[label], number))
        lines.append(f"{name},{label}")
    (tmp_path / "photos/images.csv").write_text("\n".join(lines))
    return tmp_path / "photos"


@pytest.fixture
def server(monkeypatch):
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        server.entries["1"] = {"id": "1", "rev": 1, "content_hash": "x", "product": {"id": "1", "name": "Coat"}}
        yield server


def names(folder, role):
    return [path.name for path in (folder / "images").iterdir() if role_of(path.name) is role]


def test_a_server_is_measured_and_left_as_it_was(folder, server, capsys):
    assert main(["evaluate", "--images", "photos", "--part", "all"]) == 0
    report = json.loads(capsys.readouterr().out)
    indexed, asked = names(folder, Role.INDEX), names(folder, Role.QUERY)
    assert report["photos"] == {"indexed": len(indexed), "queries": len(asked)}
    assert (report["encoder"], report["part"], report["folder"], report["unreadable"]) == (
        "fake@1",
        "all",
        "photos",
        0,
    )
    assert report["text_to_image"]["precision@1"]["mean"] == 1.0
    assert set(report["text_to_image"]["labels"]) == set(COLOURS)
    assert set(report["copies_found_first"]) == {"all", "crop", "flip", "recompress", "rescale"}
    assert report["copies_found_first"]["all"]["count"] == 4 * len(indexed)
    assert list(server.entries) == ["1"]


def test_only_the_photos_of_the_evaluation_are_searched(folder, server):
    assert main(["evaluate", "--images", "photos", "--part", "all", "--no-copies"]) == 0
    filters = {query["filter"] for query in server.queries}
    assert len(filters) == 1
    assert json.loads(filters.pop())["category"].startswith("evaluation ")
    assert {query["fields"] for query in server.queries} == {"label"}


def test_a_person_gets_tables(folder, server, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["evaluate", "--images", "photos", "--part", "all"]) == 0
    text = terminal.getvalue()
    assert text.startswith("fake@1: ")
    assert "text to image       precision@1                 1.000  1.000 to 1.000" in text
    assert "copies found first  flip" in text
    assert "Red_Shirt" in text


def test_photos_that_cannot_be_read_are_counted_and_left_out(folder, server, capsys):
    (folder / "images" / min(names(folder, Role.QUERY))).write_bytes(b"not a photo")
    (folder / "images" / min(names(folder, Role.INDEX))).unlink()
    assert main(["evaluate", "--images", "photos", "--part", "all", "--no-copies"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["unreadable"] == 2
    assert report["photos"]["indexed"] == len(names(folder, Role.INDEX))
    queries = sum(label["queries"] for label in report["image_to_image"]["labels"].values())
    assert queries == len(names(folder, Role.QUERY)) - 1


def test_what_a_killed_evaluation_left_is_removed_first(folder, server):
    main(["evaluate", "--images", "photos", "--part", "all", "--no-copies"])
    category = json.loads(str(server.queries[0]["filter"]))["category"]
    server.entries["old"] = {
        "id": "old",
        "rev": 1,
        "content_hash": "x",
        "product": {"category": category, "label": "Hat"},
    }
    assert main(["evaluate", "--images", "photos", "--part", "all", "--no-copies"]) == 0
    assert list(server.entries) == ["1"]


def test_an_evaluation_that_fails_cleans_up(folder, server, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "product_match.evaluation.copies", None)
    assert main(["evaluate", "--images", "photos", "--part", "all"]) == 1
    assert "changed copies of photos need Pillow (" in capsys.readouterr().err
    assert list(server.entries) == ["1"]


def test_a_folder_without_a_table_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"images\.csv cannot be read \(No such file or directory\); give a folder"):
        labelled_photos(tmp_path, list(Part))


def test_a_table_without_its_columns_is_told(tmp_path):
    (tmp_path / "images.csv").write_text("file,label\na.jpg,Hat\n")
    with pytest.raises(ConfigError, match=r"images\.csv has no column 'image'; it needs the columns image and label"):
        labelled_photos(tmp_path, list(Part))


def test_too_few_photos_of_a_part_are_told(tmp_path):
    (tmp_path / "images.csv").write_text("image,label\na.jpg,Hat\n")
    with pytest.raises(ConfigError, match=r"\d of 1 photos are in the part test, too few to index some and ask for"):
        labelled_photos(tmp_path, [Part.TEST])


def test_a_label_becomes_words():
    assert words("a photo of a {}", "Red_Shirt") == "a photo of a red shirt"
