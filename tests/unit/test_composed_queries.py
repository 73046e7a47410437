"""What is asked for by products: like some, unlike others, with and without words and photo."""

from __future__ import annotations

import dataclasses
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import point_id
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.service import RetrievalService
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.triton.batches import BatchRequest, bytes_column
from product_match.vectors.vector_index import VectorPoint
from tests.fakes.encoders import SCALES, encoder_spec
from tests.fakes.indexes import ExactIndex


def unit(*values):
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


SHOP = {
    "blue-tee": {"image": unit(1, 0, 0, 0), "text": unit(1, 0, 0, 0)},
    "red-tee": {"image": unit(4, 1, 0, 0), "text": unit(4, 1, 0, 0)},
    "striped-tee": {"image": unit(4, 0, 2, 0), "text": unit(4, 0, 1, 0)},
    "hat": {"image": unit(0, 0, 1, 4), "text": unit(0, 0, 0, 1)},
    "photo-only": {"image": np.stack([unit(0, 1, 0, 0), unit(4, 0, 1, 1)])},
    "words-only": {"text": unit(1, 1, 0, 0)},
}


class Documents:
    def fetch(self, ids):
        names = {point_id(name): name for name in SHOP}
        return {id_: StoredProduct(names[id_], json.dumps({"id": names[id_]}).encode()) for id_ in ids}


def index():
    return ExactIndex([VectorPoint(id=point_id(key), rev=1, vectors=held, payload={}) for key, held in SHOP.items()])


def serve(*requests, of=None):
    of = of or index()
    return RetrievalService(encoder_spec(), of, Documents(), CatalogueStatistics, language="english")(requests)


def request(image=None, text=None, rows=1, **parameters):
    tensors = {}
    for side, vector in (("image", image), ("text", text)):
        if vector is not None:
            tensors[f"{side}_embeds"] = np.stack([vector] * rows)
            tensors[f"{side}_given"] = np.full((rows, 1), True)
    if not tensors:
        # The ensemble for words, with empty ones: an encoder answers even for these.
        tensors = {"text_embeds": np.stack([unit(1, 1, 1, 1)] * rows), "text_given": np.full((rows, 1), False)}
        tensors["query_text"] = bytes_column([b""] * rows)
    return BatchRequest(tensors=tensors, parameters={"explain": True, **parameters}, request_id="q")


def rows_of(answer):
    return [json.loads(row)["matches"] for row in answer["matches"][:, 0]]


def ids(answer):
    return [match["product_id"] for match in rows_of(answer)[0]]


def test_what_is_like_a_product_is_found_without_words_and_photo_and_the_product_itself_is_left_out():
    (answer,) = serve(request(like=("blue-tee",), top_k=2))
    assert ids(answer) == ["red-tee", "striped-tee"]
    first = rows_of(answer)[0][0]
    by_photo = (4 / 17**0.5 - 0.5) / 0.5
    by_words = (4 / 17**0.5 - 0.4) / 0.5
    assert first["score"] == pytest.approx((by_photo + by_words) / 2, abs=1e-5)
    assert first["explain"]["similarity"] == {"like": pytest.approx((by_photo + by_words) / 2, abs=1e-4)}
    assert first["confidence"] > 0.5


def test_what_is_unlike_a_product_goes_down_by_its_weight():
    like = {"like": ("blue-tee",), "unlike": ("striped-tee",)}
    plain, weighed, none = serve(
        request(**like), request(**like, unlike_weight=2.0), request(**like, unlike_weight=0)
    )
    assert ids(plain)[0] == "red-tee"
    scores = [{match["product_id"]: match["score"] for match in rows_of(answer)[0]} for answer in (plain, weighed)]
    assert "striped-tee" not in scores[0]
    unlike = rows_of(plain)[0][0]["explain"]["similarity"]["unlike"]
    assert scores[0]["red-tee"] - scores[1]["red-tee"] == pytest.approx(1.5 * unlike, abs=1e-3)
    # What is unlike both loses nothing by not being like the second.
    assert scores[0]["hat"] == scores[1]["hat"]
    assert rows_of(none)[0][0]["score"] == pytest.approx(scores[0]["red-tee"] + 0.5 * unlike, abs=1e-3)


def test_a_product_beside_words_weighs_as_it_is_told():
    words = unit(0, 0, 0, 1)
    liked, spoken = serve(
        request(text=words, like=("blue-tee",), like_weight=9.0),
        request(text=words, like=("blue-tee",), like_weight=0.1),
    )
    assert (ids(liked)[0], ids(spoken)[0]) == ("red-tee", "hat")


