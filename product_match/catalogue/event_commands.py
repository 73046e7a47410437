"""The commands of the model `catalogue` about events and feedback.

events   collection, after, since, limit    a page of events or feedback, the oldest first
forget   person                             remove what is kept of a person
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timezone
from typing import Any, Final

from product_match.catalogue.arguments import Arguments
from product_match.contract.errors import InvalidRequestError
from product_match.events.ids import earliest_id
from product_match.events.privacy import Privacy, privacy_of
from product_match.events.store import COLLECTIONS, PAGE, Document, EventStore, open_events
from product_match.settings import ServingSettings

Result = dict[str, Any]

_LATEST: Final = 2**40


@dataclass(frozen=True, kw_only=True)
class EventAccess:
    """Where events and feedback are, and how the key of a person is turned into what stands there for it."""

    store: EventStore
    privacy: Privacy

    def close(self) -> None:
        """Close the connections."""
        self.store.close()


def open_event_access(settings: ServingSettings) -> EventAccess:
    """Reach events and feedback.

    Raises:
        ConfigError: The URI is wrong.
    """
    return EventAccess(store=open_events(settings), privacy=privacy_of(settings))


def _events(access: EventAccess, arguments: Arguments) -> Result:
    collection = arguments.text("collection", COLLECTIONS[0])
    after, since = arguments.text("after", ""), arguments.integer("since", 0, 0, _LATEST)
    limit = arguments.integer("limit", PAGE, 1, PAGE)
    arguments.finish()
    if collection not in COLLECTIONS:
        raise InvalidRequestError(f"events: collection must be {' or '.join(COLLECTIONS)}, got {collection!r:.80}")
    page = access.store.page(collection, after or earliest_id(since), limit)
    going_on = page[-1]["order"] if len(page) == limit else None
    return {"events": [_shown(document) for document in page], "next": going_on}


def _forget(access: EventAccess, arguments: Arguments) -> Result:
    person = arguments.text("person", "")
    arguments.finish()
    if not person:
        raise InvalidRequestError("forget: `person` is empty; send the key that searches were sent with as `person`")
    return {"removed": access.store.forget(access.privacy.digest(person))}


def _shown(document: Document) -> Result:
    left = {name: value for name, value in document.items() if name not in ("_id", "order")}
    return {**left, "id": document["_id"], "at": document["at"].replace(tzinfo=timezone.utc).isoformat()}


EVENT_OPERATIONS: Final[Mapping[str, Callable[[EventAccess, Arguments], Result]]] = {
    "events": _events,
    "forget": _forget,
}
