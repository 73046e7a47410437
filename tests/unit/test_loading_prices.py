"""Numbers as feeds write them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match_client.loading.rejects import Rejects
from product_match_client.loading.rows import open_row
from product_match_client.loading.sources.prices import Price, locale_decimal_mark, read_price, with_numbers
from product_match_client.loading.sources.records import Record
from product_match_client.loading.sources.text_files import json_lines


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("19.90", 19.9, ""),
        ("19,9", 19.9, ""),
        ("12", 12, ""),
        ("19.90 EUR", 19.9, "EUR"),
        ("USD 5", 5, "USD"),
        ("\u20ac19,90", 19.9, "EUR"),
        ("$5.00", 5.0, "$"),
        ("1.299,00 \u20ac", 1299.0, "EUR"),
        ("1,299.00", 1299.0, ""),
        ("1'299.00", 1299.0, ""),
        ("1\u00a0299,00 kr", 1299.0, "kr"),
        ("1.299.000", 1299000, ""),
        ("1299.500", 1299.5, ""),
        ("0.125", 0.125, ""),
        (".5", 0.5, ""),
        ("-3", -3, ""),
        ("9,-", 9, ""),
        ("9.\u2013 CHF", 9, "CHF"),
        ("19.90 eur", 19.9, "EUR"),
        ("US$ 5", 5, "US$"),
        ("1'299.00", 1299.0, ""),
    ],
)
def test_a_price_that_means_one_number_is_read_with_its_currency(text, amount, currency):
    assert read_price(text, "price") == Price(amount=amount, currency=currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cheap",
        "12 kg bag",
        "12 kg",
        "5 pcs",
        "4.5 stars",
        "10%",
        "1.2.3",
        "12,34,56",
        "1,2.3,4",
        "EUR 5 EUR",
        "nan",
        "1.",
        "1e3",
    ],
)
def test_what_is_no_number_is_left_to_the_product_s_check(text):
    assert read_price(text, "price") is None
    assert with_numbers({"price": text}) == {"price": text}


@pytest.mark.parametrize("text", ["1.299", "1,299", "\u20ac 1.299"])
def test_a_price_that_may_mean_two_numbers_is_refused(text):
    with pytest.raises(InvalidRequestError) as refused:
        read_price(text, "price")
    assert str(refused.value) == (
        f"price `{text}` may be 1299 or 1.299; write 1299, or the decimals as two digits, "
        "or give --locale, such as de_DE or en_US"
    )


def test_the_currency_is_kept_unless_the_product_has_one():
    assert with_numbers({"price": "5 EUR"}) == {"price": 5, "currency": "EUR"}
    assert with_numbers({"price": "5 EUR", "currency": "SEK"}) == {"price": 5, "currency": "SEK"}
    assert with_numbers({"price": 5, "size": "5"}) == {"price": 5, "size": "5"}


def test_numbers_are_read_after_fields_have_got_their_names():
    record = Record(
        source="s", line=2, directory=Path(), fields={"id": "mp2", "name": "Top", "cost": "1.299,00 \u20ac"}
    )
    row = open_row(record, {"price": ["cost"]})
    assert row.product == {"id": "mp2", "name": "Top", "price": 1299.0, "currency": "EUR"}


def test_the_decimal_mark_of_a_locale_decides_what_a_number_means():
    assert {name: locale_decimal_mark(name) for name in ("de_DE", "de-CH", "en", "fr")} == {
        "de_DE": ",",
        "de-CH": ".",
        "en": ".",
        "fr": ",",
    }
    assert with_numbers({"price": "1.299"}, ",") == {"price": 1299}
    assert with_numbers({"price": "1.299"}, ".") == {"price": 1.299}
    assert with_numbers({"price": "1,299 usd"}, ".") == {"price": 1299, "currency": "USD"}
    assert with_numbers({"price": "19.90"}, ",") == {"price": 19.9}


def test_a_locale_that_there_is_not_is_told(monkeypatch):
    with pytest.raises(
        InvalidRequestError, match=r"locale `xx_YY`: there is no such locale; write one such as de_DE"
    ):
        locale_decimal_mark("xx_YY")
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(ConfigError, match=r"--locale needs babel; install it with"):
        locale_decimal_mark("de")


def test_a_sale_price_is_a_number_beside_the_price():
    assert with_numbers({"price": "19.90 EUR", "sale_price": "14.90 EUR"}) == {
        "price": 19.9,
        "sale_price": 14.9,
        "currency": "EUR",
    }


def test_a_number_that_json_does_not_have_is_told_with_the_product_and_kept_as_text(tmp_path):
    fields = {"id": "p1", "weight": float("nan")}
    record = Record(source="s", line=2, directory=Path(), fields=fields)
    with pytest.raises(InvalidRequestError, match=r"product p1: cannot be written as JSON"):
        open_row(record, {})
    with Rejects(tmp_path / "rejects.jsonl", decimal_mark=",") as rejects:
        rejects.add(record, "x")
    written = json.loads((tmp_path / "rejects.jsonl").read_text(), parse_constant=pytest.fail)
    assert (written["record"], written["decimal_mark"]) == ({"id": "p1", "weight": "nan"}, ",")
    (again,) = json_lines(io.BytesIO((tmp_path / "rejects.jsonl").read_bytes()), "r", Path())
    assert again.decimal_mark == ","
