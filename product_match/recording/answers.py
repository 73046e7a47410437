"""Takes note of the answers of a batch: an event for each, and the token that its feedback comes back with."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from product_match.contract.errors import unforeseen
from product_match.events.ids import event_id
from product_match.events.privacy import Privacy, privacy_of
from product_match.events.writer import EventWriter
from product_match.feedback.opening import open_signer
from product_match.feedback.tokens import AnswerFacts, TokenSigner
from product_match.retrieval.answers import Answered, Match, Timings
from product_match.retrieval.counting import kind_of
from product_match.settings import ServingSettings

LOGGER = logging.getLogger(__name__)

MOST_RESULTS: Final = 100
"""Matches of one answer that its event holds."""

_OF_THEIR_OWN: Final = frozenset({"filter", "person"})
"""Options that an event has a field of its own for."""

_DIGITS: Final = 4


class AnswerRecorder:
    """Signs answers, and hands an event of each to the writer."""

    def __init__(self, privacy: Privacy, signer: TokenSigner | None, writer: EventWriter | None) -> None:
        """Keep of a person what `privacy` allows; sign with `signer` and write with `writer`, where they are."""
        self._privacy, self._signer, self._writer = privacy, signer, writer

    def __call__(self, encoder: str, answered: Sequence[Answered], timings: Timings) -> list[str | None]:
        """Note the answers of a batch; return the token of each, None where answers are not signed."""
        return [self._noted(encoder, one, timings.milliseconds) for one in answered]

    def _noted(self, encoder: str, answered: Answered, milliseconds: Mapping[str, float]) -> str | None:
        try:
            return self._note(encoder, answered, milliseconds)
        except Exception:
            # Whoever asked gets the answer all the same, and so do those beside it in the batch.
            unforeseen(LOGGER, "an answer could not be noted")
            return None

    def _note(self, encoder: str, answered: Answered, milliseconds: Mapping[str, float]) -> str | None:
        row = answered.row
        person = str(row.options.get("person", ""))
        facts = AnswerFacts(
            answer_id=event_id(),
            kind=kind_of(row),
            outcome=answered.outcome,
            encoder=encoder,
            person=self._privacy.digest(person) if person else "",
            offset=row.offset,
        )
        if self._writer is not None:
            self._writer.add(self._event(facts, answered, milliseconds))
        if self._signer is None:
            return None
        shown = [match.product.product_id for match in answered.matches]
        return self._signer.sign(facts, shown, _further(answered))

    def _event(self, facts: AnswerFacts, answered: Answered, milliseconds: Mapping[str, float]) -> dict[str, Any]:
        row = answered.row
        repaired = row.words.repaired if row.words is not None else {}
        event = {
            "_id": facts.answer_id,
            "order": facts.answer_id,
            "type": "answer",
            "query_id": row.query_id,
            "kind": facts.kind,
            "options": {name: _storable(value) for name, value in row.options.items() if name not in _OF_THEIR_OWN},
            **self._privacy.of_words(row.text, repaired),
            "outcome": facts.outcome,
            "results": [_result(match) for match in answered.matches[:MOST_RESULTS]],
            "milliseconds": dict(milliseconds),
            "encoder": facts.encoder,
        }
        if row.filter is not None:
            event["filter"] = json.dumps(row.options["filter"])
        if answered.would_match:
            event["would_match"] = _would_match(answered)
        if row.rules:
            event["rules"] = list(row.rules)
        if facts.person:
            event["person"] = facts.person
        return event


def _result(match: Match) -> dict[str, Any]:
    result = {
        "id": match.product.product_id,
        "score": round(match.score, _DIGITS),
        "confidence": round(match.assessment.confidence, _DIGITS),
    }
    others = _others(match)
    return {**result, "others": others} if others else result


def _others(match: Match) -> list[str]:
    """Return the ids of what stands inside a match: the others of its group, and what is the same."""
    return [*(variant.product.product_id for variant in match.variants), *match.duplicates]


def _further(answered: Answered) -> list[tuple[str, int]]:
    """Return what an answer names besides its matches: others of a match at its rank, the rest behind all of them."""
    further = []
    for rank, match in enumerate(answered.matches, start=answered.row.offset + 1):
        further += [(id_, rank) for id_ in _others(match)]
    behind = answered.row.offset + len(answered.matches) + 1
    return [*further, *((id_, behind + place) for place, id_ in enumerate(_would_match(answered)))]


def _would_match(answered: Answered) -> list[str]:
    return list(dict.fromkeys(entry["product_id"] for entry in answered.would_match))


def _storable(value: object) -> object:
    """Return an option's value without what MongoDB may not hold, such as half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, tuple | list) and not any(isinstance(item, dict) for item in value):
        return [_storable(item) for item in value]
    # As text: names of fields may hold what names of documents may not.
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value


def open_recorder(settings: ServingSettings, writer: EventWriter | None) -> AnswerRecorder | None:
    """Return what takes note of answers; None where nothing is noted.

    Args:
        settings: Say with which keys answers are signed, and what of a person is kept.
        writer: Of the events, which who opened it closes; None where none are kept.

    Raises:
        ConfigError: The keys are wrong.
    """
    signer = open_signer(settings)
    return None if signer is None and writer is None else AnswerRecorder(privacy_of(settings), signer, writer)
