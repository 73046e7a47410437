"""Filters on product fields: read from JSON once, then handed to either engine or to the document store.

    {"category": "Shoes", "color": ["navy", "blue"], "price": {"gte": 10, "lt": 50}, "brand": {"not": "Acme"}}

Every condition must hold. A value alone means `eq`, a list means `in`. `and` and `or` take lists of filters, of which
all or at least one must hold, and `not` takes one, which must not:

    {"price": {"lt": 50}, "or": [{"brand": "Acme"}, {"color": "navy", "brand": {"exists": false}}]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import FILTER_FIELDS, FieldType

FilterValue = str | float

BOUNDS: Final = ("gte", "gt", "lte", "lt")
OPERATORS: Final = ("eq", "in", "not", *BOUNDS, "contains", "exists")
ALL, ANY, NONE = "and", "or", "not"
OPERATORS_OF: Final[Mapping[FieldType, tuple[str, ...]]] = {
    FieldType.KEYWORD: tuple(name for name in OPERATORS if name not in BOUNDS),
    FieldType.NUMBER: tuple(name for name in OPERATORS if name != "contains"),
}
"""What a field of each type can be asked for."""

_TYPES: Final = {field.name: field.type for field in FILTER_FIELDS}
_KNOWN: Final = ", ".join(_TYPES)


@dataclass(frozen=True, kw_only=True)
class FieldFilter:
    """What one field must fulfil; parts that are not given do not count.

    Attributes:
        field: One of FILTER_FIELDS.
        any_of: The field must be one of these.
        none_of: The field must be none of these; a product without the field passes.
        gte: Least number.
        gt: Number to be above.
        lte: Greatest number.
        lt: Number to be below.
        contains: Text that stands in the field's text, as it is spelt.
        exists: Whether a product must have the field, or must not.
    """

    field: str
    any_of: tuple[FilterValue, ...] | None = None
    none_of: tuple[FilterValue, ...] | None = None
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None
    contains: str | None = None
    exists: bool | None = None

    @property
    def is_number(self) -> bool:
        """True for fields that hold numbers."""
        return _TYPES[self.field] is FieldType.NUMBER

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by operator."""
        found = {name: getattr(self, name) for name in BOUNDS}
        return {name: bound for name, bound in found.items() if bound is not None}


@dataclass(frozen=True, kw_only=True)
class ProductFilter:
    """Conditions that must all hold; at least one.

    Attributes:
        fields: What fields must fulfil.
        all_of: Filters that must all hold.
        any_of: Lists of filters; of each list at least one must hold.
        none_of: Filters that must not hold.
    """

    fields: tuple[FieldFilter, ...] = ()
    all_of: tuple[ProductFilter, ...] = ()
    any_of: tuple[tuple[ProductFilter, ...], ...] = ()
    none_of: tuple[ProductFilter, ...] = ()

    def parts(self) -> list[tuple[str, ProductFilter]]:
        """Return each condition by itself, under the name that it has in JSON."""
        return [
            *((field.field, ProductFilter(fields=(field,))) for field in self.fields),
            *((ALL, ProductFilter(all_of=(part,))) for part in self.all_of),
            *((ANY, ProductFilter(any_of=(part,))) for part in self.any_of),
            *((NONE, ProductFilter(none_of=(part,))) for part in self.none_of),
        ]

    @classmethod
    def joined(cls, parts: Sequence[ProductFilter]) -> ProductFilter:
        """Return the filter of several of which all must hold."""
        return cls(
            fields=tuple(field for part in parts for field in part.fields),
            all_of=tuple(one for part in parts for one in part.all_of),
            any_of=tuple(one for part in parts for one in part.any_of),
            none_of=tuple(one for part in parts for one in part.none_of),
        )


def parse_filter(text: str) -> ProductFilter | None:
    """Read a filter from its JSON.

    Returns:
        The filter, or None where it is empty or null and so excludes nothing.

    Raises:
        InvalidRequestError: Too long, not a JSON object, an unknown field or operator, or a value of the wrong type.
    """
    if len(text.encode("utf-8", "surrogatepass")) > limits.MAX_FILTER_BYTES:
        raise InvalidRequestError(
            f"filter: longer than {limits.MAX_FILTER_BYTES:,} bytes; use fewer values, or several requests"
        )
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f'filter: not valid JSON ({error}); send an object such as {{"category": "Shoes"}}'
        ) from error
    return read_filter(given)


