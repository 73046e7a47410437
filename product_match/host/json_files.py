"""Small JSON files of the state directory: read as an object, replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file holds, an empty one where the file is missing or empty.

    Raises:
        ConfigError: The file is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    if not text.strip():
        return {}
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); remove it or give another directory with --state-dir"
        ) from error
    return fields if isinstance(fields, dict) else {}


def write_json(path: Path, fields: Mapping[str, Any], *, durable: bool = False) -> None:
    """Replace a file in one step, so that a reader never sees half of it.

    Args:
        path: The file.
        fields: What it will hold.
        durable: Whether it has to survive a loss of power from now on.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(fields, indent=2) + "\n")
        if durable:
            file.flush()
            os.fsync(file.fileno())
    partial.replace(path)
    if durable:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
