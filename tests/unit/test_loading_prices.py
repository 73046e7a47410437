"""Numbers as feeds write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.rows import open_row
from product_match_client.loading.sources.prices import Price, read_price, with_numbers
from product_match_client.loading.sources.records import Record


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
    ],
)
def test_a_price_that_means_one_number_is_read_with_its_currency(text, amount, currency):
    assert read_price(text, "price") == Price(amount=amount, currency=currency)


@pytest.mark.parametrize(
    "text",
    ["", "cheap", "12 kg bag", "4.5 stars", "10%", "1.2.3", "12,34,56", "1,2.3,4", "EUR 5 EUR", "nan", "1.", "1e3"],
)
def test_what_is_no_number_is_left_to_the_product_s_check(text):
    assert read_price(text, "price") is None
    assert with_numbers({"price": text}) == {"price": text}


@pytest.mark.parametrize("text", ["1.299", "1,299", "\u20ac 1.299"])
def test_a_price_that_may_mean_two_numbers_is_refused(text):
    with pytest.raises(InvalidRequestError) as refused:
        read_price(text, "price")
    assert str(refused.value) == (f"price `{text}` may be 1299 or 1.299; write 1299, or the decimals as two digits")


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
