"""How the answer to a row is to be shaped, as its options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from product_match.contract.boosts import Boost, read_boosts
from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import FILTER_FIELDS
from product_match.contract.rules import Rule
from product_match.contract.sorting import DESCENDING, ID, SortKey

_FIELDS: Final = tuple(field.name for field in FILTER_FIELDS)


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
        pins: Ids of products that stand first, in this order, and of the rules that say so.
        buried: Ids of products that stand last, and of the rules that say so.
    """

    facets: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    boosts: tuple[Boost, ...] = ()
    collapse: float | None = None
    at_most: Mapping[str, int] = field(default_factory=dict)
    group_by: str | None = None
    diversity: float = 0.0
    pins: Mapping[str, str] = field(default_factory=dict)
    buried: Mapping[str, str] = field(default_factory=dict)

    @property
    def reorders(self) -> bool:
        """Whether the matches are others, or in another order, than those that are ranked."""
        moved = self.sort or self.boosts or self.at_most or self.group_by or self.pins or self.buried
        return bool(moved) or self.needs_vectors

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
        boosts=read_boosts(options.get("boost")),
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


def ruled(shape: Shape | None, rules: Sequence[Rule]) -> Shape | None:
    """Return a shape with what rules say; where several name a product, the first of them counts.

    Who sorts decides alone what stands where.
    """
    if not rules or (shape is not None and shape.sort):
        return shape
    shape = shape or Shape()
    pins = {product_id: rule.id for rule in reversed(rules) for product_id in rule.pin}
    buried = {product_id: rule.id for rule in reversed(rules) for product_id in rule.bury}
    return replace(
        shape,
        boosts=(*shape.boosts, *(boost for rule in rules for boost in rule.boosts)),
        pins={id_: pins[id_] for rule in rules for id_ in rule.pin},
        buried={id_: rule_id for id_, rule_id in buried.items() if id_ not in pins},
    )


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
