"""Answers the model `catalogue`: one command a row."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from product_match.catalogue.commands import perform
from product_match.catalogue.event_commands import EventAccess
from product_match.catalogue.opening import Catalogue
from product_match.contract.errors import ProductMatchError
from product_match.contract.models import COMMAND, RESULT
from product_match.triton.batches import Answer, BatchRequest, bytes_column


class CatalogueService:
    """Performs commands; each is a batch of its own, such as 10,000 deletions."""

    def __init__(self, catalogue: Catalogue, events: EventAccess) -> None:
        """Work on `catalogue`, and on `events` beside it."""
        self._catalogue, self._events = catalogue, events

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Perform the commands of all requests, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: BatchRequest) -> Answer:
        try:
            commands = request.tensors[COMMAND.name][:, 0]
            allow = request.caller.allow
            results = [orjson.dumps(perform(self._catalogue, row, self._events, allow)) for row in commands]
        except ProductMatchError as error:
            return error
        return {RESULT.name: bytes_column(results)}
