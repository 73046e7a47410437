"""What comes back: from the JSON of an answer's rows to typed results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from product_match.contract.errors import ProductMatchError


@dataclass(frozen=True, kw_only=True)
class Match:
    """One product that fits a query.

    Attributes:
        rank: 1 for the best.
        product_id: Its id.
        score: Orders the matches of one answer; higher is better.
        product: The fields that were asked for.
        confidence: The probability that a person would accept it, 0 to 1; None where the server does not say.
        explain: Why it is where it is; None unless it was asked for.
        variants: The others of its group, as the server gives them; None without groups.
        duplicates: Ids of products that are the same; None where none are known.
    """

    rank: int
    product_id: str
    score: float
    product: Mapping[str, Any]
    confidence: float | None = None
    explain: Mapping[str, Any] | None = None
    variants: Sequence[Mapping[str, Any]] | None = None
    duplicates: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """The answer to one query.

    Attributes:
        query_id: Names the query in the server's log.
        encoder: `name@revision` of the encoder that read the query.
        matches: Best first.
        outcome: "matched", "weak", "not_stocked" or "filters_too_narrow"; None where the server does not say.
        repaired: Words that were taken for others: typed to taken for; None where none were.
        facets: What was counted, by field; None unless it was asked for.
        total: How many products there are, where a filter alone was asked for; None for a search.
        explain: What is said of the query as a whole; None unless it was asked for.
        feedback_token: Goes back with what a person thought of a match; None where the server takes no feedback.
    """

    query_id: str
    encoder: str
    matches: tuple[Match, ...]
    outcome: str | None = None
    repaired: Mapping[str, str] | None = None
    facets: Mapping[str, Any] | None = None
    total: int | None = None
    explain: Mapping[str, Any] | None = None
    feedback_token: str | None = None


@dataclass(frozen=True, kw_only=True)
class FeedbackReceipt:
    """What became of feedback.

    Attributes:
        status: "recorded", "changed" (a new rating in place of the one before) or "repeated" (it counts once).
        message: The same for a person.
    """

    status: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of one product.

    Attributes:
        product_id: Its id.
        rev: Its revision, from 1.
        status: "created", "updated" or "unchanged".
    """

    product_id: str
    rev: int
    status: str


def read_matches(rows: Sequence[bytes]) -> list[MatchResult]:
    """Read the rows of `matches`.

    Raises:
        ProductMatchError: A row is not what this client knows.
    """
    return [_match_result(read_object(row, "matches")) for row in rows]


def read_receipts(rows: Sequence[bytes]) -> list[Receipt]:
    """Read the rows of `receipt`.

    Raises:
        ProductMatchError: A row is not what this client knows.
    """
    return [_receipt(read_object(row, "receipt")) for row in rows]


def read_feedback_receipts(rows: Sequence[bytes]) -> list[FeedbackReceipt]:
    """Read the rows of `receipt` that the model `feedback` gives.

    Raises:
        ProductMatchError: A row is not what this client knows.
    """
    documents = [read_object(row, "receipt") for row in rows]
    try:
        return [
            FeedbackReceipt(status=str(document["status"]), message=str(document.get("message", "")))
            for document in documents
        ]
    except KeyError as error:
        raise _unknown("receipt", error) from error


def _match_result(document: Mapping[str, Any]) -> MatchResult:
    try:
        return MatchResult(
            query_id=str(document["query_id"]),
            encoder=str(document["encoder"]),
            matches=tuple(_match(match) for match in document["matches"]),
            outcome=document.get("outcome"),
            repaired=document.get("repaired"),
            facets=document.get("facets"),
            total=document.get("total"),
            explain=document.get("explain"),
            feedback_token=document.get("feedback_token"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unknown("matches", error) from error


def _match(match: Mapping[str, Any]) -> Match:
    confidence = match.get("confidence")
    return Match(
        rank=int(match["rank"]),
        product_id=str(match["product_id"]),
        score=float(match["score"]),
        product=match.get("product", {}),
        confidence=None if confidence is None else float(confidence),
        explain=match.get("explain"),
        variants=match.get("variants"),
        duplicates=match.get("duplicates"),
    )


def _receipt(document: Mapping[str, Any]) -> Receipt:
    try:
        return Receipt(product_id=str(document["id"]), rev=int(document["rev"]), status=str(document["status"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unknown("receipt", error) from error


def read_object(data: bytes, what: str = "result") -> dict[str, Any]:
    """Read one row that is a JSON object.

    Raises:
        ProductMatchError: It is something else.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _unknown(what, error) from error
    if not isinstance(document, dict):
        raise _unknown(what, TypeError(f"a JSON object was expected, {type(document).__name__} came"))
    return document


def _unknown(what: str, error: Exception) -> ProductMatchError:
    return ProductMatchError(
        f"the server's `{what}` cannot be read ({error!r}); use a server of this client's version"
    )
