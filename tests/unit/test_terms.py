"""The rows of a request as terms of one query: a mean of what is asked for, less what is not to be found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.triton.batches import BatchRequest, bytes_column
from product_match_client import operations
from product_match_client.requests import Query
from tests.fakes.encoders import SCALES
from tests.fakes.shops import MemoryShop, ids, random_products, unit, words

SHOP = MemoryShop(random_products(100, seed=9), seed=9)


def terms(*rows, **parameters):
    """Rows of a photo's vector, of words, or of both; words have a vector of their own."""
    photos = [photo if photo is not None else unit(1, 1, 1, 1) for photo, _ in rows]
    texts = [text for _, text in rows]
    tensors = {
        "image_embeds": np.stack(photos),
        "image_given": np.asarray([[photo is not None] for photo, _ in rows]),
        "text_embeds": np.stack([word_vector(text) for text in texts]),
        "text_given": np.asarray([[bool(text)] for text in texts]),
        "query_text": bytes_column([text.encode() for text in texts]),
    }
    return BatchRequest(tensors=tensors, parameters={"compose": True, **parameters}, request_id="q")


def word_vector(text):
    return unit(*np.random.default_rng(len(text)).normal(size=4))


def ask(*rows, **parameters):
    (answer,) = SHOP.ask(terms(*rows, **parameters))
    if isinstance(answer, Exception):
        raise answer
    return [json.loads(row) for row in answer["matches"][:, 0]]


def test_the_answer_is_in_the_first_row_and_the_others_say_so():
    first, *others = ask((None, "navy"), (None, "dress"), (None, "Acme"), top_k=3)
    assert (first["query_id"], len(first["matches"])) == ("q", 3)
    assert [(row["query_id"], row["composed_into"], row["matches"]) for row in others] == [
        ("q/1", "q", []),
        ("q/2", "q", []),
    ]


def test_one_term_is_what_it_is_without_compose():
    (composed,) = ask((None, "navy dress"), top_k=7)
    (plain,) = SHOP.ask(words("navy dress", word_vector("navy dress"), top_k=7))
    assert composed["matches"] == json.loads(plain["matches"][0, 0])["matches"]


def test_several_photos_are_the_mean_of_their_similarities_by_weight():
    one, two = unit(1, 2, 0, 0), unit(0, 1, 3, 1)
    (row,) = ask((one, ""), top_k=100, min_score=-10.0)
    first, _second = ask((one, ""), (two, ""), weights=(3.0, 1.0), top_k=100, min_score=-10.0)
    scale = SCALES.image_to_image
    held = {SHOP.products[point.id]["id"]: point.vectors["image"] for point in SHOP.index.points}
    for match in first["matches"]:
        vector = held[match["product_id"]]
        cosine = float(0.75 * (vector @ one) + 0.25 * (vector @ two))
        assert match["score"] == pytest.approx(
            (cosine - scale.background) / (scale.match - scale.background), abs=1e-4
        )
    assert ids(row) != ids(first)


def test_words_that_are_not_to_be_found_take_off_what_has_them():
    some, much = (
        ask((None, "dress"), (None, "navy"), weights=(1.0, -w), top_k=100)[0]["matches"] for w in (0.5, 1.5)
    )
    before = {match["product_id"]: match["score"] for match in some}
    for match in much:
        if match["product"]["color"] == "navy":
            assert match["score"] <= before[match["product_id"]] - 0.6
    navy = [sum(match["product"]["color"] == "navy" for match in matches[:30]) for matches in (some, much)]
    assert navy[1] < navy[0]


def test_why_says_what_was_taken_off():
    first, _ = ask((None, "dress"), (None, "navy"), weights=(1.0, -0.5), explain=True, top_k=100)
    taken = {m["product"]["color"]: m["explain"]["similarity"].get("negatives", 0) for m in first["matches"]}
    assert taken["navy"] >= 0.4


@pytest.mark.parametrize("fusion", ["rrf", "minmax", "dbsf"])
def test_every_fusion_takes_negatives_off(fusion):
    first, _ = ask((None, "dress"), (None, "navy"), weights=(1.0, -5.0), fusion=fusion)
    assert "navy" not in {match["product"]["color"] for match in first["matches"][:3]}


def test_products_are_terms_beside_rows():
    first, _ = ask((None, "dress"), (None, "navy"), weights=(1.0, -0.5), like=("p1",), unlike=("p2",), top_k=100)
    assert not {"p1", "p2"} & set(ids(first))


@pytest.mark.parametrize(
    ("rows", "parameters", "said"),
    [
        (2, {"weights": (1.0,)}, "weights: 1 came for 2 terms; give one for each row"),
        (
            2,
            {"weights": (-1.0, 0.0)},
            "weights: none is above 0, so nothing is asked for; give",
        ),
        (17, {}, "compose: 17 terms, the limit is 16; leave out the least"),
        (
            1,
            {"compose": False, "weights": (1.0,)},
            "weights: these are of the terms of one query; give `comp",
        ),
    ],
)
def test_terms_that_cannot_be_are_refused_alone(rows, parameters, said):
    good, failed = SHOP.ask(words("navy dress"), terms(*[(None, "dress")] * rows, **parameters))
    assert isinstance(failed, InvalidRequestError)
    assert said in str(failed)
    assert json.loads(good["matches"][0, 0])["matches"]


def test_a_term_of_nothing_is_named():
    with pytest.raises(InvalidRequestError, match="row 1: no photo and no words came"):
        ask((None, "dress"), (None, ""))


def test_a_client_sends_terms_and_reads_the_first_row():
    operation = operations.compose([Query(text="a"), Query(text="b")], {"top_k": 3, "weights": [1, -0.5]})
    assert operation.request.parameters == {"top_k": 3, "weights": "1,-0.5", "compose": True}
    rows = [{"query_id": "q", "encoder": "e", "matches": []}, {"query_id": "q/1", "encoder": "e", "matches": []}]
    assert operation.read([json.dumps(row).encode() for row in rows]).query_id == "q"
