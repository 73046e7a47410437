"""What typed words look for in a catalogue."""

from __future__ import annotations

import pytest

from product_match.words.encoding import WordsEncoder, WordsRecipe
from product_match.words.evidence import product_words, word_evidence
from product_match.words.queries import FULL_WEIGHT, PART_WEIGHT, REPAIR_WEIGHTS, STOP_WEIGHT, QueryReader
from product_match.words.spelling import Speller
from product_match.words.vocabulary import Vocabulary

PRODUCTS = [
    {"id": "1", "sku": "AB-12-345", "name": "Navy t-shirt with diggers", "brand": "Acme", "category": "Tops"},
    {"id": "2", "name": "Denim jacket", "category": "Jackets"},
    {"id": "3", "name": "The Who, live", "category": "Records"},
    {"id": "4", "name": "Jeans 501", "category": "Trousers"},
    {"id": "5", "name": "Olive soap", "description": "500 ml, vegan", "category": "Care"},
    {"id": "6", "name": "Raincoat", "category": "Coats"},
]
ENCODER = WordsEncoder(WordsRecipe())


def reader(products=PRODUCTS):
    vocabulary = Vocabulary()
    vocabulary.add(ENCODER.analyser, products)
    return QueryReader(ENCODER, vocabulary, Speller("english")), vocabulary


READER, VOCABULARY = reader()


def weights(query, *terms):
    """The numbers of a query's vector by term; all of them, no more."""
    held = dict(zip(query.vector.indices, query.vector.values, strict=True))
    found = {term: held.pop(ENCODER.query_vector({term: 1.0}).indices[0], None) for term in terms}
    assert held == {}
    return found


def test_each_word_is_looked_up_by_its_term():
    query = READER.read("denim jackets")
    assert weights(query, "denim", "jacket") == {"denim": 1.0, "jacket": 1.0}
    assert [word.terms for word in query.words] == [{"denim"}, {"jacket"}]
    assert [word.is_head for word in query.words] == [False, True]
    assert query.known == 1.0
    assert query.repaired == {}
    assert query.identifiers is None
    rarities = sum(VOCABULARY.rarity(term) for term in ("denim", "jacket"))
    assert query.attainable == pytest.approx(rarities * FULL_WEIGHT)


def test_a_product_about_every_word_holds_all_of_a_query():
    query = READER.read("denim jacket")
    assert query.held(query.attainable) == 1.0
    assert query.held(0.0) == 0.0
    assert READER.read("").held(3.0) == 0.0


def test_no_words_look_for_nothing():
    query = READER.read("?!")
    assert query.words == ()
    assert query.vector.indices == ()
    assert (query.attainable, query.known, query.identifiers) == (0.0, 0.0, None)


def test_a_stop_word_counts_little_among_others_and_whole_alone():
    query = READER.read("tshirt with diggers")
    assert weights(query, "tshirt", "with", "digger") == {"tshirt": 1.0, "with": STOP_WEIGHT, "digger": 1.0}
    assert [word.is_stop_word for word in query.words] == [False, True, False]
    alone = READER.read("The Who")
    assert weights(alone, "the", "who") == {"the": 1.0, "who": 1.0}
    assert not any(word.is_stop_word for word in alone.words)


def test_a_word_that_no_product_has_weighs_most_and_is_not_known():
    query = READER.read("denim sofa")
    assert weights(query, "denim") == {"denim": 1.0}
    denim, sofa = query.words
    assert sofa.terms == frozenset()
    assert sofa.share == 0.0
    assert sofa.weight == VOCABULARY.rarity("sofa") > denim.weight
    assert query.known == pytest.approx(denim.weight / (denim.weight + sofa.weight))
    assert READER.read("sofa").vector.indices == ()


def test_a_misspelt_word_is_looked_up_by_what_may_have_been_meant():
    query = READER.read("denim jakcet")
    assert weights(query, "denim", "jacket") == {"denim": 1.0, "jacket": REPAIR_WEIGHTS[0]}
    assert query.repaired == {"jakcet": "jacket"}
    assert 0 < query.known < 1
    assert query.words[1].share == REPAIR_WEIGHTS[0]


def test_several_repairs_weigh_less_one_after_the_other():
    read, _ = reader([{"name": "Zorbly"}, {"name": "Zorbly"}, {"name": "Zarbly"}])
    query = read.read("zxrbly")
    assert query.repaired == {"zxrbly": "zorbly"}
    assert weights(query, "zorbl", "zarbl") == {"zorbl": REPAIR_WEIGHTS[0], "zarbl": REPAIR_WEIGHTS[1]}


def test_the_parts_of_a_word_count_less_where_the_catalogue_has_the_whole():
    query = READER.read("t-shirt")
    assert weights(query, "tshirt", "t", "shirt") == {"tshirt": 1.0, "t": PART_WEIGHT, "shirt": PART_WEIGHT}
    parts = READER.read("denim-jacket")
    assert weights(parts, "denim", "jacket") == {"denim": 1.0, "jacket": 1.0}


