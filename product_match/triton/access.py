"""Asks for keys in front of the models: who a request is from, what they may do, and how much of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Final

from product_match.contract.access import KEY_HEADER, OPERATION_SCOPES, Key, KeyRing, Scope, is_key
from product_match.contract.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError
from product_match.settings import ServingSettings

_HOW: Final = f"send it as the header `{KEY_HEADER}`, over `generate` as a parameter of that name"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        name: Of the key; empty where none came.
        may: What is open to them.
    """

    name: str
    may: frozenset[Scope]

    def require(self, what: str, *scopes: Scope) -> None:
        """Refuse who may do none of this.

        Args:
            what: What is asked for, for the message.
            scopes: Any one of them is enough.

        Raises:
            UnauthenticatedError: They gave no key.
            ForbiddenError: Their key is not for this.
        """
        if self.may & set(scopes):
            return
        needed = " or ".join(scope.value for scope in scopes)
        if not self.name:
            raise UnauthenticatedError(f"{what} needs a key for {needed}, and none came; {_HOW}")
        opens = ", ".join(sorted(scope.value for scope in self.may)) or "nothing"
        raise ForbiddenError(f"{what} needs a key for {needed}; the key `{self.name}` opens {opens}; use another")

    def allow(self, operation: str) -> None:
        """Refuse who may not give this command of the catalogue; see `require`."""
        self.require(f"catalogue `{operation}`", OPERATION_SCOPES[operation])


ANYBODY: Final = Caller(name="", may=frozenset(Scope))
"""Where no keys are set."""


class Gate:
    """Stands in front of one model."""

    def __init__(
        self,
        ring: KeyRing,
        what: str,
        scopes: tuple[Scope, ...],
        *,
        counts: bool = False,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(timezone.utc).date(),
    ) -> None:
        """Ask for the keys of `ring`.

        Args:
            ring: The keys.
            what: The model, for messages.
            scopes: Any one of them opens it; none where the model asks by itself.
            counts: True for the first model of a pipeline, which counts rows against the key's rate.
            clock: Seconds, only forward.
            today: The day that keys expire by.
        """
        self._ring, self._what, self._scopes, self._counts = ring, what, scopes, counts
        self._clock, self._today = clock, today
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, parameters: str, rows: int) -> Caller:
        """Let a request in.

        Args:
            parameters: What `InferenceRequest.parameters()` returns.
            rows: In the request.

        Raises:
            UnauthenticatedError: A key is needed and none came, or the one that came is not good.
            ForbiddenError: The key is not for this model.
            TooManyRequestsError: The key is used too often.
        """
        key = self._key(_presented(parameters))
        caller = Caller(name=key.name if key else "", may=self._ring.open | (key.may if key else frozenset()))
        if self._scopes:
            caller.require(self._what, *self._scopes)
        if self._counts and key is not None and key.rows_per_second:
            self._count(key, rows)
        return caller

    def _key(self, presented: str) -> Key | None:
        if not presented:
            return None
        key = self._ring.find(presented)
        if key is None:
            raise UnauthenticatedError(
                f"{self._what}: the key that came is not known here; check which server it is of"
            )
        if key.expires is not None and self._today() > key.expires:
            raise UnauthenticatedError(
                f"{self._what}: the key `{key.name}` was good until {key.expires}; use a new one"
            )
        return key

    def _count(self, key: Key, rows: int) -> None:
        bucket = self._buckets.setdefault(key.name, _Bucket(left=float(key.burst), at=self._clock()))
        now = self._clock()
        bucket.left = min(float(key.burst), bucket.left + (now - bucket.at) * key.rows_per_second)
        bucket.at = now
        # A batch larger than the burst takes a full bucket, and is paid off after.
        if bucket.left < min(rows, key.burst):
            wait_s = (min(rows, key.burst) - bucket.left) / key.rows_per_second
            raise TooManyRequestsError(
                f"{self._what}: the key `{key.name}` may send {key.rows_per_second:g} rows a second, {key.burst} at "
                f"once; send this one again in {wait_s:.1f} s"
            )
        bucket.left -= rows


@dataclass
class _Bucket:
    left: float
    at: float


def _presented(parameters: str) -> str:
    if not parameters:
        return ""
    return next((str(value).strip() for name, value in json.loads(parameters).items() if is_key(name)), "")


def open_gate(settings: ServingSettings, what: str, *scopes: Scope, counts: bool = False) -> Gate | None:
    """Return the gate of a model; None where no keys are set, and everybody may do everything.

    Raises:
        ConfigError: The keys cannot be read.
    """
    if not settings.keys.value:
        return None
    return Gate(KeyRing.from_json(settings.keys.value), what, scopes, counts=counts)