def read_filter(given: object) -> ProductFilter | None:
    """Read a filter that has been parsed from JSON already; see parse_filter."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            f'filter: expected a JSON object such as {{"category": "Shoes"}}, got {type(given).__name__}'
        )
    return _conditions(given, depth=1) if given else None


def _conditions(given: Mapping[str, object], depth: int) -> ProductFilter:
    if depth > limits.MAX_FILTER_DEPTH:
        raise InvalidRequestError(
            f"filter: more than {limits.MAX_FILTER_DEPTH} filters inside one another; write it flatter"
        )
    parts = [_part(str(name), value, depth) for name, value in given.items()]
    return ProductFilter.joined(parts)


def _part(name: str, given: object, depth: int) -> ProductFilter:
    if name in (ALL, ANY):
        if not isinstance(given, list) or not given:
            raise InvalidRequestError(f"filter: `{name}` takes a list of filters, got {given!r:.80}")
        inner = tuple(_inner(name, one, depth) for one in given)
        return ProductFilter(all_of=inner) if name == ALL else ProductFilter(any_of=(inner,))
    if name == NONE:
        return ProductFilter(none_of=(_inner(name, given, depth),))
    return ProductFilter(fields=(_field(name, given),))


def _inner(name: str, given: object, depth: int) -> ProductFilter:
    if not isinstance(given, Mapping) or not given:
        raise InvalidRequestError(
            f"filter: `{name}` holds {given!r:.80}, which is no filter; write conditions such as "
            '{"category": "Shoes"}'
        )
    return _conditions(given, depth + 1)


def _field(name: str, given: object) -> FieldFilter:
    if name not in _TYPES:
        raise InvalidRequestError(f"filter: `{name:.80}` cannot be filtered on; known fields are {_KNOWN}")
    if not isinstance(given, Mapping):
        given = {"in" if isinstance(given, list) else "eq": given}
    if not given:
        raise InvalidRequestError(f"filter: {name} has no condition; known operators are {', '.join(OPERATORS)}")
    parts: dict[str, Any] = {}
    for operator, value in given.items():
        if operator in ("eq", "in"):
            if "any_of" in parts:
                raise InvalidRequestError(f"filter: {name} has both `eq` and `in`; give one of them")
            parts["any_of"] = _values(name, operator, value)
        elif operator == "not":
            parts["none_of"] = _values(name, operator, value)
        elif operator in BOUNDS:
            parts[operator] = _bound(name, operator, value)
        elif operator == "exists":
            parts[operator] = _flag(name, value)
        elif operator == "contains":
            parts[operator] = _text(name, value)
        else:
            raise InvalidRequestError(
                f"filter: {name} has the unknown operator `{operator!s:.80}`; "
                f"known operators are {', '.join(OPERATORS)}"
            )
    return FieldFilter(field=name, **parts)


def _values(name: str, operator: str, given: object) -> tuple[FilterValue, ...]:
    if operator == "in" and not isinstance(given, list):
        raise InvalidRequestError(f"filter: {name}.in must be a list, got {type(given).__name__}")
    if operator == "eq" and isinstance(given, list):
        raise InvalidRequestError(f"filter: {name}.eq must be one value, got a list; use `in`")
    values = given if isinstance(given, list) else [given]
    if not values:
        raise InvalidRequestError(f"filter: {name}.{operator} is an empty list, which nothing fits; leave it out")
    if len(values) > limits.MAX_FILTER_VALUES:
        raise InvalidRequestError(
            f"filter: {name}.{operator} has {len(values)} values, the limit is {limits.MAX_FILTER_VALUES}"
        )
    return tuple(_value(name, value) for value in values)


def _value(name: str, value: object) -> FilterValue:
    if _TYPES[name] is FieldType.NUMBER:
        return _number(name, value)
    if not isinstance(value, str):
        raise InvalidRequestError(f"filter: {name} holds text, got {value!r:.80}; put it in quotes")
    return value


def _bound(name: str, operator: str, value: object) -> float:
    if _TYPES[name] is not FieldType.NUMBER:
        numbers = ", ".join(field for field, kind in _TYPES.items() if kind is FieldType.NUMBER)
        raise InvalidRequestError(f"filter: {operator} works on numbers ({numbers}), and {name} holds text")
    return _number(name, value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"filter: {name}.exists must be true or false, got {value!r:.80}")
    return value


def _text(name: str, value: object) -> str:
    if _TYPES[name] is not FieldType.KEYWORD:
        raise InvalidRequestError(
            f"filter: contains works on text, and {name} holds numbers; use {', '.join(BOUNDS)}"
        )
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"filter: {name}.contains must be text that is not empty, got {value!r:.80}")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidRequestError(f"filter: {name} holds numbers, got {value!r:.80}; send a finite number")
    return float(value)
