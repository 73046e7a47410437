"""A whole Triton batch is one search and one document query; the ranking is exact and stable."""

from __future__ import annotations

import json

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.service import RetrievalService
from product_match.triton.batches import BatchRequest
from product_match.vectors.vector_index import Hit
from tests.fakes.encoders import encoder_spec


class Index:
    """Brute force over a few products, as a vector index answers."""

    def __init__(self, products):
        self.products = products
        self.calls = 0

    def search(self, queries):
        self.calls += 1
        return [self._one(query) for query in queries]

    def _one(self, query):
        there = {key: vectors for key, vectors in self.products.items() if query.vector_name in vectors}
        hits = [
            Hit(key, float(vectors[query.vector_name] @ query.vector), vectors if query.with_vectors else {})
            for key, vectors in there.items()
        ]
        return sorted(hits, key=lambda hit: -hit.score)[: query.limit]


class Documents:
    def __init__(self, missing=()):
        self.missing = set(missing)
        self.calls = []

    def fetch(self, ids):
        self.calls.append(list(ids))
        return {
            key: StoredProduct(key, json.dumps({"id": key, "name": f"Product {key}", "price": 1.5}).encode())
            for key in ids
            if key not in self.missing
        }


def unit(*values):
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


PRODUCTS = {
    "a": {"image": unit(1, 0, 0, 0), "text": unit(0, 1, 0, 0)},
    "b": {"image": unit(1, 1, 0, 0)},
    "c": {"text": unit(0, 0, 1, 0)},
    "d": {"image": unit(0, 0, 0, 1), "text": unit(1, 0, 0, 1)},
}


def request(image=None, text=None, given=None, request_id="q", **parameters):
    tensors = {}
    for side, rows in (("image", image), ("text", text)):
        if rows is not None:
            tensors[f"{side}_embeds"] = np.stack(rows)
            flags = given[side] if given else [True] * len(rows)
            tensors[f"{side}_given"] = np.asarray(flags).reshape(-1, 1)
    return BatchRequest(tensors=tensors, parameters=parameters, request_id=request_id)


def serve(*requests, index=None, documents=None):
    service = RetrievalService(encoder_spec(), index or Index(PRODUCTS), documents or Documents())
    return service(requests)


def rows_of(answer):
    return [json.loads(row) for row in answer["matches"][:, 0]]


def ids(answer, row=0):
    return [match["product_id"] for match in rows_of(answer)[row]["matches"]]


def test_a_batch_is_one_search_and_one_document_query():
    index, documents = Index(PRODUCTS), Documents()
    photo, words = unit(1, 0, 0, 0), unit(0, 0, 1, 0)
    answers = serve(
        request(image=[photo, words]),
        request(text=[words]),
        request(image=[photo], text=[words]),
        index=index,
        documents=documents,
    )
    assert (index.calls, len(documents.calls)) == (1, 1)
    assert [len(rows_of(answer)) for answer in answers] == [2, 1, 1]


def test_a_photo_ranks_photos_and_the_answer_holds_the_details():
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)], request_id="mine"))
    (row,) = rows_of(answer)
    assert (row["query_id"], row["encoder"]) == ("mine", "tiny@0123456789ab")
    assert ids(answer) == ["a", "b", "d"]
    assert row["matches"][0] == {
        "rank": 1,
        "product_id": "a",
        "score": 1.0,
        "product": {"id": "a", "name": "Product a", "price": 1.5},
    }
    assert row["matches"][1]["score"] == pytest.approx((2**-0.5 - 0.5) / 0.5, abs=1e-5)


def test_words_find_products_without_a_photo():
    (answer,) = serve(request(text=[unit(0, 0, 1, 0)]))
    assert ids(answer)[0] == "c"


def test_a_product_scores_its_better_vector():
    (answer,) = serve(request(text=[unit(1, 0, 0, 1)], top_k=1))
    (match,) = rows_of(answer)[0]["matches"]
    # d: by photo (0.7071 - 0.2) / 0.2 = 2.5355, by words (1 - 0.4) / 0.5 = 1.2; a: by photo the same 2.5355.
    assert match["product_id"] == "a"
    assert match["score"] == pytest.approx(2.53553, abs=1e-4)


def test_a_row_whose_photo_is_empty_is_answered_by_its_words():
    photo, words = unit(1, 0, 0, 0), unit(0, 0, 1, 0)
    (mixed,) = serve(
        request(image=[photo, photo], text=[words, words], given={"image": [False, True], "text": [True, False]})
    )
    (by_words,), (by_photo,) = serve(request(text=[words])), serve(request(image=[photo]))
    assert [rows_of(mixed)[row]["matches"] for row in (0, 1)] == [
        rows_of(by_words)[0]["matches"],
        rows_of(by_photo)[0]["matches"],
    ]


def test_top_k_fields_and_min_score_belong_to_each_request():
    photo = unit(1, 0, 0, 0)
    first, second, third = serve(
        request(image=[photo], top_k=1, fields=("name", "nothing")),
        request(image=[photo], min_score=0.3, fields=()),
        request(image=[photo]),
    )
    assert rows_of(first)[0]["matches"][0]["product"] == {"name": "Product a"}
    assert ids(second) == ["a", "b"]
    assert rows_of(second)[0]["matches"][0]["product"] == {}
    assert set(rows_of(third)[0]["matches"][0]["product"]) == {"id", "name", "price"}


def test_a_hit_without_a_document_is_left_out_and_replaced_by_the_next():
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)], top_k=1), documents=Documents(missing="a"))
    (match,) = rows_of(answer)[0]["matches"]
    assert (match["rank"], match["product_id"]) == (1, "b")


def test_an_empty_index_answers_with_no_matches_and_asks_for_no_documents():
    documents = Documents()
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)]), index=Index({}), documents=documents)
    assert rows_of(answer)[0]["matches"] == []
    assert documents.calls == []


def test_equal_scores_are_ordered_by_id():
    same = {key: {"image": unit(1, 0, 0, 0)} for key in ("z", "y", "x")}
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)]), index=Index(same))
    assert ids(answer) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            request(image=[unit(1, 0, 0, 0)], given={"image": [False]}),
            "row 0: no photo and no words came (0 bytes); send `image_bytes`, `query_text`, or both",
        ),
        (request(image=[unit(1, 0, 0, 0) * np.nan]), "image_embeds: row 0 holds NaN or infinity"),
        (request(image=[unit(1, 0, 0, 0)], text=[unit(1, 0, 0, 0)], image_weight=0.0, text_weight=0.0), "both are 0"),
        (request(image=[unit(1, 0, 0, 0)], filter={"colour": "x"}), "colour"),
    ],
)
def test_a_bad_request_fails_alone(bad, words):
    good, failed, other = serve(request(image=[unit(1, 0, 0, 0)]), bad, request(text=[unit(1, 0, 0, 0)]))
    assert isinstance(failed, InvalidRequestError)
    assert words in str(failed)
    assert ids(good)
    assert ids(other)


def test_a_request_without_a_name_gets_one_and_rows_are_numbered():
    (unnamed, named) = serve(
        request(image=[unit(1, 0, 0, 0)], request_id=""), request(image=[unit(1, 0, 0, 0)] * 2, request_id="n")
    )
    assert len(rows_of(unnamed)[0]["query_id"]) == 32
    assert [row["query_id"] for row in rows_of(named)] == ["n/0", "n/1"]


def test_a_dead_index_is_passed_on():
    class Dead:
        def search(self, queries):
            raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        serve(request(image=[unit(1, 0, 0, 0)]), index=Dead())
