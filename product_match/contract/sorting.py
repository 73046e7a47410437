"""What products can be sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DESCENDING: Final = "-"
"""Stands before a field that is sorted by the other way round."""

ID: Final = "id"


@dataclass(frozen=True)
class SortKey:
    """A field to sort by; products that lack it come last, whichever way."""

    field: str
    descending: bool = False


BY_ID: Final = SortKey(ID)
