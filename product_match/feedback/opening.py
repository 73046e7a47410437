"""Opens what takes feedback, and what signs the tokens that it takes, from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from product_match.events.store import EventStore, open_events
from product_match.feedback.keys import read_keys
from product_match.feedback.service import FeedbackService
from product_match.feedback.tokens import TokenReader, TokenSigner
from product_match.settings import ServingSettings


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """The service, and the store that it records in; None where no feedback is taken."""

    service: FeedbackService
    events: EventStore | None = None

    def close(self) -> None:
        """Close the store."""
        if self.events is not None:
            self.events.close()


def open_feedback(settings: ServingSettings) -> Feedback:
    """Return what takes feedback; without keys it refuses all of it.

    Raises:
        ConfigError: The keys or the store's URI are wrong.
    """
    if not settings.feedback_keys.value:
        return Feedback(service=FeedbackService(None, None))
    reader = TokenReader(read_keys(settings.feedback_keys.value))
    events = open_events(settings)
    return Feedback(service=FeedbackService(reader, events), events=events)


def open_signer(settings: ServingSettings) -> TokenSigner | None:
    """Return what signs answers; None where there are no keys.

    Raises:
        ConfigError: The keys are wrong.
    """
    if not settings.feedback_keys.value:
        return None
    return TokenSigner(read_keys(settings.feedback_keys.value), settings.feedback_days)
