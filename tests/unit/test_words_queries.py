"""What typed words look for in a catalogue."""

from __future__ import annotations

import pytest

from product_match.words.encoding import WordsEncoder, WordsRecipe
from product_match.words.evidence import product_words, word_evidence
from product_match.words.fields import LONGEST_VALUE, SOLD_MARK, VALUE_MARK
from product_match.words.lookup import PART_WEIGHT, REPAIR_WEIGHTS
from product_match.words.queries import FULL_WEIGHT
from product_match.words.reading import SOLD_BONUS, STOP_WEIGHT, VALUE_BONUS, QueryReader
from product_match.words.relations import Relations
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
RELATIONS = Relations(ENCODER.analyser)


def reader(products=PRODUCTS):
    vocabulary = Vocabulary()
    vocabulary.add(ENCODER.analyser, products)
    return QueryReader(ENCODER, vocabulary, Speller("english"), RELATIONS), vocabulary


READER, VOCABULARY = reader()


def numbers(query):
    return dict(zip(query.vector.indices, query.vector.values, strict=True))


def number_of(term):
    return ENCODER.query_vector({term: 1.0}).indices[0]


def weights(query, *terms):
    """The numbers of a query's vector by term; all of them, no more, what is marked aside."""
    held = numbers(query)
    found = {term: held.pop(number_of(term), None) for term in terms}
    for start in range(len(terms)):
        held.pop(number_of(SOLD_MARK + terms[start]), None)
        for end in range(start + 1, start + LONGEST_VALUE + 1):
            held.pop(number_of(VALUE_MARK + "".join(terms[start:end])), None)
    assert held == {}
    return found


def test_each_word_is_looked_up_by_its_term():
    query = READER.read("denim jackets")
    assert weights(query, "denim", "jacket") == {"denim": 1.0, "jacket": 1.0}
    assert [word.sayings for word in query.words] == [{("denim",): 1.0}, {("jacket",): 1.0}]
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
    assert (sofa.sayings, sofa.related) == ({}, {})
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
    marked = VALUE_MARK + "rain"
    assert weights(query, "raincoat", "coat", marked) == {"raincoat": 1.0, "coat": 1.0, marked: VALUE_BONUS}
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
    assert len(query.words) == 1
    assert 1.0 in query.vector.values


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


def test_who_types_another_word_for_a_thing_finds_it():
    read, vocabulary = reader([{"name": "Cable jumper"}, {"name": "Green bell peppers"}, {"name": "Trail shoes"}])
    sweater = read.read("sweater")
    assert weights(sweater, "jumper") == {"jumper": pytest.approx(0.85)}
    assert sweater.words[0].related == {("jumper",): 0.85}
    assert sweater.repaired == {}
    capsicum = read.read("capsicum").words[0]
    assert capsicum.related == {("bell", "pepper"): 0.85, ("pepper",): 0.85, ("green", "pepper"): 0.7}
    assert read.read("footwear").words[0].related == {("shoe",): 0.7}
    assert read.read("windbreaker").words[0].related == {}
    assert sweater.words[0].weight == vocabulary.rarity("jumper")


def test_two_words_that_name_one_thing_are_looked_up_together():
    read, _ = reader([{"name": "Quilted gilet"}, {"name": "Warm coat"}])
    (word,) = read.read("body warmer").words
    assert word.related == {("gilet",): 0.85}
    assert word.is_head


def test_other_words_count_for_less_where_the_word_is_only_mentioned():
    products = [{"name": "Cable jumper"}, {"name": "Red coat", "description": "over a sweater"}]
    mentioned = reader(products)[0].read("sweater").words[0]
    assert mentioned.sayings == {("sweater",): 1.0}
    assert 0 < mentioned.related[("jumper",)] < 0.85
    sold = reader([*products, {"name": "Sweater"}])[0].read("sweater").words[0]
    assert sold.related == {}


def test_another_word_in_a_description_is_there_by_chance():
    read, _ = reader([{"name": "Carrots", "description": "in a purse"}, {"name": "Black purse"}])
    query = read.read("handbag")
    assert query.words[0].related == {("purs",): 0.85}
    carrots, purse = (
        word_evidence(query, "handbag", product_words(ENCODER.analyser, product))
        for product in ({"name": "Carrots", "description": "in a purse"}, {"name": "Black purse"})
    )
    assert (carrots.held, carrots.head, carrots.missing) == (0.0, 0.0, 1.0)
    assert (purse.head, purse.missing) == (0.85, 0.0)


def test_a_product_that_is_what_was_asked_for_is_above_one_that_mentions_it():
    desk = {"name": "Grey desk", "category": "Desks"}
    products = [desk, {"name": "Grey chair", "description": "for your desk"}, {"name": "Grey desk chair"}]
    read, _ = reader(products)
    query = read.read("desk")
    assert numbers(query)[number_of(SOLD_MARK + "desk")] > 0
    scores = [score_of(query, product) for product in products]
    assert scores[0] > max(scores[1:])
    assert SOLD_BONUS > 0


def test_a_whole_value_is_above_a_part_of_one():
    blue, light_blue = ({"name": "Mug", "color": color} for color in ("blue", "light blue"))
    read, _ = reader([blue, light_blue])
    for text, first, second in (("blue mug", blue, light_blue), ("light blue mug", light_blue, blue)):
        query = read.read(text)
        assert score_of(query, first) > score_of(query, second)
    assert numbers(read.read("blue mug"))[number_of(VALUE_MARK + "blue")] == VALUE_BONUS


def score_of(query, product):
    held = numbers(query)
    vector = ENCODER.product_vector(product)
    return sum(held.get(index, 0.0) * value for index, value in zip(vector.indices, vector.values, strict=True))


@pytest.mark.parametrize(
    ("text", "product", "beside"),
    [
        ("surfboard", {"name": "Tee with surfboard"}, 1.0),
        ("surfboard", {"name": "White surfboard"}, 0.0),
        ("suede", {"name": "Suede boots"}, 0.0),
        ("button fly", {"name": "Jeans", "description": "button fly"}, 0.0),
        ("denim jacket", {"name": "Denim tee", "description": "like a jacket"}, 1.0),
    ],
)
def test_what_mentions_a_thing_to_buy_is_another_thing(text, product, beside):
    read, _ = reader([*PRODUCTS, product])
    found = word_evidence(read.read(text), text, product_words(ENCODER.analyser, product))
    assert found.beside == beside


def test_of_several_words_for_a_thing_the_last_counts_most():
    products = [{"name": "Black running leggings"}, {"name": "Trail shoes"}, {"name": "Running vest"}]
    query = reader(products)[0].read("trainers")
    assert query.words[0].related == {("run", "shoe"): 0.85}
    assert numbers(query)[number_of("shoe")] > numbers(query)[number_of("run")] > 0
    assert score_of(query, products[1]) > score_of(query, products[0])
