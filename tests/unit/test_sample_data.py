"""The sample catalogue is whole: its fields, photos, provenance and licences."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from product_match.contract.products import check_product
from product_match.evaluation.split import Part, part_of

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
PRODUCT_FIELDS = {
    "id": str,
    "sku": str,
    "name": str,
    "brand": str,
    "category": str,
    "color": str,
    "price": float,
    "description": str,
    "image": str,
    "attributes": dict,
}
PHOTO_SETS = {"clothing", "groceries"}
OTHER_SETS = {"gcompris", "scikit-image", "scikit-learn", "scipy", "stdlib"}
FREE = {"CC0 1.0", "CC BY 2.0", "public domain", "no known copyright restrictions"}
CATEGORIES = {
    "Baby", "Blazers", "Blouses", "Coats", "Dresses", "Hats", "Hoodies", "Jackets", "Jeans", "Knitwear",
    "Long Sleeves", "Polo Shirts", "Shirts", "Shoes", "Shorts", "Skirts", "T-Shirts", "Tops", "Trousers",
    "Dairy Alternatives", "Fruit", "Juice", "Milk", "Vegetables", "Yoghurt & Sour Milk",
}  # fmt: skip


def read_lines(name):
    text = (SAMPLE_DATA / name).read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def products():
    return read_lines("products.jsonl")


@pytest.fixture(scope="module")
def queries():
    return read_lines("queries.jsonl")


@pytest.fixture(scope="module")
def provenance():
    with (SAMPLE_DATA / "provenance.csv").open(encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_there_are_at_least_150_products_and_320_queries(products, queries):
    assert len(products) >= 150
    assert len(queries) >= 320


def test_every_product_has_every_field_in_order_and_of_its_type(products):
    for product in products:
        assert list(product) == list(PRODUCT_FIELDS), product["id"]
        for name, kind in PRODUCT_FIELDS.items():
            assert isinstance(product[name], kind), (product["id"], name)
            assert product[name] != "", (product["id"], name)
        assert product["price"] > 0, product["id"]
        assert product["category"] in CATEGORIES, product["id"]
        assert product["color"].isalpha() and product["color"].islower(), product["id"]
        assert all(isinstance(value, str | int | float) for value in product["attributes"].values()), product["id"]


def test_every_product_is_accepted_by_the_contract(products):
    for product in products:
        assert check_product(product) == product


@pytest.mark.parametrize("field", ["id", "sku", "name", "image", "description"])
def test_no_two_products_share(field, products):
    values = [product[field] for product in products]
    assert len(set(values)) == len(values)


def test_every_photo_decodes_and_has_the_hash_that_provenance_gives(provenance):
    for name, row in provenance.items():
        path = SAMPLE_DATA / name
        assert sha256_of(path) == row["sha256"], name
        with Image.open(path) as image:
            image.load()
            assert image.format == "JPEG", name
            assert min(image.size) >= 200, name
            assert not image.getexif(), name


def test_provenance_names_exactly_the_photos_that_are_used_and_present(products, queries, provenance):
    used = {product["image"] for product in products} | {query["image"] for query in queries if "image" in query}
    present = {path.relative_to(SAMPLE_DATA).as_posix() for path in SAMPLE_DATA.glob("*/*.jpg")}
    assert used == present == set(provenance)


def test_every_catalogue_photo_is_used_once_and_a_query_photo_is_named_by_the_first_that_uses_it(products, queries):
    names = [product["image"] for product in products]
    assert len(set(names)) == len(names)
    first = {}
    for query in queries:
        if "image" in query:
            first.setdefault(query["image"], query["id"])
    assert all(name == f"queries/{query}.jpg" for name, query in first.items())


def test_no_query_photo_is_in_the_catalogue(products, queries):
    catalogue = {sha256_of(SAMPLE_DATA / product["image"]) for product in products}
    assert len(catalogue) == len(products)
    for query in queries:
        if "image" in query:
            assert sha256_of(SAMPLE_DATA / query["image"]) not in catalogue, query["id"]


def test_query_photos_are_from_the_test_part_and_catalogue_photos_are_not(provenance):
    for name, row in provenance.items():
        if row["source_set"] in PHOTO_SETS:
            is_test = part_of(row["source_file"].split("/")[-1]) is Part.TEST
            assert is_test == name.startswith("queries/"), name


def test_photos_of_other_projects_show_only_what_is_not_carried(queries, provenance):
    assert {row["source_set"] for row in provenance.values()} == PHOTO_SETS | OTHER_SETS
    not_carried = {query["image"] for query in queries if query["kind"] == "not_carried_photo"}
    others = {name for name, row in provenance.items() if row["source_set"] in OTHER_SETS}
    assert others == not_carried
    for name in others:
        with Image.open(SAMPLE_DATA / name) as image:
            assert min(image.size) <= 400, name


def test_the_licences_lie_beside_the_photos():
    cc0 = (SAMPLE_DATA / "licences" / "clothing-CC0.txt").read_text(encoding="utf-8")
    mit = (SAMPLE_DATA / "licences" / "groceries-MIT.txt").read_text(encoding="utf-8")
    assert "CC0 1.0 Universal" in cc0
    assert "MIT License" in mit
    assert "Copyright (c) 2019 Marcus Klasson" in mit


def test_every_photo_of_other_projects_has_its_author_a_free_licence_and_its_source(queries):
    with (SAMPLE_DATA / "licences" / "not-carried.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [
        query["image"] for query in queries if query["kind"] == "not_carried_photo"
    ]
    for row in rows:
        assert row["author"] and row["source"], row["image"]
        assert row["licence"] in FREE, row["image"]


def test_the_readme_states_the_counts_that_the_files_have(products, queries, provenance):
    readme = (SAMPLE_DATA / "README.md").read_text(encoding="utf-8")
    garments = sum(product["id"].startswith("1") for product in products)
    sets = [row["source_set"] for name, row in provenance.items() if name.startswith("queries/")]
    assert f"{len(products)} products ({garments} garments, {len(products) - garments} groceries)" in readme
    assert f"{len(queries)} queries" in readme
    for kind, count in Counter(query["kind"] for query in queries).items():
        assert f"| `{kind}` | {count} |" in readme, kind
    assert f"{garments} products, {sets.count('clothing')} queries" in readme
    assert f"{len(products) - garments} products, {sets.count('groceries')} queries" in readme
    for name in OTHER_SETS:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |"))
        assert re.search(rf"\| {sets.count(name)} quer(y|ies) \|$", row), name


def test_the_sample_data_stays_below_14_megabytes():
    assert sum(path.stat().st_size for path in SAMPLE_DATA.rglob("*") if path.is_file()) < 14_000_000
