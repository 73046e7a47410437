"""Who may do what: scopes, the keys that open them, and what each catalogue command asks for.

A key is a random word of 256 bits that is shown once; servers hold its SHA-256, so that who reads their settings has
no key. It comes as the header `product-match-key`, or as the parameter of that name where Triton passes no headers on
(`generate`).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from product_match.contract.errors import ConfigError

KEY_PARAMETER: Final = "product_match_key"
KEY_HEADER: Final = "product-match-key"
KEY_PREFIX: Final = "pm_"
"""Begins every key, so that scanners find one that was published by mistake."""

_MAX_KEY_CHARACTERS: Final = 200


class Scope(enum.Enum):
    """What a key may open."""

    SEARCH = "search"
    WRITE = "write"
    EXPORT = "export"
    ADMIN = "admin"


SCOPES_MEAN: Final[Mapping[Scope, str]] = {
    Scope.SEARCH: "match, embed, feedback; get and count products, status",
    Scope.WRITE: "add, change and remove single products; compare and repair",
    Scope.EXPORT: "list and export the whole catalogue, with photos",
    Scope.ADMIN: "rebuild, drop, another encoder",
}

OPERATION_SCOPES: Final[Mapping[str, Scope]] = {
    "get": Scope.SEARCH,
    "list": Scope.EXPORT,
    "export": Scope.EXPORT,
    "images": Scope.EXPORT,
    "count": Scope.SEARCH,
    "hashes": Scope.WRITE,
    "update": Scope.WRITE,
    "delete": Scope.WRITE,
    "verify": Scope.WRITE,
    "rules": Scope.WRITE,
    "rebuild": Scope.ADMIN,
    "drop": Scope.ADMIN,
    "reindex": Scope.ADMIN,
    "rollback": Scope.ADMIN,
    "status": Scope.SEARCH,
    "capabilities": Scope.SEARCH,
    "events": Scope.EXPORT,
    "forget": Scope.WRITE,
}
"""What each command of the model `catalogue` asks for."""


def is_key(parameter: str) -> bool:
    """Say whether a parameter is the key, as a header or by its own name."""
    return parameter.lower().replace("-", "_") == KEY_PARAMETER


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a server holds of a key.

    Attributes:
        name: Whose it is; appears in messages and logs, the key itself never does.
        sha256: Of the key, in hex.
        may: The scopes that it opens.
        rows_per_second: How many queries, products or commands it may send; 0 for any number.
        burst: How many of them at once.
        expires: The last day on which it is good; None for always.
    """

    name: str
    sha256: str
    may: frozenset[Scope]
    rows_per_second: float = 0.0
    burst: int = 0
    expires: date | None = None


@dataclass(frozen=True, kw_only=True)
class KeyRing:
    """All keys of a server, several at a time where one takes another's place.

    Attributes:
        open: The scopes that need no key.
        keys: The keys.
    """

    open: frozenset[Scope]
    keys: tuple[Key, ...] = ()

    def find(self, presented: str) -> Key | None:
        """Return the key that was presented; takes the same time whichever it is, and if it is none."""
        digest = key_digest(presented[:_MAX_KEY_CHARACTERS])
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    @classmethod
    def from_json(cls, text: str) -> KeyRing:
        """Read a ring, such as `{"open": ["search"], "keys": [{"name": "shop", "sha256": "...", "may": ["write"]}]}`.

        Raises:
            ConfigError: It is something else; the message says what, and never quotes a key.
        """
        try:
            given = json.loads(text)
        except ValueError as error:
            raise _wrong("they are not JSON") from error
        if not isinstance(given, dict) or given.keys() - {"open", "keys"}:
            raise _wrong("expected an object with `open` and `keys` and nothing else")
        entries = given.get("keys", [])
        if not isinstance(entries, list):
            raise _wrong("`keys` is no list")
        keys = tuple(_key(place, entry) for place, entry in enumerate(entries))
        if len({key.name for key in keys}) < len(keys) or len({key.sha256 for key in keys}) < len(keys):
            raise _wrong("two keys have the same name or the same digest")
        return cls(open=_scopes("open", given.get("open", [Scope.SEARCH.value])), keys=keys)

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(
            {"open": sorted(scope.value for scope in self.open), "keys": [entry_of(key) for key in self.keys]},
            indent=2,
        )


def key_digest(key: str) -> str:
    """Return the SHA-256 of a key, in hex: enough for a random word of 256 bits, which nobody can try out."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key() -> str:
    """Return a random key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def entry_of(key: Key) -> dict[str, Any]:
    """Return a key as it stands in a ring."""
    entry: dict[str, Any] = {
        "name": key.name,
        "sha256": key.sha256,
        "may": sorted(scope.value for scope in key.may),
    }
    if key.rows_per_second:
        entry |= {"rows_per_second": key.rows_per_second, "burst": key.burst}
    if key.expires is not None:
        entry["expires"] = key.expires.isoformat()
    return entry


def _key(place: int, entry: object) -> Key:
    known = {"name", "sha256", "may", "rows_per_second", "burst", "expires"}
    if not isinstance(entry, dict) or not {"name", "sha256", "may"} <= entry.keys() or entry.keys() - known:
        raise _wrong(f"key {place} needs name, sha256 and may, and may have rows_per_second, burst and expires")
    name, digest = entry["name"], entry["sha256"]
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 100:
        raise _wrong(f"the name of key {place} must be 1 to 100 printable characters")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise _wrong(f"sha256 of key {name} must be 64 hex digits, not the key itself")
    rate, burst = entry.get("rows_per_second", 0), entry.get("burst", 0)
    if not _is_number(rate) or rate < 0 or not isinstance(burst, int) or isinstance(burst, bool) or burst < 0:
        raise _wrong(f"rows_per_second and burst of key {name} must be numbers from 0, burst a whole one")
    if rate and not burst:
        raise _wrong(f"key {name} has rows_per_second and no burst; say how many rows may come at once")
    return Key(
        name=name,
        sha256=digest,
        may=_scopes(f"`may` of key {name}", entry["may"]),
        rows_per_second=float(rate),
        burst=burst,
        expires=_day(name, entry.get("expires")),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _day(name: str, value: object) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise _wrong(f"`expires` of key {name} must be a day such as 2027-01-31") from error


def _scopes(what: str, given: object) -> frozenset[Scope]:
    known = {scope.value: scope for scope in Scope}
    if not isinstance(given, list) or any(value not in known for value in given):
        raise _wrong(f"{what} must be a list of {', '.join(known)}")
    return frozenset(known[value] for value in given)


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"the keys (PRODUCT_MATCH_KEYS) cannot be read: {what}; make them with `product-match key`")
