"""Rules of a shop: read, kept, found by what is asked, and done to answers."""

from __future__ import annotations

import json

import pytest

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match.contract.filters import read_filter
from product_match.contract.rules import Rules, read_rule
from product_match.documents import rules as kept_rules
from product_match.documents.rules import RulesKeeper, keep_rules, read_rules, remove_rules
from product_match.documents.store import open_documents
from product_match_client.cli.commands.rules import read_lines
from tests.fakes.catalogues import product_write, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.shops import MemoryShop, ids, random_products, words

PINS = {"id": "pins", "query": "Navy  DRESS", "pin": ["p7", "p3"], "bury": ["p1"]}


@pytest.fixture
def shop():
    return MemoryShop(random_products(120, seed=5), seed=5)


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    write_all(opened, *(product_write(number) for number in range(4)))
    yield opened
    opened.close()


def everything(shop, text, **parameters):
    return shop.row(text, top_k=220, group_by=("sku",), **parameters)["matches"]


def test_pinned_products_are_first_and_buried_ones_last(shop):
    before = ids({"matches": everything(shop, "navy dress")})
    shop.rules = [PINS]
    after = ids({"matches": everything(shop, " navy dress ")})
    between = [product_id for product_id in before if product_id not in ("p7", "p3", "p1")]
    assert after == ["p7", "p3", *between, *(["p1"] if "p1" in before else [])]
    assert ids({"matches": everything(shop, "navy dresses")}) != after


def test_why_names_the_rule(shop):
    shop.rules = [
        PINS,
        {"id": "last", "query": "navy dress", "bury": [everything(shop, "navy dress")[0]["product_id"]]},
    ]
    first, *_, last = everything(shop, "navy dress", explain=True)
    assert first["explain"]["shape"]["pinned"] == "pins"
    assert last["explain"]["shape"]["buried"] in ("pins", "last")


def test_a_pinned_product_must_fit_the_filter_and_is_not_cut_for_its_confidence(shop):
    colours = {product["id"]: product["color"] for product in shop.products.values()}
    shop.rules = [PINS]
    row = shop.row("navy dress", filter={"color": colours["p7"]}, min_confidence=1.0)
    expected = ["p7", *(["p3"] if colours["p3"] == colours["p7"] else [])]
    assert ids(row) == expected


def test_rules_for_a_category_hold_where_it_is_asked_for(shop):
    hats = [product["id"] for product in shop.products.values() if product["category"] == "hats"]
    shop.rules = [{"id": "hats", "filter": {"category": "hats"}, "pin": hats[-2:], "bury": hats[:1]}]
    searched = ids(shop.row("red", filter={"category": "hats", "price": {"gte": 0}}))
    assert set(searched[:2]) <= set(hats[-2:])
    assert ids(shop.row("red"))[:2] != hats[-2:]


def test_a_page_that_is_browsed_has_its_rules_whatever_the_size_of_pages(shop):
    hats = sorted(product["id"] for product in shop.products.values() if product["category"] == "hats")
    shop.rules = [{"id": "hats", "filter": {"category": "hats"}, "pin": [hats[-1], hats[3]], "bury": [hats[0]]}]
    expected = [hats[-1], hats[3], *(h for h in hats[1:-1] if h != hats[3]), hats[0]]
    pages = []
    while len(pages) < len(hats):
        pages += ids(shop.row(filter={"category": "hats"}, top_k=4, offset=len(pages)))
    assert pages == expected
    assert ids(shop.row(filter={"category": "hats"}, sort=("id",), top_k=100)) == hats


def test_who_sorts_decides_alone(shop):
    shop.rules = [PINS]
    prices = [match["product"].get("price", 99) for match in shop.row("navy dress", sort=("price",))["matches"]]
    assert prices == sorted(prices)


def test_boosts_of_rules_are_those_of_a_request(shop):
    boost = [{"filter": {"brand": "Acme"}, "by": 0.3}]
    asked = shop.row("navy dress", boost=boost)["matches"]
    shop.rules = [{"id": "acme", "query": ["navy dress"], "boost": boost}]
    assert shop.row("navy dress")["matches"] == asked


def test_products_that_rules_show_are_read_with_one_call(shop):
    shop.rules = [PINS, {"id": "more", "query": "red hat", "pin": ["p9"]}]
    shop.fetches.clear()
    shop.ask(words("navy dress"), words("red hat"))
    assert len(shop.fetches) <= 3


