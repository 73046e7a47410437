"""Products that a query names: what is sought is like some of them and unlike others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import point_id
from product_match.contract.vectors import VECTOR_NAMES

LIKE_WEIGHT: Final = 0.5
UNLIKE_WEIGHT: Final = 0.5

_SHOWN: Final = 10
"""Unknown ids that a message names."""

Vectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a row names.

    Attributes:
        like: Ids of products that what is sought is like.
        unlike: Ids of products that it is unlike.
        like_weight: Of the first, beside photo and words.
        unlike_weight: How much of the likeness to the second is taken off a score.
        vectors: Of all of them, by product id; empty until `known` has put them in.
    """

    like: tuple[str, ...]
    unlike: tuple[str, ...]
    like_weight: float
    unlike_weight: float
    vectors: Mapping[str, Vectors] = field(default_factory=dict, repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """All product ids, each once."""
        return tuple(dict.fromkeys((*self.like, *self.unlike)))

    @property
    def points(self) -> frozenset[str]:
        """The point ids of all of them: none of them is an answer."""
        return frozenset(point_id(product_id) for product_id in self.ids)

    def known(self, held: Mapping[str, Vectors]) -> Examples:
        """Return the examples with their vectors.

        Args:
            held: Vectors by point id, of the products that the index holds.

        Raises:
            InvalidRequestError: The index does not hold one of them.
        """
        unknown = {
            name: [product_id for product_id in ids if point_id(product_id) not in held]
            for name, ids in (("like", self.like), ("unlike", self.unlike))
        }
        for name, ids in unknown.items():
            if ids:
                more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
                raise InvalidRequestError(
                    f"{name}: no product of the catalogue has the id {', '.join(ids[:_SHOWN])}{more}; "
                    "name products that can be found"
                )
        return replace(self, vectors={product_id: held[point_id(product_id)] for product_id in self.ids})

    def centre(self, vector_name: str) -> NDArray[np.float32] | None:
        """Return the mean of the liked products' vectors of one name, not of unit length; None where none has one.

        Its dot product with a vector is the mean of theirs.
        """
        held = [_first(self.vectors[id_][vector_name]) for id_ in self.like if vector_name in self.vectors[id_]]
        return np.mean(held, axis=0, dtype=np.float32) if held else None

    def unlike_vectors(self) -> list[Vectors]:
        """Return the vectors of each product that what is sought is unlike, one of each name."""
        return [
            {name: _first(self.vectors[id_][name]) for name in VECTOR_NAMES if name in self.vectors[id_]}
            for id_ in self.unlike
        ]


def read_examples(options: Mapping[str, Any]) -> Examples | None:
    """Return what the options of a request name; None where they name no product.

    Raises:
        InvalidRequestError: A product is in both lists.
    """
    like, unlike = options.get("like", ()), options.get("unlike", ())
    both = [product_id for product_id in like if product_id in unlike]
    if both:
        raise InvalidRequestError(f"like and unlike: {both[0]} is in both; name a product in one of them")
    if not (like or unlike):
        return None
    return Examples(
        like=tuple(dict.fromkeys(like)),
        unlike=tuple(dict.fromkeys(unlike)),
        like_weight=options.get("like_weight", LIKE_WEIGHT),
        unlike_weight=options.get("unlike_weight", UNLIKE_WEIGHT),
    )


def named_points(examples: Sequence[Examples]) -> list[str]:
    """Return the point ids of all examples, each once, in a fixed order."""
    return sorted({id_ for one in examples for id_ in one.points})


def _first(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vector, or that of the photo which shows a product best."""
    return vector if vector.ndim == 1 else vector[0]
