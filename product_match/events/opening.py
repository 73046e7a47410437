"""Opens the event log, from the settings."""

from __future__ import annotations

from product_match.events.store import open_events
from product_match.events.writer import EventWriter
from product_match.settings import ServingSettings


def open_writer(settings: ServingSettings) -> EventWriter | None:
    """Return what writes events, at work; None where none are kept.

    Raises:
        ConfigError: The URI is wrong.
    """
    if not settings.event_log:
        return None
    writer = EventWriter(open_events(settings))
    writer.start()
    return writer
