"""`product-match evaluate` and a round trip of the catalogue, against the live server."""

from __future__ import annotations

import json
import shutil

import pytest

from product_match_client import ProductMatchClient
from product_match_client.cli.command import main
from tests.integration.conftest import SAMPLE, sample_products

pytestmark = pytest.mark.triton


def test_a_live_server_is_measured_and_left_as_it_was(server, tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    lines = ["image,label"]
    for product in sample_products(24):
        name = f"{product['id']}.jpg"
        shutil.copy(SAMPLE / product["image"], tmp_path / "images" / name)
        lines.append(f"{name},{'garment' if product['id'] < '2' else 'grocery'}")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    monkeypatch.setenv("PRODUCT_MATCH_URL", f"grpc://{server.grpc}")
    with ProductMatchClient(f"grpc://{server.grpc}") as client:
        before = client.count()
        assert main(["evaluate", "--images", str(tmp_path), "--part", "all"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert client.count() == before
    assert report["photos"]["indexed"] + report["photos"]["queries"] == 24
    assert report["unreadable"] == 0
    assert report["copies_found_first"]["recompress"]["mean"] > 0.9
    assert 0.4 < report["image_to_image"]["precision@1"]["mean"] <= 1


def test_judged_queries_are_measured_and_a_run_does_not_differ_from_itself(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRODUCT_MATCH_URL", server.http)
    held = {product["id"] for product in sample_products()}
    lines = (SAMPLE / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = [json.loads(line) for line in lines]
    chosen = [query for query in queries if not query["accept"] or set(query["accept"]) <= held][::4]
    for query in chosen:
        if "image" in query:
            query["image"] = str(SAMPLE / query["image"])
    judged, saved, plot = (str(tmp_path / name) for name in ("queries.jsonl", "run.json", "plot.svg"))
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in chosen))
    assert main(["evaluate", "--queries", judged, "--no-baselines", "--save", saved]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["sides"].keys() >= {"words", "photo", "photo and words", "all"}
    assert 0.4 < first["kinds"]["photo"]["hit@1"]["mean"] <= 1
    assert 0 < first["false_matches"]["all"]["not_carried"] < 1
    assert main(["evaluate", "--queries", judged, "--against", saved, "--plot", plot]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["against"]["left_out"] == []
    for part in second["against"]["sides"].values():
        assert part["worse"] == part["better"] == 0
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def test_what_is_exported_loads_again_unchanged(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRODUCT_MATCH_URL", server.http)
    assert main(["export", "--output", "all.jsonl"]) == 0
    products = len((tmp_path / "all.jsonl").read_text().splitlines())
    assert main(["index", "all.jsonl"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["records"], summary["unchanged"]) == (products, products)
