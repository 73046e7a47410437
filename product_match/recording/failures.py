"""Takes note of requests that are refused or fail, in the model that they end in."""

from __future__ import annotations

from product_match.contract.errors import ProductMatchError
from product_match.events.ids import event_id
from product_match.events.opening import open_writer
from product_match.events.privacy import Privacy, privacy_of
from product_match.events.writer import EventWriter
from product_match.settings import ServingSettings


class FailureRecorder:
    """Hands an event of each failed request to the writer.

    Attributes:
        writer: Of the process's events; None where none are kept.
    """

    def __init__(self, model: str, privacy: Privacy, writer: EventWriter | None) -> None:
        """Note failures of `model`; without a writer nothing is noted."""
        self._model, self._privacy, self.writer = model, privacy, writer

    def __call__(self, request_id: str, error: ProductMatchError) -> None:
        """Note that a request has failed."""
        if self.writer is None:
            return
        name = event_id()
        self.writer.add(
            {
                "_id": name,
                "order": name,
                "type": "error",
                "query_id": request_id,
                "model": self._model,
                "code": error.triton_code,
                "message": self._privacy.of_message(str(error)),
            }
        )

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()


def open_failures(settings: ServingSettings, model: str) -> FailureRecorder:
    """Return what takes note of the failures of a model.

    Raises:
        ConfigError: The URI is wrong.
    """
    return FailureRecorder(model, privacy_of(settings), open_writer(settings))
