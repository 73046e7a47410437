"""How the answer to a row is to be shaped, as its options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import FILTER_FIELDS
from product_match.contract.sorting import DESCENDING, ID, SortKey

_FIELDS: Final = tuple(field.name for field in FILTER_FIELDS)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is done with the confident set of a row: the products that a person would probably accept.

    Attributes:
        facets: Fields whose values are counted.
        sort: What the set is sorted by, the first key first; empty to leave it as it is ranked.
    """

    facets: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()

    @property
    def reorders(self) -> bool:
        """Whether the matches are others, or in another order, than those that are ranked."""
        return bool(self.sort)


def read_shape(options: Mapping[str, Any], *, browsing: bool = False) -> Shape | None:
    """Return the shape that the options of a request ask for; None where they ask for none.

    Args:
        options: Of the request.
        browsing: Whether nothing is searched for.

    Raises:
        InvalidRequestError: A field is not declared, or stands twice, or what is browsed is sorted by several.
    """
    facets = _declared("facets", options.get("facets", ()), _FIELDS)
    names = options.get("sort", ())
    fields = _declared("sort", [name.removeprefix(DESCENDING) for name in names], (*_FIELDS, ID))
    sort = tuple(
        SortKey(field, descending=name.startswith(DESCENDING)) for name, field in zip(names, fields, strict=True)
    )
    if browsing and len(sort) > 1:
        raise InvalidRequestError(
            f"sort: what is browsed is sorted by one field, got {', '.join(names)}; equals stand in the order of ids"
        )
    return Shape(facets=facets, sort=sort) if facets or sort else None


def _declared(option: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise InvalidRequestError(
                f"{option}: there is no field `{name:.80}`; known fields are {', '.join(known)}"
            )
        if names.count(name) > 1:
            raise InvalidRequestError(f"{option}: {name} stands twice; name each field once")
    return tuple(names)
