"""Numbers as feeds write them: "19.90 EUR", "€ 1.299,00", "9,99".

A point and a comma mean opposite things in different countries. What can mean one thing only is read; what may mean
two is refused, since a price that is wrong a thousandfold is worse than one that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.contract.products import FILTER_FIELDS, FieldType

CURRENCY: Final = "currency"
"""The field that keeps a price's currency, where the product has none of its own."""

_SIGNS: Final[Mapping[str, str]] = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "zł": "PLN"}
"""Signs that mean one currency; `$`, `¥` and `kr` mean several and are kept as they are."""

_CODES: Final = re.compile(
    "AED|AFN|ALL|AMD|ANG|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|"
    "CAD|CDF|CHF|CLP|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|"
    "GNF|GTQ|GYD|HKD|HNL|HRK|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|"
    "KZT|LAK|LBP|LKR|LRD|LSL|LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|"
    "NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|"
    "SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|TRY|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VED|VES|VND|VUV|WST|XAF|"
    "XCD|XCG|XOF|XPF|YER|ZAR|ZMW|ZWG"
)
"""ISO 4217: three letters that are none of them, as in "5 pcs", make no price."""

SALE_PRICE: Final = "sale_price"
"""The field that feeds put beside `price` while a product costs less."""

VARIANTS: Final = "variants"
"""The field that holds a product's variants, each with its own price."""

_NUMBERS: Final = (*(field.name for field in FILTER_FIELDS if field.type is FieldType.NUMBER), SALE_PRICE)
_CURRENCY: Final = (
    r"[A-Za-z]{3}|[A-Z]{0,3}[$\u00a2-\u00a5\u20a0-\u20c0\ufdfc\uff04\uffe0\uffe1\uffe5\uffe6\u0e3f]|z\u0142|kr\.?|K\u010d|Ft|Fr\.?|"
    r"\u043b\u0432|Rs\.?|Rp|RM|R|S/"
)
_PRICE: Final = re.compile(
    rf"(?P<before>{_CURRENCY})?\s*(?P<number>[+-]?\d[\d.,'\u2019\s]*|[+-]?[.,]\d+)\s*(?P<after>{_CURRENCY})?"
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


def with_numbers(fields: Mapping[str, Any], decimal_mark: str = "") -> dict[str, Any]:
    """Return fields in which text that stands where a number belongs has become one; its currency is kept beside it.

    Text that holds no number stays, for the product's check to name it.

    Args:
        fields: A product's.
        decimal_mark: What stands before decimals in this feed; empty where only the number itself tells.

    Raises:
        InvalidRequestError: A number may mean two.
    """
    read = dict(fields)
    for name in _NUMBERS:
        value = read.get(name)
        if not isinstance(value, str):
            continue
        price = read_price(value, name, decimal_mark)
        if price is None:
            continue
        read[name] = price.amount
        if price.currency and not read.get(CURRENCY):
            read[CURRENCY] = price.currency
    variants = read.get(VARIANTS)
    if isinstance(variants, list):
        read[VARIANTS] = [with_numbers(one, decimal_mark) if isinstance(one, dict) else one for one in variants]
    return read


def read_price(text: str, name: str, decimal_mark: str = "") -> Price | None:
    """Read a number with or without a currency; None where `text` holds none.

    Args:
        text: What stands in the feed.
        name: The field, for the error.
        decimal_mark: What stands before decimals in this feed; empty where only the number itself tells.

    Raises:
        InvalidRequestError: It may mean two numbers.
    """
    found = _PRICE.fullmatch(_NO_DECIMALS.sub("", text).strip())
    if found is None or (found["before"] and found["after"]):
        return None
    currency = _SIGNS.get(sign := found["before"] or found["after"] or "", sign)
    if len(currency) == 3 and currency.isascii() and currency.isalpha():
        currency = currency.upper()
        if not _CODES.fullmatch(currency):
            return None
    number = _decimal(_SPACES.sub("", found["number"]), text, name, decimal_mark)
    if number is None:
        return None
    whole = number.removeprefix("+")
    amount = float(whole) if "." in whole else int(whole)
    return Price(amount=amount, currency=currency)


def _decimal(number: str, text: str, name: str, decimal_mark: str) -> str | None:
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
        if decimal_mark:
            return number.replace(",", ".") if marks[0] == decimal_mark else number.replace(marks[0], "")
        thousands = number.replace(marks[0], "")
        decimals = number.replace(",", ".").rstrip("0").rstrip(".")
        raise InvalidRequestError(
            f"{name} `{text.strip():.40}` may be {thousands} or {decimals}; write {thousands}, or the decimals as "
            f"two digits, or give --locale, such as de_DE or en_US"
        )
    plain = number.replace(",", ".")
    return plain if _PLAIN.fullmatch(plain) and any(map(str.isdigit, plain)) and not plain.endswith(".") else None


def locale_decimal_mark(locale: str) -> str:
    """Return what stands before decimals in a country, as `de_DE`, or where a language is spoken, as `en`.

    Raises:
        InvalidRequestError: There is no such locale.
        ConfigError: The library that knows them is not installed.
    """
    try:
        from babel import Locale, UnknownLocaleError
        from babel.numbers import get_decimal_symbol
    except ModuleNotFoundError as error:
        raise ConfigError(
            '--locale needs babel; install it with `pip install "product-match[sources]"`, or write prices with two '
            "decimals"
        ) from error
    try:
        return str(get_decimal_symbol(Locale.parse(locale.replace("-", "_"))))
    except (UnknownLocaleError, ValueError) as error:
        raise InvalidRequestError(
            f"locale `{locale}`: there is no such locale; write one such as de_DE or en_US"
        ) from error
