"""The log's form where it is read by programs: one JSON object a line, the server's own and the models' alike.

    {"time": "2026-11-27T07:18:39.120Z", "level": "warning", "source": "product_match.index.applier", "process": 2997,
     "model": "retrieval", "requests": ["shop-7"], "message": "applying products has stopped: ..."}

`requests` names those that were being answered, as their clients named them. What was sent, words or photos, is never
logged; passwords in URIs are replaced. An event log is what keeps words, where it is asked to.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Final

_LEVELS: Final = ("debug", "info", "warning", "error")
MOST_CHARACTERS: Final = 4000
MOST_REQUESTS: Final = 16
"""Requests of a batch that a line names."""

_TRITON: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+)Z (?P<level>[IWEFV])\d* (?P<process>\d+) (?P<source>\S+:\d+)\] (?P<message>.*)"
)
_TRITON_LEVELS: Final = {"I": "info", "W": "warning", "E": "error", "F": "error", "V": "debug"}
_PASSWORD: Final = re.compile(r"(://[^\s:/@]*:)[^\s@/]+@")
_EXTRA: Final = ("request", "code", "milliseconds")
_ANSWERING: ContextVar[tuple[str, ...]] = ContextVar("answering", default=())


@contextmanager
def answering(request_ids: Sequence[str]) -> Iterator[None]:
    """Have what is logged inside the block, in this thread, name the requests that are being answered."""
    token = _ANSWERING.set(tuple(filter(None, request_ids))[:MOST_REQUESTS])
    try:
        yield
    finally:
        _ANSWERING.reset(token)


class JsonFormatter(logging.Formatter):
    """Makes a JSON object of a record."""

    def __init__(self, **fields: Any) -> None:
        """Put `fields` into each, such as the model."""
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "time": _time(datetime.fromtimestamp(record.created, timezone.utc)),
            "level": _level(record.levelno),
            "source": record.name,
            "process": record.process,
            **self._fields,
        }
        if requests := _ANSWERING.get():
            line["requests"] = list(requests)
        line |= {name: vars(record)[name] for name in _EXTRA if vars(record).get(name) not in (None, "")}
        line["message"] = _safe(record.getMessage())
        if record.exc_info:
            line["trace"] = _safe(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def json_line(text: str) -> str:
    """Return a line of Triton's log, or of anything else that a process says, as the JSON that all lines are."""
    text = text.rstrip("\n")
    own = _object(text)
    if own is not None:
        return text
    said = _TRITON.fullmatch(text)
    if said is None:
        return json.dumps({"time": _now(), "level": "info", "source": "", "message": _safe(text)}, ensure_ascii=False)
    message = _unquoted(said["message"])
    # A model's own line comes inside one of Triton's.
    own = _object(message)
    if own is not None:
        return message
    line = {"time": f"{said['time']}Z", "level": _TRITON_LEVELS[said["level"]], "source": said["source"]}
    return json.dumps({**line, "process": int(said["process"]), "message": _safe(message)}, ensure_ascii=False)


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith('{"time": '):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "level" in found else None


def _unquoted(message: str) -> str:
    """Return a message as it was before Triton quoted it."""
    if not message.startswith('"'):
        return message
    try:
        return str(json.loads(message))
    except ValueError:
        return message


def _safe(text: str) -> str:
    shown = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "..."
    return _PASSWORD.sub(r"\1********@", shown)


def _level(number: int) -> str:
    return _LEVELS[min(len(_LEVELS) - 1, max(0, number // 10 - 1))]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _now() -> str:
    return _time(datetime.now(timezone.utc))