def test_products_are_asked_for_with_one_call_for_a_batch_and_only_where_one_is_named():
    of = index()
    serve(request(like=("blue-tee",), rows=3), request(text=unit(1, 0, 0, 0), unlike=("hat", "red-tee")), of=of)
    assert of.examples == [sorted(map(point_id, ("blue-tee", "hat", "red-tee")))]
    assert len(of.batches) == 1
    of = index()
    serve(request(text=unit(1, 0, 0, 0)), of=of)
    assert of.examples == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"like": ("blue-tee", "nope", "no")},
            "like: no product of the catalogue has the id nope, no; name products",
        ),
        ({"unlike": tuple(f"x{n}" for n in range(12))}, "unlike: no product of the catalogue has the id x0, x1, "),
        ({"unlike": tuple(f"x{n}" for n in range(12))}, "x9 and 2 more; name products that can be found"),
        ({"like": ("hat",), "unlike": ("hat",)}, "like and unlike: hat is in both; name a product in one of them"),
        ({"like": ("hat",), "like_weight": 0.0, "text_weight": 0.0}, "text_weight and like_weight: both are 0; give"),
    ],
)
def test_a_product_that_cannot_be_named_is_an_error_of_its_request_alone(parameters, words):
    bad = request(text=unit(1, 0, 0, 0), **parameters)
    good, failed, other = serve(request(like=("hat",)), bad, request(text=unit(1, 0, 0, 0)))
    assert isinstance(failed, InvalidRequestError)
    assert words in str(failed)
    assert ids(good)
    assert ids(other)


def test_unlike_alone_asks_for_nothing():
    (failed,) = serve(request(unlike=("hat",)))
    assert "row 0: no photo and no words came (0 bytes); send" in str(failed)


def test_photo_words_and_products_that_all_weigh_nothing_are_refused():
    weights = {"image_weight": 0.0, "text_weight": 0.0, "like_weight": 0.0}
    (failed,) = serve(request(image=unit(1, 0, 0, 0), text=unit(1, 0, 0, 0), like=("hat",), **weights))
    assert str(failed).startswith("image_weight, text_weight and like_weight: all are 0; give at least one")


def test_a_product_with_only_photos_is_compared_by_photos_with_others_by_what_both_have():
    (answer,) = serve(request(like=("photo-only",)))
    assert {match["product_id"] for match in rows_of(answer)[0]} == {"blue-tee", "red-tee", "striped-tee", "hat"}


def read_plainly(like, unlike, unlike_weight):
    """Score every product that can be compared, by the definitions, one pair of vectors at a time."""
    scales = {"image": SCALES.image_to_image, "text": SCALES.text_to_text}

    def alike(examples, product):
        """The mean over photos and words of the mean over the examples that have them."""
        found = []
        for name, scale in scales.items():
            vectors = [np.atleast_2d(SHOP[key][name])[0] for key in examples if name in SHOP[key]]
            if vectors and name in SHOP[product]:
                best = np.max(np.atleast_2d(SHOP[product][name]) @ np.mean(vectors, axis=0))
                found.append((best - scale.background) / (scale.match - scale.background))
        return np.mean(found) if found else None

    scores = {}
    for product in SHOP.keys() - like - unlike:
        liking = alike(like, product)
        if liking is None:
            continue
        against = [alike({key}, product) for key in unlike]
        worst = max((value for value in against if value is not None), default=0.0)
        scores[product] = liking - unlike_weight * max(0.0, worst)
    return scores


@hypothesis.given(
    st.sets(st.sampled_from(sorted(SHOP)), min_size=1, max_size=3),
    st.sets(st.sampled_from(sorted(SHOP)), max_size=2),
    st.sampled_from([0.0, 0.25, 1.0, 3.0]),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_scores_are_those_of_a_plain_reading_of_the_vectors(like, unlike, weight):
    unlike -= like
    (answer,) = serve(request(like=tuple(sorted(like)), unlike=tuple(sorted(unlike)), unlike_weight=weight))
    found = {match["product_id"]: match["score"] for match in rows_of(answer)[0]}
    assert found == pytest.approx(read_plainly(like, unlike, weight), abs=1e-5)


def test_examples_take_no_places_of_answers():
    of = index()
    serve(request(like=("blue-tee",), unlike=("hat",), top_k=1), of=of)
    plain = index()
    serve(request(image=unit(1, 0, 0, 0), text=unit(1, 0, 0, 0), top_k=1), of=plain)
    assert {query.limit for query in of.batches[0]} == {query.limit + 2 for query in plain.batches[0]}
    assert dataclasses.asdict(of.batches[0][0])["with_vectors"]