def test_words_that_the_catalogue_writes_as_one_are_joined():
    query = READER.read("rain coat")
    assert weights(query, "raincoat", "coat") == {"raincoat": 1.0, "coat": 1.0}
    assert query.repaired == {}
    read, _ = reader([*PRODUCTS, {"id": "7", "name": "Rain"}])
    assert weights(read.read("rain coat"), "rain", "coat", "raincoat") == {
        "rain": 1.0,
        "coat": 1.0,
        "raincoat": PART_WEIGHT,
    }


def test_one_word_that_the_catalogue_writes_as_two_is_split():
    query = READER.read("denimjacket")
    assert weights(query, "denim", "jacket") == {"denim": 1.0, "jacket": 1.0}
    assert query.repaired == {}


def test_a_word_that_exists_is_not_split():
    read, _ = reader([{"name": "Car pet"}])
    assert read.read("carpet").vector.indices == ()


@pytest.mark.parametrize("text", ["501", "500ml", "0,5 l", "500 ml"])
def test_words_without_a_letter_are_looked_up_like_any_other(text):
    query = READER.read(text)
    assert query.known == 1.0
    assert len(query.vector.indices) == 1


@pytest.mark.parametrize("text", ["AB-12-345", "ab12345", "ab 12 345", "shirt AB-12-345", "acme 4006381333931"])
def test_what_may_be_an_identifier_is_looked_up_as_one_too(text):
    assert READER.read(text).identifiers is not None


@pytest.mark.parametrize("text", ["denim jacket", "the who"])
def test_several_words_without_a_digit_are_no_identifier(text):
    assert READER.read(text).identifiers is None


def test_one_word_may_be_an_identifier_without_a_digit():
    query = READER.read("denim")
    assert query.identifiers is not None
    assert not set(query.identifiers.indices) & set(query.vector.indices)


def test_identifiers_meet_only_those_of_products():
    held = set(ENCODER.product_vector(PRODUCTS[0]).indices)
    mentions = set(ENCODER.product_vector({"name": "Sleeve for AB-12-345"}).indices)
    for typed in ("AB-12-345", "ab12345", "buy AB-12-345"):
        sought = set(READER.read(typed).identifiers.indices)
        assert sought & held
        assert not sought & mentions


def evidence(text, product):
    return word_evidence(READER.read(text), text, product_words(ENCODER.analyser, product))


SHIRT = PRODUCTS[0]


def test_a_product_that_is_all_that_was_asked_for():
    found = evidence("navy tshirt", SHIRT)
    assert (found.held, found.named, found.head, found.missing, found.identified) == (1.0, 1.0, 1.0, 0.0, 0.0)


def test_what_a_product_lacks_is_missing_stop_words_aside():
    found = evidence("navy tshirt with penguins", SHIRT)
    assert found.missing == pytest.approx(1 / 3)
    assert found.head == 1.0
    assert 0 < found.held < 1
    assert found.named == found.held
    nothing = evidence("leather sofa", SHIRT)
    assert (nothing.held, nothing.named, nothing.head, nothing.missing) == (0.0, 0.0, 0.0, 1.0)
    assert evidence("with", {"name": "Mug"}).missing == 1.0


def test_a_product_that_only_mentions_what_is_asked_for_is_none():
    said = {"name": "Soap with diggers", "description": "Wash your jacket"}
    is_one, named, described, absent = (
        evidence(text, product).head
        for text, product in (
            ("jacket", PRODUCTS[1]),
            ("digger", said),
            ("jacket", said),
            ("jeans", said),
        )
    )
    assert is_one == 1.0 > named > described > absent == 0.0
    assert evidence("jacket", {"name": 12, "category": "Jackets"}).head == 1.0


def test_words_in_the_description_are_held_and_not_named():
    found = evidence("vegan", PRODUCTS[4])
    assert (found.held, found.named, found.missing) == (1.0, 0.0, 0.0)


def test_words_that_came_for_the_text_encoder_are_held():
    product = product_words(ENCODER.analyser, {"name": "Mug"}, "denim")
    found = word_evidence(READER.read("denim"), "denim", product)
    assert (found.held, found.named) == (1.0, 0.0)


def test_a_repaired_word_is_evidence_of_less():
    assert evidence("denim jakcet", PRODUCTS[1]).held < evidence("denim jacket", PRODUCTS[1]).held
    assert evidence("jakcet", PRODUCTS[1]).head == REPAIR_WEIGHTS[0]


@pytest.mark.parametrize("typed", ["AB-12-345", "ab 12 345", "tshirt ab12345", "1"])
def test_a_product_that_is_named_by_an_identifier(typed):
    assert evidence(typed, SHIRT).identified == 1.0
    assert evidence(typed, PRODUCTS[1]).identified == 0.0


def test_no_words_are_no_evidence():
    found = evidence("?!", SHIRT)
    assert (found.held, found.named, found.head, found.missing, found.identified) == (0.0,) * 5
