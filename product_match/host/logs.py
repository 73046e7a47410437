"""What a log says about the end of a process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

LINES: Final = 15
_TAIL_BYTES: Final = 256 * 1024
_LINE_CHARACTERS: Final = 400
# Triton's ISO 8601 format: time, severity, process id.
_STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z (?P<severity>[IWEF]) \d+ ")
_SEVERITIES: Final = {"debug": "I", "info": "I", "warning": "W", "error": "E"}
# Said at the severity E on every machine without a GPU.
_HARMLESS: Final = ("CudaDriverHelper has not been initialized", "unable to create stream for")


def describe(log_file: Path) -> str:
    """Name a log and quote what matters in it: its errors, or else its last lines."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError as error:
        return f"its log {log_file} cannot be read ({error.strerror})"
    lines = [_readable(line) for line in text.rstrip().splitlines()]
    errors = _error_lines(lines)
    what = "its errors" if errors else "its last lines"
    chosen = (errors or [line for line in lines if not line.startswith(("+-", "| "))])[-LINES:]
    quoted = "\n".join("  " + line[:_LINE_CHARACTERS] for line in chosen) or "  (the log is empty)"
    return f"its log is {log_file}, {what}:\n{quoted}"


def _readable(line: str) -> str:
    """Return a line of JSON as Triton would have written it; any other as it is."""
    if not line.startswith("{"):
        return line
    try:
        said = json.loads(line)
        severity = _SEVERITIES.get(said["level"], "I")
        stamp = f"{said['time']} {severity} {said.get('process', 0)} {said['source']}] "
        return (stamp if said["source"] else "") + str(said["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


def _error_lines(lines: list[str]) -> list[str]:
    """Return the lines of the severities E and F, and those that continue them."""
    chosen: list[str] = []
    in_error = False
    for line in lines:
        stamp = _STAMP.match(line)
        if stamp:
            in_error = stamp["severity"] in "EF" and not any(words in line for words in _HARMLESS)
        if in_error:
            chosen.append(line)
    return chosen
