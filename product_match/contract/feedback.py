"""What people can say of a product that an answer showed them."""

from __future__ import annotations

from typing import Final

from product_match.contract.errors import InvalidRequestError

EVENTS: Final = ("shown", "click", "basket", "purchase", "wrong")
"""What a shop sees or hears: the product was shown, clicked, put into the basket, bought, or is wrong."""

LEAST_RATING: Final = 1
BEST_RATING: Final = 10

EXPECTED: Final = f"a rating from {LEAST_RATING} to {BEST_RATING}, or one of {', '.join(EVENTS)}"


def parse_feedback(text: str) -> int | str:
    """Read what was said: a rating, or one of `EVENTS`.

    Raises:
        InvalidRequestError: It is neither.
    """
    said = text.strip().lower()
    if said in EVENTS:
        return said
    if said.isascii() and said.isdecimal() and LEAST_RATING <= int(said) <= BEST_RATING:
        return int(said)
    raise InvalidRequestError(f"feedback: expected {EXPECTED}, got {text!r:.60}; send one of these as text")


def written_feedback(rating: int | None, event: str | None) -> str:
    """Return what is sent for a rating or an event, of which there is one.

    Raises:
        InvalidRequestError: Both or neither are given, or it is no feedback.
    """
    if (rating is None) is (event is None):
        given = "neither" if rating is None else "both"
        raise InvalidRequestError(f"feedback: expected {EXPECTED}, got {given} of `rating` and `event`; give one")
    if rating is not None and (isinstance(rating, bool) or not isinstance(rating, int)):
        raise InvalidRequestError(f"feedback: `rating` must be a whole number, got {rating!r:.60}")
    return str(parse_feedback(str(rating) if event is None else event))
