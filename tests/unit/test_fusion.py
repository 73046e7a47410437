"""What the searches say of a product becomes one score: by the formula, or by ranks, ranges and distributions."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest

from product_match.contract.encoder import SimilarityScale
from product_match.contract.options import FUSIONS
from product_match.contract.vectors import SparseVector
from product_match.retrieval.fusion import (
    IDENTIFIED_SCORE,
    MOST_HELD,
    MOST_HELD_BESIDE_A_PHOTO,
    UNLIKE_SHARE,
    WORDS_SHARE,
    rank,
)
from product_match.retrieval.rows import IMAGE, TEXT, RowQuery
from product_match.retrieval.searches import IDENTIFIERS, PHOTOS, TEXTS, WORDS, Found, Parts, gather, row_searches
from product_match.vectors.vector_index import Hit, VectorPoint
from product_match.words.queries import QueryWord, WordQuery
from tests.fakes.encoders import SCALES
from tests.fakes.indexes import ExactIndex


def unit(*values: float) -> np.ndarray:
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


def scaled(cosine: float, name: str, scales=SCALES) -> float:
    scale = getattr(scales, name)
    return float((cosine - scale.background) / (scale.match - scale.background))


PHOTO, TOLD = unit(1, 2, 3, 4), unit(4, -1, 0, 1)
BOTH = {IMAGE: PHOTO, TEXT: TOLD}
TERM = 7
SAME_WORDS = scaled(1.0, "text_to_text")


def word_query(attainable=2.0, known=1.0, identifiers=None):
    """Words that are looked up as one term."""
    word = QueryWord(weight=1.0, sayings={("t",): 1.0}, related={}, is_head=True, is_stop_word=False)
    vector = SparseVector(indices=(TERM,), values=(1.0,))
    return WordQuery(
        words=(word,), vector=vector, identifiers=identifiers, attainable=attainable, known=known, repaired={}
    )


def row_query(sides, shares=None, **changes):
    fields = {
        "query_id": "q",
        "sides": sides,
        "shares": shares or dict.fromkeys(sides, 1.0 / len(sides)),
        "text": "",
        "words": None,
        "top_k": 10,
        "fields": None,
        "filter": None,
        "min_score": None,
        "min_confidence": None,
        "fusion": "calibrated",
        "explain": False,
        **changes,
    }
    return RowQuery(**fields)


def ranked(row, products, scales=SCALES):
    """Rank `products`, vectors and a weight of the one term by id, as an exact index finds them."""
    points = [
        VectorPoint(
            id=id_,
            rev=1,
            vectors={name: vector for name, vector in held.items() if name != "term"},
            payload={},
            words=SparseVector(indices=(TERM,), values=(held["term"],)) if "term" in held else None,
        )
        for id_, held in products.items()
    ]
    searches = row_searches(row, scales)
    answers = ExactIndex(points).search([search.query for search in searches])
    return rank(row, gather(row, searches, answers, scales))


def found(lists, parts=None, floors=None):
    """What searches have found, given by name: ids and scores."""
    hits = {name: [Hit(id_, score, {}) for id_, score in items] for name, items in lists.items()}
    held = {hit.id: Parts() for listed in hits.values() for hit in listed}
    return Found(parts={**held, **(parts or {})}, floors=floors or {}, lists=hits)


def test_a_photo_alone_scores_its_scaled_cosine():
    product = unit(1, 1, 1, 1)
    (item,) = ranked(row_query({IMAGE: PHOTO}), {"a": {"image": product}})
    assert item == ("a", pytest.approx(scaled(PHOTO @ product, "image_to_image"), abs=1e-5))


def test_the_same_photo_scores_one():
    assert ranked(row_query({IMAGE: PHOTO}), {"a": {"image": PHOTO}}) == [("a", pytest.approx(1.0, abs=1e-5))]


def test_words_are_compared_with_words_and_with_the_photo_of_a_product_that_has_none():
    looks_right = {"image": TOLD, "text": unit(1, 3, 0, 1)}
    ranking = dict(ranked(row_query({TEXT: TOLD}), {"told": looks_right, "bare": {"image": unit(4, 0, 1, 0)}}))
    assert ranking == {
        "told": pytest.approx(scaled(TOLD @ looks_right["text"], "text_to_text"), abs=1e-5),
        "bare": pytest.approx(scaled(TOLD @ unit(4, 0, 1, 0), "text_to_image"), abs=1e-5),
    }


def test_how_unrelated_words_are_takes_next_to_nothing_from_exact_words():
    row = row_query({TEXT: TOLD}, words=word_query(known=1.0))
    said, unsaid = {"text": unit(1, 3, 0, 1), "term": 1.3}, {"text": unit(1, 3, 0, 1)}
    similarity = scaled(TOLD @ said["text"], "text_to_text")
    assert similarity < -0.5
    ranking = dict(ranked(row, {"said": said, "unsaid": unsaid}))
    assert ranking["unsaid"] == pytest.approx((1 - WORDS_SHARE) * UNLIKE_SHARE * similarity, abs=1e-5)
    assert ranking["said"] > 0 > ranking["unsaid"]


@pytest.mark.parametrize("known", [1.0, 0.5, 0.0])
def test_words_add_exact_words_and_similarity_and_the_less_known_leave_more_to_the_vectors(known):
    row = row_query({TEXT: TOLD}, words=word_query(known=known))
    product = {"text": unit(3, 0, 0, 1), "term": 1.3}
    (item,) = ranked(row, {"a": product})
    rarity = np.log(1 + 0.5 / 1.5)
    share = WORDS_SHARE * known
    similarity = scaled(TOLD @ product["text"], "text_to_text")
    expected = share * (1.3 * rarity / 2.0) + (1 - share) * similarity
    assert item == ("a", pytest.approx(expected, abs=1e-5))


def test_a_word_said_over_and_over_is_worth_no_more_than_a_little_more_than_once():
    row = row_query({TEXT: TOLD}, words=word_query(attainable=0.001), fusion="words")
    assert ranked(row, {"a": {"term": 2.0}}) == [("a", MOST_HELD)]


def test_a_product_that_only_exact_words_found_gets_the_least_similarity_that_it_can_have():
    row = row_query({TEXT: TOLD}, words=word_query())
    parts = {"a": Parts(words=2.0), "b": Parts(words=2.0, photo=0.9)}
    ranking = dict(rank(row, found({WORDS: [("a", 2.0), ("b", 2.0)]}, parts, {TEXTS: 0.7})))
    assert ranking["a"] == pytest.approx(WORDS_SHARE + (1 - WORDS_SHARE) * 0.7)
    assert ranking["b"] == pytest.approx(WORDS_SHARE + (1 - WORDS_SHARE) * 0.9)
    nowhere = dict(rank(row, found({WORDS: [("a", 2.0)]}, {"a": Parts(words=2.0)})))
    assert nowhere["a"] == pytest.approx(WORDS_SHARE)


def test_words_alone_and_vectors_alone_leave_the_other_out():
    products = {"told": {"text": TOLD, "term": 0.1}, "named": {"text": unit(0, 1, 0, 0), "term": 2.0}}
    words = row_query({TEXT: TOLD}, words=word_query(), fusion="words")
    vectors = row_query({TEXT: TOLD}, words=word_query(), fusion="vector")
    assert [search.name for search in row_searches(words, SCALES)] == [WORDS]
    assert [search.name for search in row_searches(vectors, SCALES)] == [PHOTOS, TEXTS]
    assert [id_ for id_, _ in ranked(words, products)] == ["named", "told"]
    assert ranked(vectors, products)[0] == ("told", pytest.approx(SAME_WORDS, abs=1e-5))


def test_a_query_whose_words_did_not_come_is_answered_by_its_vector_even_where_words_are_asked_for():
    row = row_query({TEXT: TOLD}, fusion="words")
    assert [search.name for search in row_searches(row, SCALES)] == [PHOTOS, TEXTS]


@pytest.mark.parametrize(("image_share", "text_share"), [(0.5, 0.5), (0.75, 0.25), (0.1, 0.9)])
def test_two_sides_add_up_by_weight(image_share, text_share):
    photo, words = unit(1, 1, 0, 2), unit(3, 0, 0, 1)
    row = row_query(BOTH, {IMAGE: image_share, TEXT: text_share})
    (item,) = ranked(row, {"a": {"image": photo, "text": words}})
    expected = image_share * scaled(PHOTO @ photo, "image_to_image") + text_share * max(
        scaled(TOLD @ photo, "text_to_image"), scaled(TOLD @ words, "text_to_text")
    )
    assert item == ("a", pytest.approx(expected, abs=1e-5))


def test_exact_words_count_on_the_side_of_the_words_where_a_photo_is_given_too():
    products = {"said": {"image": PHOTO, "text": TOLD, "term": 2.0}, "unsaid": {"image": PHOTO, "text": TOLD}}
    said, unsaid = ranked(row_query(BOTH, words=word_query(attainable=0.1)), products)
    assert said == (
        "said",
        pytest.approx(
            0.5 + 0.5 * (WORDS_SHARE * MOST_HELD_BESIDE_A_PHOTO + (1 - WORDS_SHARE) * SAME_WORDS), abs=1e-5
        ),
    )
    assert unsaid == ("unsaid", pytest.approx(0.5 + 0.5 * (1 - WORDS_SHARE) * SAME_WORDS, abs=1e-5))


def test_a_photo_is_compared_with_the_words_of_a_product_that_has_no_photo_only():
    like_words = {"text": PHOTO, "image": unit(0, 1, 0, 0)}
    ranking = dict(ranked(row_query(BOTH), {"bare": {"text": PHOTO}, "shown": like_words}))
    by_words = scaled(TOLD @ PHOTO, "text_to_text")
    assert ranking["bare"] == pytest.approx((scaled(1.0, "image_to_text") + by_words) / 2, abs=1e-5)
    seen = scaled(PHOTO @ like_words["image"], "image_to_image")
    told = max(scaled(TOLD @ like_words["image"], "text_to_image"), by_words)
    assert ranking["shown"] == pytest.approx((seen + told) / 2, abs=1e-5)


def test_a_product_that_fits_both_sides_comes_before_products_that_fit_one_of_them():
    scales = dataclasses.replace(SCALES, text_to_image=SimilarityScale(background=0.2, match=1.0))
    products = {
        "same": {"image": unit(1, 2, 3, 3.5), "text": unit(4, -1, 0.3, 1)},
        "words": {"image": unit(4, -2, 0, 0), "text": TOLD},
        "photo": {"image": PHOTO, "text": unit(0, 1, 0, 0)},
    }
    assert ranked(row_query(BOTH), products, scales)[0][0] == "same"


def test_a_product_of_several_photos_is_found_by_each_of_them():
    photos = np.stack([unit(0, 1, 0, 0), PHOTO, unit(0, 0, 0, 1)])
    ranking = dict(ranked(row_query(BOTH), {"many": {"image": photos}, "one": {"image": PHOTO}}))
    words = max(scaled(TOLD @ photo, "text_to_image") for photo in photos)
    assert ranking["many"] == pytest.approx((1.0 + words) / 2, abs=1e-5)
    assert ranking["one"] == pytest.approx((1.0 + scaled(TOLD @ PHOTO, "text_to_image")) / 2, abs=1e-5)


def test_a_product_without_vectors_is_ranked_by_its_exact_words_beside_a_photo():
    row = row_query(BOTH, words=word_query(attainable=np.log(1 + 0.5 / 1.5)))
    assert ranked(row, {"bare": {"term": 1.0}}) == [("bare", pytest.approx(0.5 * WORDS_SHARE, abs=1e-5))]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_equal_scores_come_in_the_order_of_ids(fusion):
    row = row_query({TEXT: TOLD}, words=word_query(), fusion=fusion)
    products = {name: {"text": TOLD, "term": 1.0} for name in "cab"}
    assert [id_ for id_, _ in ranked(row, products)] == ["a", "b", "c"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_hits_are_no_ranking(fusion):
    assert ranked(row_query({TEXT: TOLD}, words=word_query(), fusion=fusion), {}) == []
    assert ranked(row_query(BOTH, fusion=fusion), {}) == []


LISTS = {WORDS: [("a", 9.0), ("b", 5.0), ("c", 1.0)], TEXTS: [("b", 0.8), ("d", 0.2)], PHOTOS: []}


def by(fusion, lists=None):
    return dict(rank(row_query({TEXT: TOLD}, fusion=fusion), found(LISTS if lists is None else lists)))


def test_reciprocal_ranks_add_up_over_the_searches_that_found_something():
    assert by("rrf") == {
        "a": pytest.approx(60 / 61 / 2),
        "b": pytest.approx((60 / 62 + 60 / 61) / 2),
        "c": pytest.approx(60 / 63 / 2),
        "d": pytest.approx(60 / 62 / 2),
    }


def test_ranges_lie_between_the_least_and_the_greatest_of_each_search():
    assert by("minmax") == {"a": 0.5, "b": pytest.approx(0.5 * 0.5 + 0.5), "c": 0.0, "d": 0.0}
    assert by("minmax", {TEXTS: [("a", 0.3), ("b", 0.3)]}) == {"a": 1.0, "b": 1.0}


def test_distributions_are_three_deviations_below_and_above_the_mean_of_each_search():
    words, texts = statistics.stdev([9.0, 5.0, 1.0]), statistics.stdev([0.8, 0.2])
    assert by("dbsf") == {
        "a": pytest.approx((4 / (6 * words) + 0.5) / 2),
        "b": pytest.approx((0.5 + 0.3 / (6 * texts) + 0.5) / 2),
        "c": pytest.approx((-4 / (6 * words) + 0.5) / 2),
        "d": pytest.approx((-0.3 / (6 * texts) + 0.5) / 2),
    }
    assert by("dbsf", {TEXTS: [("a", 0.3)]}) == {"a": 0.5}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_product_that_is_named_by_an_identifier_comes_first_whatever_the_fusion(fusion):
    lists = {WORDS: [("a", 9.0), ("b", 5.0)], TEXTS: [("b", 1.0)], IDENTIFIERS: [("z", 3.0)]}
    parts = {"a": Parts(words=9.0), "b": Parts(words=5.0, text=1.0), "z": Parts(identified=True)}
    row = row_query({TEXT: TOLD}, words=word_query(), fusion=fusion)
    ranking = rank(row, found(lists, parts))
    assert ranking[0][0] == "z"
    assert ranking[0][1] >= IDENTIFIED_SCORE > ranking[1][1]


def test_of_two_products_of_one_identifier_the_better_comes_first():
    parts = {"a": Parts(identified=True), "b": Parts(identified=True, words=2.0)}
    row = row_query({TEXT: TOLD}, words=word_query())
    ranking = rank(row, found({IDENTIFIERS: [("a", 1.0), ("b", 1.0)], WORDS: [("b", 2.0)]}, parts))
    assert [id_ for id_, _ in ranking] == ["b", "a"]
