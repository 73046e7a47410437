"""Takes note of the answers of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from product_match.events.ids import event_id
from product_match.feedback.opening import open_signer
from product_match.feedback.tokens import AnswerFacts, TokenSigner
from product_match.retrieval.answers import Answered, Timings
from product_match.retrieval.counting import kind_of
from product_match.settings import ServingSettings


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


def open_recorder(settings: ServingSettings) -> AnswerRecorder | None:
    """Return what takes note of answers; None where nothing is noted.

    Raises:
        ConfigError: The keys are wrong.
    """
    signer = open_signer(settings)
    return None if signer is None else AnswerRecorder(signer)
