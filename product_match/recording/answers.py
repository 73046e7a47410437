"""Takes note of the answers of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from product_match.events.ids import event_id
from product_match.feedback.opening import open_signer
from product_match.feedback.tokens import AnswerFacts, TokenSigner
from product_match.retrieval.answers import Answered, Timings
from product_match.retrieval.rows import TEXT, RowQuery
from product_match.settings import ServingSettings

WORDS: Final = "words"
PHOTO: Final = "photo"
PHOTO_AND_WORDS: Final = "photo_and_words"
LIKE: Final = "like"


class AnswerRecorder:
    """Signs answers."""

    def __init__(self, signer: TokenSigner) -> None:
        """Sign with `signer`."""
        self._signer = signer

    def __call__(self, encoder: str, answered: Sequence[Answered], timings: Timings) -> list[str | None]:  # noqa: ARG002
        """Return the token of each answer."""
        return [self._token(encoder, one) for one in answered]

    def _token(self, encoder: str, answered: Answered) -> str:
        facts = AnswerFacts(
            answer_id=event_id(),
            kind=kind_of(answered.row),
            outcome=answered.outcome,
            encoder=encoder,
            offset=answered.row.offset,
        )
        return self._signer.sign(facts, [match.product.product_id for match in answered.matches])


def kind_of(row: RowQuery) -> str:
    """Return what a query is made of; one that names products is `LIKE`, whatever else it has."""
    if row.examples is not None:
        return LIKE
    if row.is_composed:
        return PHOTO_AND_WORDS
    return WORDS if TEXT in row.sides else PHOTO


def open_recorder(settings: ServingSettings) -> AnswerRecorder | None:
    """Return what takes note of answers; None where nothing is noted.

    Raises:
        ConfigError: The keys are wrong.
    """
    signer = open_signer(settings)
    return None if signer is None else AnswerRecorder(signer)
