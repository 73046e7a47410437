"""Rules of a shop: what is shown first or last for a query or on a page of a category, whatever the ranking says.

{"id": "summer", "query": ["dress", "summer dress"], "pin": ["1042"], "bury": ["1043"],
"boost": [{"filter": {"brand": "Acme"}, "by": 0.2}]}
{"id": "shoes", "filter": {"category": "Shoes"}, "pin": ["2001", "2002"]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from product_match.contract import limits
from product_match.contract.boosts import Boost, read_boosts
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import FieldFilter, FilterValue, ProductFilter, read_filter

KEYS: Final = ("id", "query", "filter", "pin", "bury", "boost")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        id: Its name.
        queries: Words that it is for, folded; empty for all.
        asked: What the request's filter must ask for: one value of each of these fields.
        pin: Ids of products that are shown first, in this order.
        bury: Ids of products that are shown last.
        boosts: What stands higher or lower.
        document: The rule as it was given.
    """

    id: str
    queries: frozenset[str]
    asked: Mapping[str, FilterValue]
    pin: tuple[str, ...]
    bury: tuple[str, ...]
    boosts: tuple[Boost, ...]
    document: Mapping[str, Any] = field(repr=False)

    @property
    def product_ids(self) -> tuple[str, ...]:
        """The products that it names."""
        return (*self.pin, *self.bury)


class Rules:
    """The rules of a catalogue, found by what is asked."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        """Hold `rules`, in the order of their ids."""
        self._by_query: dict[str, list[Rule]] = {}
        self._others: list[Rule] = []
        for rule in sorted(rules, key=lambda rule: rule.id):
            if not rule.queries:
                self._others.append(rule)
            for query in rule.queries:
                self._by_query.setdefault(query, []).append(rule)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._by_query or self._others)

    def of(self, text: str, product_filter: ProductFilter | None) -> list[Rule]:
        """Return the rules for a query, or for what is browsed, by its words and its filter."""
        asked = asked_values(product_filter)
        found = [*self._others, *(self._by_query.get(folded(text), ()) if text else ())]
        return [rule for rule in found if rule.asked.items() <= asked.items()]


def folded(text: str) -> str:
    """Return words as they are compared: whatever the case, and however many spaces there are."""
    return " ".join(text.casefold().split())


def asked_values(product_filter: ProductFilter | None) -> dict[str, FilterValue]:
    """Return the fields of which a filter asks for one value, and that."""
    fields = product_filter.fields if product_filter is not None else ()
    return {one.field: one.any_of[0] for one in fields if one.any_of is not None and len(one.any_of) == 1}


def read_rule(given: object) -> Rule:
    """Read a rule that has been parsed from JSON already.

    Raises:
        InvalidRequestError: It is no rule; the message names it and says what is wrong.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"rule: expected a JSON object, got {given!r:.80}")
    name = given.get("id")
    if not isinstance(name, str) or not name.strip() or len(name) > limits.MAX_PRODUCT_ID_CHARACTERS:
        raise InvalidRequestError(f"rule: `id` must be a name that is not empty, got {name!r:.80}")
    for key in given:
        if key not in KEYS:
            raise InvalidRequestError(f"rule {name}: `{key!s:.80}` is not known; known are {', '.join(KEYS)}")
    try:
        boosts = read_boosts(given.get("boost"))
        found = read_filter(given.get("filter"))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"rule {name}: {error}") from error
    queries = given.get("query", [])
    rule = Rule(
        id=name,
        queries=frozenset(map(folded, _texts(name, "query", [queries] if isinstance(queries, str) else queries))),
        asked=_asked(name, found),
        pin=_texts(name, "pin", given.get("pin", [])),
        bury=_texts(name, "bury", given.get("bury", [])),
        boosts=boosts,
        document=dict(given),
    )
    _check(rule)
    return rule


def _asked(name: str, found: ProductFilter | None) -> dict[str, FilterValue]:
    asked = asked_values(found)
    plain = tuple(FieldFilter(field=field, any_of=(value,)) for field, value in asked.items())
    if found is not None and found != ProductFilter(fields=plain):
        raise InvalidRequestError(
            f'rule {name}: `filter` says what a request asks for, one value a field, such as {{"category": "Shoes"}}'
        )
    return asked


def _texts(name: str, key: str, given: object) -> tuple[str, ...]:
    fits = isinstance(given, list) and all(isinstance(text, str) and text.strip() for text in given)
    if not fits or len(given) > limits.MAX_RULED_PRODUCTS:  # type: ignore[arg-type]
        raise InvalidRequestError(
            f"rule {name}: `{key}` must be a list of up to {limits.MAX_RULED_PRODUCTS} texts that are not empty, "
            f"got {given!r:.80}"
        )
    return tuple(dict.fromkeys(given))  # type: ignore[call-overload]


def _check(rule: Rule) -> None:
    if not (rule.queries or rule.asked):
        raise InvalidRequestError(f"rule {rule.id}: it is for no query and no filter; give `query`, `filter` or both")
    if not (rule.product_ids or rule.boosts):
        raise InvalidRequestError(
            f"rule {rule.id}: it names no product and boosts none; give `pin`, `bury` or `boost`"
        )
    both = [product_id for product_id in rule.pin if product_id in rule.bury]
    if both:
        raise InvalidRequestError(f"rule {rule.id}: {both[0]} is both pinned and buried; name it in one of them")
