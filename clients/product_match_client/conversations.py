"""Catalogue commands as conversations: each yields commands, is sent their answers, and returns what they come to.

Both clients hold the same conversations; only how a command travels differs. Some take several commands, because a
server answers each of them within a bounded time and size.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from product_match.contract import limits
from product_match.contract.errors import ProductMatchError

Command = Mapping[str, Any]
Answer = Mapping[str, Any]
T = TypeVar("T")
Conversation = Generator[Command, Answer, T]
GET_IDS: Final = 1000
"""Products or photos that one command asks for."""


@dataclass(frozen=True, kw_only=True)
class ProductPage:
    """Some products of the catalogue, in the order of their ids.

    Attributes:
        products: Entries with `id`, `rev`, `pending`, `encoder`, `content_hash`, `updated_at` and `product`.
        next: Where the next page starts (`after`); None at the end.
    """

    products: tuple[Mapping[str, Any], ...]
    next: str | None


def get(product_ids: Sequence[str]) -> Conversation[list[Mapping[str, Any]]]:
    """Read products by id."""
    found: list[Mapping[str, Any]] = []
    for ids in _parts(product_ids, GET_IDS):
        answer = yield {"operation": "get", "ids": ids}
        found += _field(answer, "products", list)
    return found


def page(operation: str, filter: Mapping[str, Any] | None, after: str, limit: int) -> Conversation[ProductPage]:  # noqa: A002
    """Read the page after an id; `operation` is "list", or "export" for words and the photos' digest as well."""
    answer = yield {"operation": operation, "after": after, "limit": limit, **_given(filter=filter)}
    return ProductPage(products=tuple(_field(answer, "products", list)), next=answer.get("next"))


def images(digests: Sequence[str]) -> Conversation[dict[str, list[str]]]:
    """Read the photos of products, in base64, by their digests."""
    found: dict[str, list[str]] = {}
    left = list(digests)
    while left:
        answer = yield {"operation": "images", "digests": left[:GET_IDS]}
        found.update(_field(answer, "images", dict))
        unread = _field(answer, "left", list)
        if len(unread) >= len(left[:GET_IDS]):
            raise _unexpected("left", "no photo was read")
        left = unread + left[GET_IDS:]
    return found


def count(filter: Mapping[str, Any] | None) -> Conversation[int]:  # noqa: A002
    """Count products."""
    answer = yield {"operation": "count", **_given(filter=filter)}
    return int(_field(answer, "count", int))


def hashes(product_ids: Sequence[str]) -> Conversation[dict[str, str]]:
    """Read the content hashes of the products that the server holds."""
    found: dict[str, str] = {}
    for ids in _parts(product_ids, limits.MAX_COMMAND_IDS):
        answer = yield {"operation": "hashes", "ids": ids}
        found.update(_field(answer, "hashes", dict))
    return found


def update(products: Sequence[Mapping[str, Any]], wait: bool) -> Conversation[list[Mapping[str, Any]]]:
    """Merge fields into products."""
    results: list[Mapping[str, Any]] = []
    for part in _parts(products, limits.MAX_COMMAND_IDS):
        answer = yield {"operation": "update", "products": part, "wait": wait}
        results += _field(answer, "results", list)
    return results


def delete(product_ids: Sequence[str], wait: bool) -> Conversation[int]:
    """Remove products by id."""
    removed = 0
    for ids in _parts(product_ids, limits.MAX_COMMAND_IDS):
        answer = yield {"operation": "delete", "ids": ids, "wait": wait}
        removed += _field(answer, "deleted", int)
    return removed


def delete_matching(filter: Mapping[str, Any], wait: bool) -> Conversation[int]:  # noqa: A002
    """Remove the products that a filter fits."""
    removed, more = 0, True
    while more:
        answer = yield {"operation": "delete", "filter": filter, "wait": wait}
        removed += _field(answer, "deleted", int)
        more = bool(answer.get("more")) and _field(answer, "deleted", int) > 0
    return removed


def verify(repair: bool) -> Conversation[dict[str, Any]]:
    """Compare documents and vectors, to the end."""
    going_on: object = None
    while True:
        answer = yield {"operation": "verify", "repair": repair, **_given(**{"continue": going_on})}
        going_on = answer.get("continue")
        if answer.get("done") or going_on is None:
            return dict(_field(answer, "report", dict))


def rebuild() -> Conversation[dict[str, Any]]:
    """Start a rebuild, and return how it stands."""
    answer = yield {"operation": "rebuild"}
    return dict(_field(answer, "rebuild", dict))


def change_encoder(operation: str, **arguments: object) -> Conversation[dict[str, Any]]:
    """Start a change of encoder, and return how it stands."""
    answer = yield {"operation": operation, **arguments}
    return dict(_field(answer, "reindex", dict))


@dataclass(frozen=True, kw_only=True)
class EventPage:
    """Some events, or feedback, the oldest first.

    Attributes:
        events: As they are kept; see docs/feedback.md.
        next: Where the next page starts (`after`); None at the end.
    """

    events: tuple[Mapping[str, Any], ...]
    next: str | None


def events(collection: str, after: str, since: float, limit: int | None) -> Conversation[EventPage]:
    """Read a page of events or feedback."""
    given = _given(limit=limit)
    answer = yield {"operation": "events", "collection": collection, "after": after, "since": int(since), **given}
    return EventPage(events=tuple(_field(answer, "events", list)), next=answer.get("next"))


def forget_person(person: str) -> Conversation[dict[str, int]]:
    """Remove what is kept of a person."""
    answer = yield {"operation": "forget", "person": person}
    return dict(_field(answer, "removed", dict))


def rules(
    set_: Sequence[Mapping[str, Any]] | None = None, remove: Sequence[str] | None = None
) -> Conversation[list[Mapping[str, Any]]]:
    """Set or remove rules, and read those that there are."""
    changes = _given(set=None if set_ is None else list(set_), remove=None if remove is None else list(remove))
    answer = yield {"operation": "rules", **changes}
    return list(_field(answer, "rules", list))


def plain(operation: str, **arguments: object) -> Conversation[dict[str, Any]]:
    """Ask one thing and return the answer as it is."""
    answer = yield {"operation": operation, **arguments}
    return dict(answer)


def _given(**arguments: object) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}


def _parts(items: Sequence[T], size: int) -> list[list[T]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def _field(answer: Answer, name: str, kind: type[T]) -> T:
    value = answer.get(name)
    if not isinstance(value, kind):
        raise _unexpected(name, f"{kind.__name__} was expected, {type(value).__name__} came")
    return value


def _unexpected(name: str, what: str) -> ProductMatchError:
    return ProductMatchError(f"the server's `{name}` cannot be read ({what}); use a server of this client's version")
