"""Answers the model `feedback`: checks the tokens of a batch, and records what was said with one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, ProductMatchError, in_row
from product_match.contract.feedback import parse_feedback
from product_match.contract.models import FEEDBACK_SAID, FEEDBACK_TOKEN, PRODUCT_ID, RECEIPT
from product_match.events.ids import event_id
from product_match.events.store import EventStore, Recorded
from product_match.feedback.tokens import TokenReader
from product_match.triton.batches import Answer, BatchRequest, bytes_column

MESSAGES = {
    Recorded.NEW: "recorded",
    Recorded.CHANGED: "recorded in place of this person's rating before",
    Recorded.REPEATED: "recorded before; it counts once, so this was left out",
}


class FeedbackService:
    """Takes feedback; without keys it takes none."""

    def __init__(self, reader: TokenReader | None, events: EventStore | None) -> None:
        """Check with `reader` and record in `events`."""
        self._reader, self._events = reader, events

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Record the feedback of all requests; a request with a row that is refused records nothing.

        Raises:
            InvalidRequestError: The server takes no feedback.
            UnavailableError: The store does not answer; to send again is safe.
        """
        if self._reader is None or self._events is None:
            raise InvalidRequestError(
                "feedback: this server takes none, as it has no keys to sign answers with; whoever runs it sets "
                "PRODUCT_MATCH_FEEDBACK_KEYS or PRODUCT_MATCH_FEEDBACK_KEYS_FILE"
            )
        plans = [self._plan(request, self._reader) for request in requests]
        documents = [document for plan in plans if isinstance(plan, list) for document in plan]
        recorded = iter(self._events.record_feedback(documents) if documents else ())
        return [
            {RECEIPT.name: bytes_column([_receipt(next(recorded)) for _ in plan])} if isinstance(plan, list) else plan
            for plan in plans
        ]

    def _plan(self, request: BatchRequest, reader: TokenReader) -> list[dict[str, Any]] | ProductMatchError:
        documents = []
        columns = (request.tensors[spec.name][:, 0] for spec in (FEEDBACK_TOKEN, PRODUCT_ID, FEEDBACK_SAID))
        for row, (token, product_id, said) in enumerate(zip(*columns, strict=True)):
            try:
                documents.append(
                    _document(reader, _text("feedback_token", token), _text("product_id", product_id), said)
                )
            except ProductMatchError as error:
                return in_row(error, row, request.rows)
        return documents


def _document(reader: TokenReader, token: str, product_id: str, said: bytes) -> dict[str, Any]:
    value = parse_feedback(_text("feedback", said))
    answer = reader.read(token)
    rank = answer.rank_of(product_id)
    facts = answer.facts
    rated = isinstance(value, int)
    document = {
        # One for each product of an answer and kind of feedback: what is said twice has the same.
        "_id": f"{facts.answer_id}/{'rating' if rated else value}/{product_id}",
        "order": event_id(),
        "answer": facts.answer_id,
        "product_id": product_id,
        "rank": rank,
        "event": "rating" if rated else value,
        "kind": facts.kind,
        "outcome": facts.outcome,
        "encoder": facts.encoder,
    }
    return {**document, **({"rating": value} if rated else {}), **({"person": facts.person} if facts.person else {})}


def _text(what: str, data: bytes) -> str:
    if len(data) > limits.MAX_TEXT_BYTES:
        raise InvalidRequestError(
            f"{what}: {len(data):,} bytes, the limit is {limits.MAX_TEXT_BYTES:,}; send what an answer held"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{what}: not UTF-8 ({error.reason} at byte {error.start}); send text") from error


def _receipt(recorded: Recorded) -> bytes:
    return orjson.dumps({"status": recorded.value, "message": MESSAGES[recorded]})
