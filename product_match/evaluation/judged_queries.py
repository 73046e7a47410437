"""Queries with what a person would accept as a match, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from product_match.contract.errors import ConfigError

GRADES: Final = (1, 2, 3)
ASKED_WITH: Final = ("like", "unlike", "filter")
"""Fields of a query that are options of the request, under the same names."""


class Side(str, Enum):
    """What a query is made of."""

    WORDS = "words"
    PHOTO = "photo"
    BOTH = "photo and words"
    COMPOSED = "composed"


@dataclass(frozen=True, kw_only=True)
class JudgedQuery:
    """One query.

    Attributes:
        id: Its name.
        kind: Figures are given by kind.
        accept: Grade by product id, 3 is best; empty: what it asks for is not carried.
        text: The words; empty for none.
        correct: The words as they should have been spelt; empty where nothing is misspelt.
        image: The photo's path, from the file of the queries; empty for none.
        options: Those of `like`, `unlike` and `filter` that it has.
    """

    id: str
    kind: str
    accept: Mapping[str, int]
    text: str = ""
    correct: str = ""
    image: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def carried(self) -> bool:
        """Whether the shop has what is asked for."""
        return bool(self.accept)

    @property
    def side(self) -> Side:
        """What it is made of."""
        if self.options.keys() & {"like", "unlike"}:
            return Side.COMPOSED
        if self.image:
            return Side.BOTH if self.text else Side.PHOTO
        return Side.WORDS

    @property
    def group(self) -> str:
        """Names the queries that stand or fall together: those with the same photo."""
        return self.image or self.id

    @property
    def digest(self) -> str:
        """Tells whether two queries of one id ask for the same."""
        asked = [self.text, self.image, {name: self.options[name] for name in sorted(self.options)}]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def read_judged_queries(lines: Iterable[str], source: str) -> list[JudgedQuery]:
    """Read queries; empty lines are passed over, and fields that are not known here too.

    Args:
        lines: JSON Lines.
        source: Names them in messages.

    Raises:
        ConfigError: A line is no query, two queries have one id, or there is none; the message names the line.
    """
    queries: dict[str, JudgedQuery] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            query = _query(json.loads(line))
            if query.id in queries:
                raise ValueError(f"a second query has the id {query.id!r}; give each query an id of its own")
        except ValueError as error:
            raise ConfigError(f"{source}, line {number}: {error}") from error
        queries[query.id] = query
    if not queries:
        raise ConfigError(f"{source} holds no query; expected one JSON object a line, with id, kind, text and accept")
    return list(queries.values())


def _query(value: object) -> JudgedQuery:
    if not isinstance(value, dict):
        raise ValueError(f"a query is a JSON object, got {type(value).__name__}; write one query a line")
    texts = {name: _text(value, name) for name in ("id", "kind", "text", "correct", "image")}
    for name in ("id", "kind"):
        if not texts[name]:
            raise ValueError(f"a query needs `{name}`, a text that is not empty")
    options = {name: _option(name, value[name]) for name in ASKED_WITH if name in value}
    if not (texts["text"] or texts["image"] or options.get("like")):
        raise ValueError("a query needs `text`, `image` or `like`, got none of them")
    if "accept" not in value:
        raise ValueError("a query needs `accept`: a grade for each product id, or {} if it is not carried")
    return JudgedQuery(**texts, accept=_grades(value["accept"]), options=options)


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name, "")
    if not isinstance(text, str):
        raise ValueError(f"`{name}` is a text, got {json.dumps(text)[:60]}")
    return text


def _option(name: str, value: object) -> object:
    if name == "filter":
        fits, wanted = isinstance(value, dict), "a JSON object"
    else:
        fits = isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
        wanted = "a list of product ids"
    if not fits:
        raise ValueError(f"`{name}` is {wanted}, got {json.dumps(value)[:60]}")
    return value


def _grades(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ValueError(
            f'`accept` holds a grade for each product id, such as {{"1042": 3}}, got {json.dumps(value)[:60]}'
        )
    for product_id, grade in value.items():
        if type(grade) is not int or grade not in GRADES:
            raise ValueError(f"`accept`: the grade of {product_id!r} is 1, 2 or 3, got {json.dumps(grade)[:60]}")
    return value
