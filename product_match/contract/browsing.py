"""What is shown of a catalogue where nobody searches: products that a filter fits, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from product_match.contract.filters import ProductFilter
from product_match.contract.sorting import BY_ID, SortKey


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What is to be shown.

    Attributes:
        filter: Which products; None for all.
        sort: What they are sorted by; equals, and those that lack the field, stand in the order of ids.
        offset: How many are passed over.
        limit: How many are shown.
        first: Ids of products that stand first where they fit, in this order.
        last: Ids of products that stand last where they fit.
        numbers: Fields whose least and greatest number are looked up.
    """

    filter: ProductFilter | None
    sort: SortKey = BY_ID
    offset: int = 0
    limit: int = 10
    numbers: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """How many products have a number, its least and its greatest."""

    products: int
    least: float
    greatest: float


@dataclass(frozen=True)
class Shown:
    """What a shelf shows.

    Attributes:
        products: The page, in order.
        total: How many products the filter fits.
        bounds: Of each of the numbers; None where no product has it.
    """

    products: Sequence[Mapping[str, Any]]
    total: int
    bounds: Mapping[str, Bounds | None]
