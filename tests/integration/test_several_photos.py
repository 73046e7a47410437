"""A product with several photos on the live server: any of them finds it first, and it comes once."""

from __future__ import annotations

import base64
import json

import pytest

from product_match_client.cli.command import main
from product_match_client.client import ProductMatchClient
from tests.integration.conftest import SAMPLE

pytestmark = pytest.mark.triton

# Photos of no product of the sample, which other tests may have loaded.
PHOTOS = sorted((SAMPLE / "queries").glob("*.jpg"))[:6]


def ids(row):
    return [match["product_id"] for match in row["matches"]]


@pytest.fixture
def removed(server):
    """Ids of products that a test leaves behind, which others must not meet."""
    left = []
    yield left
    with ProductMatchClient(server.http) as client:
        client.delete(left, wait=True)


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_any_photo_of_a_product_finds_it_first_and_once(server, removed, wire):
    removed += ["several", "one"]
    address = server.http if wire == "http" else f"grpc://{server.grpc}"
    with ProductMatchClient(address) as client:
        receipt = client.index({"id": "several", "name": "Six of one"}, image=PHOTOS[:5], wait=True)
        client.index({"id": "one", "name": "One of six"}, image=PHOTOS[5], wait=True)
        assert (receipt.product_id, receipt.status) == ("several", "created")
        for photo in PHOTOS[:5]:
            found = [match.product_id for match in client.match(photo, top_k=20).matches]
            assert found[0] == "several"
            assert len(set(found)) == len(found)
        assert client.match(PHOTOS[5]).matches[0].product_id == "one"
        both = client.match(PHOTOS[3], "one of six", top_k=20).matches
        assert {match.product_id for match in both} >= {"several", "one"}
        assert client.index({"id": "several", "name": "Six of one"}, image=PHOTOS[:5]).status == "unchanged"
        fewer = client.index({"id": "several", "name": "Six of one"}, image=PHOTOS[:2], wait=True)
        assert fewer.status == "updated"
        assert client.match(PHOTOS[4]).matches[0].score < 0.999
        (result,) = client.update([{"id": "several", "price": 3.5}], wait=True)
        assert result["status"] == "updated"
        assert client.match(PHOTOS[1]).matches[0].product["price"] == 3.5
        assert client.verify()["in_step"]


def test_further_photos_are_rows_of_the_same_request(server, removed):
    removed.append("rows")
    columns = {
        "product": [b'{"id": "rows", "name": "Rows"}', b'{"image_of": "rows"}'],
        "image_bytes": [photo.read_bytes() for photo in PHOTOS[:2]],
        "query_text": [b"Rows", b""],
    }
    receipts = server.infer("product_index", columns, wait=True)
    assert [(receipt["id"], receipt["rev"]) for receipt in receipts] == [("rows", 1), ("rows", 1)]
    for photo in columns["image_bytes"]:
        assert ids(server.infer("product_match_image", {"image_bytes": [photo]})[0])[0] == "rows"


def test_all_photos_come_back_in_an_export_and_load_again_as_they_are(server, removed, tmp_path, monkeypatch, capsys):
    removed += ["bag", "cap"]
    monkeypatch.chdir(tmp_path)
    for name, source in zip(("bag/1.jpg", "bag/2.jpg", "cap.jpg"), PHOTOS, strict=False):
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_bytes(source.read_bytes())
    load = ["index", "shop", "--group-photos", "folder", "--wait", "--url", server.http]
    assert main(load) == 0
    assert json.loads(capsys.readouterr().out)["created"] == 2
    assert main(["export", "--output", "all.jsonl", "--url", server.http]) == 0
    lines = {line["id"]: line for line in map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())}
    assert [base64.b64decode(photo) for photo in lines["bag"]["image_base64"]] == [
        photo.read_bytes() for photo in PHOTOS[:2]
    ]
    capsys.readouterr()
    assert main(["index", "all.jsonl", "--url", server.http]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["unchanged"] == summary["records"] == len(lines)
