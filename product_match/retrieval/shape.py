"""How the answer to a row is to be shaped, as its options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import ProductFilter, read_filter
from product_match.contract.products import FILTER_FIELDS
from product_match.contract.sorting import DESCENDING, ID, SortKey

_FIELDS: Final = tuple(field.name for field in FILTER_FIELDS)


MOST_BOOST: Final = 0.5
"""However many boosts a product has, its score becomes at most so much greater or less, as a share of it."""


@dataclass(frozen=True)
class Boost:
    """Products that are to stand higher, or lower."""

    filter: ProductFilter
    by: float


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is done with the pool of a row: the ranks that are looked at.

    Attributes:
        facets: Fields whose values are counted.
        sort: What the confident set is sorted by, the first key first; empty to leave it as it is ranked.
        boosts: What is to stand higher or lower.
        collapse: Cosine from which two products are the same; None for any.
        at_most: How many of each value of fields are kept.
        group_by: Field whose equals are variants of one; None for none.
        diversity: How much different products are preferred to good ones, 0 to 1.
    """

    facets: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    boosts: tuple[Boost, ...] = ()
    collapse: float | None = None
    at_most: Mapping[str, int] = field(default_factory=dict)
    group_by: str | None = None
    diversity: float = 0.0

    @property
    def reorders(self) -> bool:
        """Whether the matches are others, or in another order, than those that are ranked."""
        return bool(self.sort or self.boosts or self.at_most or self.group_by) or self.needs_vectors

    @property
    def needs_vectors(self) -> bool:
        """Whether matches are compared with one another."""
        return self.collapse is not None or self.diversity > 0


def read_shape(options: Mapping[str, Any], *, browsing: bool = False) -> Shape | None:
    """Return the shape that the options of a request ask for; None where they ask for none.

    Args:
        options: Of the request.
        browsing: Whether nothing is searched for.

    Raises:
        InvalidRequestError: A field is not declared, or stands twice, or what is browsed is to be shaped otherwise
            than by one order and counts.
    """
    shape = Shape(
        facets=_declared("facets", options.get("facets", ()), _FIELDS),
        sort=_sort(options.get("sort", ())),
        boosts=_boosts(options.get("boost")),
        collapse=options.get("collapse"),
        at_most=_at_most(options.get("at_most")),
        group_by=_one("group_by", options.get("group_by", ())),
        diversity=options.get("diversity", 0.0),
    )
    if shape == Shape():
        return None
    if browsing:
        _check_browsing(shape)
    if shape.sort and shape.diversity:
        raise InvalidRequestError("sort and diversity: each is an order of its own; give one of them")
    return shape


def _check_browsing(shape: Shape) -> None:
    if len(shape.sort) > 1:
        names = ", ".join(key.field for key in shape.sort)
        raise InvalidRequestError(
            f"sort: what is browsed is sorted by one field, got {names}; equals stand in the order of ids"
        )
    if replace(shape, facets=(), sort=()) != Shape():
        raise InvalidRequestError(
            "boost, collapse, at_most, group_by and diversity shape what is searched for; with a filter alone, "
            "give `sort` and `facets`"
        )


def _sort(names: Sequence[str]) -> tuple[SortKey, ...]:
    fields = _declared("sort", [name.removeprefix(DESCENDING) for name in names], (*_FIELDS, ID))
    return tuple(
        SortKey(field, descending=name.startswith(DESCENDING)) for name, field in zip(names, fields, strict=True)
    )


def _boosts(given: object) -> tuple[Boost, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not 0 < len(given) <= limits.MAX_BOOSTS:
        raise InvalidRequestError(
            f"boost: expected a JSON list of 1 to {limits.MAX_BOOSTS} boosts such as "
            f'{{"filter": {{"brand": "Acme"}}, "by": 0.2}}, got {given!r:.80}'
        )
    return tuple(_boost(boost) for boost in given)


def _boost(given: object) -> Boost:
    if not isinstance(given, Mapping) or given.keys() != {"filter", "by"}:
        raise InvalidRequestError(f"boost: a boost has a `filter` and `by`, got {given!r:.80}")
    by = given["by"]
    if not isinstance(by, int | float) or isinstance(by, bool) or not -MOST_BOOST <= by <= MOST_BOOST:
        raise InvalidRequestError(f"boost: `by` is a number from -{MOST_BOOST} to {MOST_BOOST}, got {by!r:.80}")
    found = read_filter(given["filter"])
    if found is None:
        raise InvalidRequestError("boost: an empty `filter` fits every product, which changes nothing; say which")
    return Boost(found, float(by))


def _at_most(given: object) -> dict[str, int]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not given:
        raise InvalidRequestError(f'at_most: expected a JSON object such as {{"brand": 2}}, got {given!r:.80}')
    for name, most in given.items():
        if type(most) is not int or most < 1:
            raise InvalidRequestError(f"at_most: {name:.80} takes a whole number from 1, got {most!r:.80}")
    _declared("at_most", list(given), _FIELDS)
    return dict(given)


def _one(option: str, names: Sequence[str]) -> str | None:
    if len(names) > 1:
        raise InvalidRequestError(f"{option}: takes one field, got {', '.join(names)}")
    return next(iter(_declared(option, names, _FIELDS)), None)


def _declared(option: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise InvalidRequestError(
                f"{option}: there is no field `{name:.80}`; known fields are {', '.join(known)}"
            )
        if names.count(name) > 1:
            raise InvalidRequestError(f"{option}: {name} stands twice; name each field once")
    return tuple(names)
