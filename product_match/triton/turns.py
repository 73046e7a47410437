"""Holds the requests of a model until the catalogue is its generation's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from product_match.contract.errors import UnavailableError
from product_match.triton.batches import Answer, BatchRequest


class Turn(Protocol):
    """What says whether the time has come."""

    def wait(self) -> None:
        """Return as soon as it has; raise UnavailableError where that takes too long."""


class InTurn:
    """A model's service that answers only once the catalogue is its generation's; until then requests are held."""

    def __init__(self, service: Callable[[Sequence[BatchRequest]], list[Answer]], turn: Turn) -> None:
        """Answer by `service`."""
        self._service = service
        self._turn = turn

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Answer the requests of one batch."""
        try:
            self._turn.wait()
        except UnavailableError as error:
            return [error] * len(requests)
        return self._service(requests)
