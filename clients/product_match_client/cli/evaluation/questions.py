"""Asks a server for many things, several in a request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from product_match.contract.errors import InvalidRequestError
from product_match_client.answers import MatchResult
from product_match_client.cli.output import Console
from product_match_client.cli.progress import Progress
from product_match_client.client import ProductMatchClient
from product_match_client.requests import Query

ROWS: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[T]):
    """Things that are asked for in one request.

    Attributes:
        things: At most `ROWS`.
        options: The options of the request.
    """

    things: Sequence[T]
    options: Mapping[str, Any]


def batches(things: Iterable[T], options: Mapping[str, Any]) -> Iterator[Batch[T]]:
    """Divide things that are asked for with the same options."""
    remaining = iter(things)
    while part := list(itertools.islice(remaining, ROWS)):
        yield Batch(things=part, options=options)


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Where questions go, and where progress is shown."""

    client: ProductMatchClient
    console: Console

    def ask(
        self, label: str, parts: Iterable[Batch[T]], query: Callable[[T], Query], *, total: int
    ) -> list[tuple[T, MatchResult | InvalidRequestError]]:
        """Ask, one request after another.

        Returns:
            For each thing its answer, or why the server refused it.

        Raises:
            UnavailableError: The server or one of its stores is away, busy or too slow.
        """
        answers: list[tuple[T, MatchResult | InvalidRequestError]] = []
        with Progress(self.console, label, total=total) as progress:
            for part in parts:
                found = self._match(part, query)
                answers += found
                failed = sum(isinstance(answer, InvalidRequestError) for _, answer in found)
                progress.advance(done=len(found) - failed, failed=failed)
        return answers

    def _match(
        self, part: Batch[T], query: Callable[[T], Query]
    ) -> list[tuple[T, MatchResult | InvalidRequestError]]:
        """Ask in one request; where it is refused, each thing in one of its own, to find which it was."""
        try:
            answers = self.client.match_batch([query(thing) for thing in part.things], **part.options)
        except InvalidRequestError as error:
            if len(part.things) == 1:
                return [(part.things[0], error)]
            alone = (Batch(things=[thing], options=part.options) for thing in part.things)
            return [answer for single in alone for answer in self._match(single, query)]
        return list(zip(part.things, answers, strict=True))
