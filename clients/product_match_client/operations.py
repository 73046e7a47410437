"""What both clients can do: each operation is a request and the way to read its answer. The clients add the I/O."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from product_match.contract.errors import ProductMatchError
from product_match_client import answers, requests
from product_match_client.answers import FeedbackReceipt, MatchResult, Receipt
from product_match_client.options import MatchOptions
from product_match_client.requests import FeedbackRow, InferRequest, ProductRow, Query

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[T]):
    """One request, and how its answer is read."""

    request: InferRequest
    read: Callable[[Sequence[bytes]], T]


def match(query: Query, options: MatchOptions) -> Operation[MatchResult]:
    """Match one query."""
    return Operation(
        request=requests.match_request([query], requests.match_parameters(options)),
        read=lambda rows: _one(answers.read_matches(rows)),
    )


def match_batch(queries: Sequence[Query], options: MatchOptions) -> Operation[list[MatchResult]]:
    """Match several queries in one request."""
    return Operation(
        request=requests.match_request(queries, requests.match_parameters(options)),
        read=lambda rows: _counted(answers.read_matches(rows), len(queries)),
    )


def compose(terms: Sequence[Query], options: MatchOptions) -> Operation[MatchResult]:
    """Match one query of several terms."""
    given: MatchOptions = {**options, "compose": True}
    return Operation(
        request=requests.match_request(terms, requests.match_parameters(given)),
        read=lambda rows: _counted(answers.read_matches(rows), len(terms))[0],
    )


def index(row: ProductRow, *, wait: bool) -> Operation[Receipt]:
    """Add or update one product."""
    return Operation(
        request=requests.index_request([row], wait=wait), read=lambda answer: _one(_receipts(answer, [row]))
    )


def index_batch(rows: Sequence[ProductRow], *, wait: bool) -> Operation[list[Receipt]]:
    """Add or update several products in one request."""
    return Operation(
        request=requests.index_request(rows, wait=wait),
        read=lambda answer: _receipts(answer, rows),
    )


def catalogue(command: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    """Run one catalogue command."""
    return Operation(request=requests.catalogue_request(command), read=lambda rows: answers.read_object(_one(rows)))


def feedback(row: FeedbackRow) -> Operation[FeedbackReceipt]:
    """Say what a person thought of one product of an answer."""
    return Operation(
        request=requests.feedback_request([row]), read=lambda rows: _one(answers.read_feedback_receipts(rows))
    )


def feedback_batch(rows: Sequence[FeedbackRow]) -> Operation[list[FeedbackReceipt]]:
    """Say what people thought of several products in one request."""
    return Operation(
        request=requests.feedback_request(rows),
        read=lambda answer: _counted(answers.read_feedback_receipts(answer), len(rows)),
    )


def _receipts(answer: Sequence[bytes], rows: Sequence[ProductRow]) -> list[Receipt]:
    """Return the receipt of each product: a further photo's row repeats its product's."""
    sizes = [row.request_rows for row in rows]
    receipts = _counted(answers.read_receipts(answer), sum(sizes))
    return [receipts[start] for start in itertools.accumulate([0, *sizes[:-1]])]


def _one(rows: Sequence[T]) -> T:
    return _counted(rows, 1)[0]


def _counted(rows: Sequence[T], count: int) -> list[T]:
    if len(rows) != count:
        raise ProductMatchError(
            f"the server answered {count} rows with {len(rows)}; use a server of this client's version"
        )
    return list(rows)
