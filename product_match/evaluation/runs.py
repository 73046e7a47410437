"""What a server answered to judged queries, as it is saved and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from product_match.contract.errors import ConfigError

VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class FoundProduct:
    """One match of an answer.

    Attributes:
        product_id: Its id.
        score: Orders the matches of an answer.
        confidence: The probability that a person would accept it; None where the server does not say.
    """

    product_id: str
    score: float
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class QueryAnswer:
    """The answer to one query.

    Attributes:
        found: Best first.
        outcome: What the server says of it; None where it does not.
        repaired: Words that were taken for others.
        refused: Why the server did not answer; None where it did.
    """

    found: tuple[FoundProduct, ...] = ()
    outcome: str | None = None
    repaired: Mapping[str, str] = field(default_factory=dict)
    refused: str | None = None

    @property
    def ranked(self) -> list[str]:
        """Ids, best first."""
        return [product.product_id for product in self.found]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The answers of one server to many queries.

    Attributes:
        encoder: `name@revision` of the encoder that read the queries.
        options: What each query was asked with, besides its own.
        depth: How many matches were asked for.
        answers: By the query's id.
        digests: What was asked, by the query's id.
    """

    encoder: str
    options: Mapping[str, Any]
    depth: int
    answers: Mapping[str, QueryAnswer]
    digests: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return what is saved."""
        return {
            "version": VERSION,
            "encoder": self.encoder,
            "options": dict(self.options),
            "depth": self.depth,
            "queries": {
                query_id: {"digest": self.digests[query_id], **_answer_json(answer)}
                for query_id, answer in self.answers.items()
            },
        }


def read_run(text: str, source: str) -> Run:
    """Read a saved run.

    Args:
        text: JSON, of `Run.as_json`.
        source: Names it in messages.

    Raises:
        ConfigError: It is something else.
    """
    try:
        saved = json.loads(text)
        if saved["version"] != VERSION:
            raise ValueError(f"version {saved['version']!r}, {VERSION} is known here")
        return Run(
            encoder=str(saved["encoder"]),
            options=dict(saved["options"]),
            depth=int(saved["depth"]),
            answers={query_id: _answer(entry) for query_id, entry in saved["queries"].items()},
            digests={query_id: str(entry["digest"]) for query_id, entry in saved["queries"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{source} is no saved run ({error!r}); make one with "
            f"`product-match evaluate --queries FILE --save {source}`"
        ) from error


def _answer_json(answer: QueryAnswer) -> dict[str, Any]:
    return {
        "outcome": answer.outcome,
        "repaired": dict(answer.repaired),
        "refused": answer.refused,
        "found": [[product.product_id, product.score, product.confidence] for product in answer.found],
    }


def _answer(entry: Mapping[str, Any]) -> QueryAnswer:
    return QueryAnswer(
        found=tuple(
            FoundProduct(
                product_id=str(product_id),
                score=float(score),
                confidence=None if confidence is None else float(confidence),
            )
            for product_id, score, confidence in entry["found"]
        ),
        outcome=entry["outcome"],
        repaired=dict(entry["repaired"]),
        refused=entry["refused"],
    )
