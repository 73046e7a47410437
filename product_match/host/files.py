"""Files that are replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step, so that a reader never sees half of it.

    Args:
        path: The file.
        content: What it will hold.
        durable: Whether it has to survive a loss of power from now on.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
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
