"""Numbers as feeds write them: "19.90 EUR", "€ 1.299,00", "9,99".

A point and a comma mean opposite things in different countries. What can mean one thing only is read; what may mean
two is refused, since a price that is wrong a thousandfold is worse than one that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import FILTER_FIELDS, FieldType

CURRENCY: Final = "currency"
"""The field that keeps a price's currency, where the product has none of its own."""

_SIGNS: Final[Mapping[str, str]] = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "zł": "PLN"}
"""Signs that mean one currency; `$`, `¥` and `kr` mean several and are kept as they are."""

_NUMBERS: Final = tuple(field.name for field in FILTER_FIELDS if field.type is FieldType.NUMBER)
_PRICE: Final = re.compile(
    r"(?P<before>[A-Z]{3}|[^\d\s.,+%-]{1,3})?\s*"
    r"(?P<number>[+-]?\d[\d.,'’\s]*|[+-]?[.,]\d+)\s*"
    r"(?P<after>[A-Z]{3}|[^\d\s.,+%-]{1,3})?",
)
_NO_DECIMALS: Final = re.compile(r"[.,]\s?[-–—]+")
"""As in "9,-"."""

_SPACES: Final = re.compile(r"[\s'’]")
_GROUPS: Final = re.compile(r"[+-]?\d{1,3}(?P<mark>[.,])\d{3}(?:(?P=mark)\d{3})+")
_PLAIN: Final = re.compile(r"[+-]?\d*(?:\.\d+)?")


@dataclass(frozen=True)
class Price:
    """An amount, and its currency: an ISO 4217 code where the sign means one, else the sign; empty without one."""

    amount: int | float
    currency: str


def with_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields in which text that stands where a number belongs has become one; its currency is kept beside it.

    Text that holds no number stays, for the product's check to name it.

    Raises:
        InvalidRequestError: A number may mean two.
    """
    read = dict(fields)
    for name in _NUMBERS:
        value = read.get(name)
        if not isinstance(value, str):
            continue
        price = read_price(value, name)
        if price is None:
            continue
        read[name] = price.amount
        if price.currency and not read.get(CURRENCY):
            read[CURRENCY] = price.currency
    return read


def read_price(text: str, name: str) -> Price | None:
    """Read a number with or without a currency; None where `text` holds none.

    Args:
        text: What stands in the feed.
        name: The field, for the error.

    Raises:
        InvalidRequestError: It may mean two numbers.
    """
    found = _PRICE.fullmatch(_NO_DECIMALS.sub("", text).strip())
    if found is None or (found["before"] and found["after"]):
        return None
    currency = found["before"] or found["after"] or ""
    number = _decimal(_SPACES.sub("", found["number"]), text, name)
    if number is None:
        return None
    whole = number.removeprefix("+")
    amount = float(whole) if "." in whole else int(whole)
    return Price(amount=amount, currency=_SIGNS.get(currency, currency))


def _decimal(number: str, text: str, name: str) -> str | None:
    """Return the number with a point for its decimals and no other mark; None where its marks make no sense."""
    marks = [character for character in number if character in ".,"]
    if len(set(marks)) == 2:
        # The last mark is the decimal one and stands once; the other groups thousands.
        last = marks[-1]
        other = "," if last == "." else "."
        whole, _, decimals = number.rpartition(last)
        grouped = re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(other)}\d{{3}})+", whole)
        return f"{whole.replace(other, '')}.{decimals}" if grouped and decimals else None
    if len(marks) > 1:
        return number.replace(marks[0], "") if _GROUPS.fullmatch(number) else None
    if marks and re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", number):
        thousands = number.replace(marks[0], "")
        decimals = number.replace(",", ".").rstrip("0").rstrip(".")
        raise InvalidRequestError(
            f"{name} `{text.strip():.40}` may be {thousands} or {decimals}; write {thousands}, or the decimals as "
            f"two digits"
        )
    plain = number.replace(",", ".")
    return plain if _PLAIN.fullmatch(plain) and any(map(str.isdigit, plain)) and not plain.endswith(".") else None
