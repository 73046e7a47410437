"""Safetensors files: their header, and whether all is there that it promises."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import safetensors

from product_match.contract.errors import CheckpointError


def read_safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and where its data starts.

    Raises:
        CheckpointError: The file is damaged.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length: int = struct.unpack("<Q", stream.read(8))[0]
            if length + 8 > size:
                raise ValueError(f"the header should have {length} bytes")
            header: dict[str, Any] = json.loads(stream.read(length))
            if not isinstance(header, dict):
                raise ValueError("the header is no JSON object")
    except (ValueError, struct.error) as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error}); download it again") from error
    return header, 8 + length


def check_safetensors(path: Path) -> None:
    """Check that a safetensors file has all the bytes that its header promises, and a header that makes sense.

    Raises:
        CheckpointError: The file is damaged or cut off.
    """
    header, start = read_safetensors_header(path)
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: damaged safetensors file (its header does not say where each tensor lies); download it again"
        ) from error
    expected, size = start + max(ends, default=0), path.stat().st_size
    if size != expected:
        raise CheckpointError(
            f"{path}: damaged safetensors file, {size:,} bytes where its header says {expected:,}; download it again"
        )
    try:
        with safetensors.safe_open(path, framework="np"):
            pass
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error}); download it again") from error
