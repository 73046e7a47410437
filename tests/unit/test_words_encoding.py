"""The vector of a product's words holds BM25's weights, and names how it was made."""

from __future__ import annotations

from collections import Counter

import pytest

from product_match.contract.errors import ConfigError
from product_match.words.analysis import Analyser
from product_match.words.encoding import LENGTH_SHARE, SATURATION, VERSION, WordsEncoder, WordsRecipe
from product_match.words.fields import product_terms

PRODUCT = {"id": "a-1", "name": "Red suede shoes", "description": "Soft red shoes, size 42"}


def weights(encoder, vector, terms):
    """A vector's numbers by term."""
    held = dict(zip(vector.indices, vector.values, strict=True))
    return {term: held[encoder.query_vector({term: 1.0}).indices[0]] for term in terms}


@pytest.mark.parametrize("average_length", [5.0, 50.0])
def test_a_products_vector_is_bm25_by_the_formula(average_length):
    encoder = WordsEncoder(WordsRecipe(average_length=average_length))
    counts = Counter(product_terms(Analyser(), PRODUCT))
    length = sum(counts.values())
    norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / average_length)
    expected = {term: n * (SATURATION + 1) / (n + norm) for term, n in counts.items()}
    vector = encoder.product_vector(PRODUCT)
    assert len(vector.indices) == len(set(vector.indices)) == len(counts)
    assert weights(encoder, vector, counts) == pytest.approx(expected, rel=1e-5)


def test_a_product_without_words_has_no_vector():
    encoder = WordsEncoder(WordsRecipe())
    assert encoder.product_vector({"price": 3.0}) is None
    assert encoder.terms_vector([]) is None
    assert encoder.product_vector({}, "words that came with it") is not None


def test_a_querys_vector_holds_each_terms_weight_and_adds_up_terms_of_one_hash(monkeypatch):
    encoder = WordsEncoder(WordsRecipe())
    vector = encoder.query_vector({"red": 1.0, "shoe": 0.5})
    assert vector.values == (1.0, 0.5)
    assert set(vector.indices) <= set(encoder.product_vector(PRODUCT).indices)
    assert encoder.query_vector({}).indices == ()
    monkeypatch.setattr(encoder, "_term_id", lambda term: 7)
    same = encoder.query_vector({"red": 1.0, "shoe": 0.5})
    assert (same.indices, same.values) == ((7,), (1.5,))


def test_a_term_has_the_same_place_in_every_recipe():
    first, second = WordsEncoder(WordsRecipe()), WordsEncoder(WordsRecipe(average_length=9.0, language="german"))
    assert first.query_vector({"shoe": 1.0}) == second.query_vector({"shoe": 1.0})


def test_a_recipe_is_kept_as_text():
    recipe = WordsRecipe(language="german", average_length=31.5)
    assert WordsRecipe.from_json(recipe.to_json()) == recipe
    assert WordsRecipe.from_json(recipe.to_json()) != WordsRecipe(language="german")


def test_a_recipe_of_another_version_does_not_fit():
    assert WordsRecipe().fits
    assert not WordsRecipe.from_json(WordsRecipe(version=VERSION + 1).to_json()).fits


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"colour": 1}', '{"average_length": "long"}'])
def test_a_recipe_that_cannot_be_read_says_so(text):
    with pytest.raises(ConfigError, match="the recipe of an index's words cannot be read"):
        WordsRecipe.from_json(text)


def test_a_language_that_nobody_stems_is_refused():
    with pytest.raises(ConfigError, match=r"language 'klingon' is not known; known are arabic, .*english"):
        WordsRecipe(language="klingon")


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), 1e6])
def test_an_average_length_that_is_none_is_refused(length):
    with pytest.raises(ConfigError, match="the average length of products' words must be above 0, got"):
        WordsRecipe(average_length=length)
