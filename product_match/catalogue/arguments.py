"""What a catalogue command brings along, read by declared kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from product_match.contract.errors import InvalidRequestError


class Arguments:
    """The arguments of one command; each is taken once, and `finish` refuses what nobody took."""

    def __init__(self, operation: str, given: Mapping[str, Any]) -> None:
        """Read from `given`, naming `operation` in messages."""
        self._operation = operation
        self._given = dict(given)
        self._known: list[str] = []

    def take(self, name: str) -> Any:
        """Return an argument as it came, None where it is not given."""
        self._known.append(name)
        return self._given.pop(name, None)

    def flag(self, name: str) -> bool:
        """Return a boolean, False where it is not given."""
        value = self.take(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise InvalidRequestError(f"{self._operation}: {name} must be true or false, got {value!r:.80}")
        return value

    def text(self, name: str, default: str) -> str:
        """Return a string."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise InvalidRequestError(f"{self._operation}: {name} must be a string, got {value!r:.80}")
        return value

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """Return a whole number within bounds."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise InvalidRequestError(
                f"{self._operation}: {name} must be a whole number from {minimum} to {maximum}, got {value!r:.80}"
            )
        return value

    def ids(self, name: str, most: int) -> list[str]:
        """Return a list of ids, at least one; whole numbers become strings, as in products."""
        return [self._id(name, value) for value in self._list(name, most)]

    def objects(self, name: str, most: int) -> list[Mapping[str, Any]]:
        """Return a list of JSON objects, at least one."""
        values = self._list(name, most)
        for value in values:
            if not isinstance(value, dict):
                raise InvalidRequestError(
                    f"{self._operation}: {name} must hold JSON objects, got {type(value).__name__}"
                )
        return values

    def finish(self) -> None:
        """Refuse what is left.

        Raises:
            InvalidRequestError: An argument that this operation does not take.
        """
        if self._given:
            known = ", ".join(self._known) or "none"
            raise InvalidRequestError(
                f"{self._operation}: unknown argument {next(iter(self._given))!r:.80}; known arguments are {known}"
            )

    def _list(self, name: str, most: int) -> list[Any]:
        value = self.take(name)
        if not isinstance(value, list) or not value:
            got = "nothing" if value is None else f"{value!r:.80}"
            raise InvalidRequestError(f"{self._operation}: {name} must be a list of at least one, got {got}")
        if len(value) > most:
            raise InvalidRequestError(
                f"{self._operation}: {name} has {len(value):,} entries, the limit is {most:,}; send several commands"
            )
        return value

    def _id(self, name: str, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidRequestError(f"{self._operation}: {name} must hold ids in plain text, got {value!r:.80}")
        return value