def test_the_first_of_several_rules_counts_for_a_product():
    rules = Rules([read_rule({"id": name, "query": "a", "pin": ["1"]}) for name in ("b", "a")])
    assert [rule.id for rule in rules.of("A", None)] == ["a", "b"]
    assert not Rules()
    assert not rules.of("b", None)
    assert not rules.of("", read_filter({"category": "a"}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "rule: expected a JSON object, got []"),
        ({"query": "a"}, "rule: `id` must be a name that is not empty, got None"),
        ({"id": "r", "querry": "a"}, "rule r: `querry` is not known; known are id, query, filter, pin, bury, boost"),
        ({"id": "r", "pin": ["1"]}, "rule r: it is for no query and no filter; give `query`, `filter` or both"),
        ({"id": "r", "query": "a"}, "rule r: it names no product and boosts none; give `pin`, `bury` or `boost`"),
        ({"id": "r", "query": "a", "pin": "1"}, "rule r: `pin` must be a list of up to 100 texts that are not empty"),
        ({"id": "r", "query": [" "], "pin": ["1"]}, "rule r: `query` must be a list of up to 100 texts"),
        (
            {"id": "r", "query": "a", "pin": ["1"], "bury": ["1"]},
            "rule r: 1 is both pinned and buried; name it in one",
        ),
        (
            {"id": "r", "filter": {"price": {"lt": 5}}, "pin": ["1"]},
            "rule r: `filter` says what a request asks for, one",
        ),
        ({"id": "r", "filter": {"weight": 5}, "pin": ["1"]}, "rule r: filter: `weight` cannot be filtered on"),
        ({"id": "r", "query": "a", "boost": 5}, "rule r: boost: expected a JSON list"),
    ],
)
def test_what_is_no_rule_is_refused(given, said):
    with pytest.raises(InvalidRequestError) as caught:
        read_rule(given)
    assert said in str(caught.value)


def rule(name="r", **changes):
    return read_rule({"id": name, "query": "a", "pin": ["p1"], **changes})


def test_rules_are_kept_replaced_and_removed(documents):
    keep_rules(documents, [rule("b"), rule("a")])
    keep_rules(documents, [rule("b", pin=["p2"])])
    assert [(one.id, one.pin) for one in read_rules(documents)] == [("a", ("p1",)), ("b", ("p2",))]
    assert remove_rules(documents, ["a", "c"]) == ["a"]
    assert [one.id for one in read_rules(documents)] == ["b"]


def test_a_rule_that_names_no_product_of_the_catalogue_is_refused(documents):
    with pytest.raises(InvalidRequestError, match="rule r: there is no product with the id p9; name products"):
        keep_rules(documents, [rule("ok"), rule(pin=["p9"])])
    assert read_rules(documents) == []


def test_more_rules_than_the_limit_are_refused(documents, monkeypatch):
    monkeypatch.setattr(limits, "MAX_RULES", 2)
    with pytest.raises(InvalidRequestError, match="rules: more than 2, the limit; remove those that are over"):
        keep_rules(documents, [rule(str(number)) for number in range(3)])


def test_a_rule_of_another_version_is_passed_over(documents, caplog):
    documents.rules.insert_one({"_id": "x", "rule": {"id": "x", "of": "tomorrow"}})
    keep_rules(documents, [rule()])
    assert [one.id for one in read_rules(documents)] == ["r"]
    assert "a rule is passed over: rule x: `of` is not known" in caplog.text


def test_a_keeper_sees_other_rules_and_keeps_those_before_where_the_store_is_away(documents, monkeypatch, caplog):
    keeper = RulesKeeper(documents, check_s=0.01)
    keeper.start()
    keep_rules(documents, [rule()])
    for _ in range(1000):
        if keeper.current.of("a", None):
            break
        keeper._closing.wait(0.01)
    keeper.close()
    assert [one.id for one in keeper.current.of("A", None)] == ["r"]

    def away(_):
        raise UnavailableError("the store is away")

    monkeypatch.setattr(kept_rules, "read_rules", away)
    keeper.refresh()
    assert [one.id for one in keeper.current.of("A", None)] == ["r"]
    assert "the rules could not be read: the store is away; those before hold" in caplog.text


def test_a_file_of_rules_is_read_line_by_line(tmp_path):
    path = tmp_path / "rules.jsonl"
    path.write_text(json.dumps(PINS) + "\n\n")
    assert read_lines(str(path)) == [PINS]
    path.write_text("{}\n{\n")
    with pytest.raises(InvalidRequestError, match="line 2: not JSON"):
        read_lines(str(path))
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        read_lines(str(tmp_path / "nothing"))
