"""Each side of a query scores its best fit with what a product has, and the sides are averaged by weight."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from product_match.contract.encoder import SimilarityScale
from product_match.contract.errors import InvalidRequestError
from product_match.retrieval.fusion import LEAST_CANDIDATES, fuse
from product_match.vectors.vector_index import Hit
from tests.fakes.encoders import SCALES


def unit(*values: float) -> np.ndarray:
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


def scaled(cosine: float, name: str) -> float:
    scale = getattr(SCALES, name)
    return (cosine - scale.background) / (scale.match - scale.background)


PHOTO, WORDS = unit(1, 2, 3, 4), unit(4, -1, 0, 1)
BOTH = {"image": PHOTO, "text": WORDS}
EVEN = {"image": 0.5, "text": 0.5}


def found(query, products):
    """Return what an exact index finds, as lists of hits."""
    lists = []
    for search in query.searches():
        held = {
            id_: np.atleast_2d(vectors[search.vector_name])
            for id_, vectors in products.items()
            if search.vector_name in vectors
        }
        hits = [
            Hit(id_, float((rows @ search.vector).max()), products[id_] if query.needs_vectors else {})
            for id_, rows in held.items()
        ]
        lists.append(sorted(hits, key=lambda hit: -hit.score)[: query.limit(10)])
    return lists


def test_a_photo_alone_searches_photos_and_scores_its_scaled_cosine():
    query = fuse({"image": PHOTO}, {"image": 1.0}, SCALES)
    assert [search.vector_name for search in query.searches()] == ["image"]
    assert (query.needs_vectors, query.limit(10)) == (False, 10)
    product = unit(1, 1, 1, 1)
    (item,) = query.rank(found(query, {"a": {"image": product}}))
    assert item == ("a", pytest.approx(scaled(PHOTO @ product, "image_to_image"), abs=1e-5))


def test_the_same_photo_scores_one():
    query = fuse({"image": PHOTO}, {"image": 1.0}, SCALES)
    assert query.rank(found(query, {"a": {"image": PHOTO}})) == [("a", pytest.approx(1.0, abs=1e-5))]


@pytest.mark.parametrize(("photo", "words"), [(unit(4, 0, 1, 0), unit(1, 3, 0, 1)), (unit(0, 0, 1, 3), WORDS)])
def test_words_alone_score_the_better_of_photo_and_words(photo, words):
    query = fuse({"text": WORDS}, {"text": 1.0}, SCALES)
    assert [search.vector_name for search in query.searches()] == ["image", "text"]
    (item,) = query.rank(found(query, {"a": {"image": photo, "text": words}}))
    expected = max(scaled(WORDS @ photo, "text_to_image"), scaled(WORDS @ words, "text_to_text"))
    assert item == ("a", pytest.approx(expected, abs=1e-5))


@pytest.mark.parametrize(("image_weight", "text_weight"), [(0.5, 0.5), (3.0, 1.0), (1.0, 9.0)])
def test_two_sides_add_up_by_weight(image_weight, text_weight):
    query = fuse(BOTH, {"image": image_weight, "text": text_weight}, SCALES)
    photo, words = unit(1, 1, 0, 2), unit(3, 0, 0, 1)
    (item,) = query.rank(found(query, {"a": {"image": photo, "text": words}}))
    expected = (
        image_weight * scaled(PHOTO @ photo, "image_to_image")
        + text_weight * max(scaled(WORDS @ photo, "text_to_image"), scaled(WORDS @ words, "text_to_text"))
    ) / (image_weight + text_weight)
    assert item == ("a", pytest.approx(expected, abs=1e-5))


def test_a_photo_is_compared_with_the_words_of_a_product_that_has_no_photo_only():
    query = fuse(BOTH, EVEN, SCALES)
    like_words = {"text": PHOTO, "image": unit(0, 1, 0, 0)}
    ranking = dict(query.rank(found(query, {"bare": {"text": PHOTO}, "shown": like_words})))
    by_words = scaled(WORDS @ PHOTO, "text_to_text")
    assert ranking["bare"] == pytest.approx((scaled(1.0, "image_to_text") + by_words) / 2, abs=1e-5)
    seen = scaled(PHOTO @ like_words["image"], "image_to_image")
    told = max(scaled(WORDS @ like_words["image"], "text_to_image"), by_words)
    assert ranking["shown"] == pytest.approx((seen + told) / 2, abs=1e-5)


def test_a_product_that_fits_both_sides_comes_before_products_that_fit_one_of_them():
    cross = SimilarityScale(background=0.2, match=1.0)
    query = fuse(BOTH, EVEN, dataclasses.replace(SCALES, text_to_image=cross))
    products = {
        "same": {"image": unit(1, 2, 3, 3.5), "text": unit(4, -1, 0.3, 1)},
        "words": {"image": unit(4, -2, 0, 0), "text": WORDS},
        "photo": {"image": PHOTO, "text": unit(0, 1, 0, 0)},
    }
    assert query.rank(found(query, products))[0][0] == "same"


def test_a_product_of_several_photos_is_found_by_each_of_them():
    query = fuse(BOTH, EVEN, SCALES)
    photos = np.stack([unit(0, 1, 0, 0), PHOTO, unit(0, 0, 0, 1)])
    ranking = dict(query.rank(found(query, {"many": {"image": photos}, "one": {"image": PHOTO}})))
    words = max(scaled(WORDS @ photo, "text_to_image") for photo in photos)
    assert ranking["many"] == pytest.approx((1.0 + words) / 2, abs=1e-5)
    assert ranking["one"] == pytest.approx((1.0 + scaled(WORDS @ PHOTO, "text_to_image")) / 2, abs=1e-5)


def test_two_sides_ask_for_more_candidates_than_matches():
    query = fuse(BOTH, EVEN, SCALES)
    assert (query.needs_vectors, query.limit(5), query.limit(100)) == (True, LEAST_CANDIDATES, 400)


@pytest.mark.parametrize(
    ("weights", "names"), [({"image": 1.0, "text": 0.0}, ["image"]), ({"image": 0.0, "text": 2.0}, ["image", "text"])]
)
def test_a_side_of_no_weight_is_as_if_not_given(weights, names):
    query = fuse(BOTH, weights, SCALES)
    assert [search.vector_name for search in query.searches()] == names
    assert list(query.shares.values()) == [1.0]


def test_equal_scores_come_in_the_order_of_ids():
    query = fuse({"image": PHOTO}, {"image": 1.0}, SCALES)
    ranking = query.rank(found(query, {name: {"image": PHOTO} for name in "cab"}))
    assert [id_ for id_, _ in ranking] == ["a", "b", "c"]


def test_no_hits_are_no_ranking():
    assert fuse(BOTH, EVEN, SCALES).rank([[], []]) == []


def test_no_weight_at_all_is_refused():
    with pytest.raises(InvalidRequestError, match="both are 0; give at least one of them more"):
        fuse(BOTH, {"image": 0.0, "text": 0.0}, SCALES)
