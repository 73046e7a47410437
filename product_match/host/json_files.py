"""Small JSON files of the state directory: read as an object, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError
from product_match.host.files import replace_file


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
    """Replace a file in one step; see `replace_file`.

    Args:
        path: The file.
        fields: What it will hold.
        durable: Whether it has to survive a loss of power from now on.
    """
    replace_file(path, (json.dumps(fields, indent=2) + "\n").encode(), durable=durable)
