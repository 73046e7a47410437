"""What is to stand higher, or lower, than its score says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import ProductFilter, read_filter

MOST_BOOST: Final = 0.5
"""However many boosts a product has, its score becomes at most so much greater or less, as a share of it."""


@dataclass(frozen=True)
class Boost:
    """Products that are to stand higher, or lower."""

    filter: ProductFilter
    by: float


def read_boosts(given: object) -> tuple[Boost, ...]:
    """Read boosts that have been parsed from JSON already.

    Raises:
        InvalidRequestError: It is no list of boosts.
    """
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
