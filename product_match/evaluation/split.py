"""The fixed split of a labelled image folder, by a hash of file names.

Training and every evaluation share it, so that a photo that training saw never counts as unseen. Nothing but the file
name decides, so a photo keeps its part when others are added or removed.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import Final

RUN_LENGTH: Final = 6
TRAIN_BELOW: Final = 62
VALIDATION_BELOW: Final = 70
INDEX_BELOW: Final = 75

_NUMBERED: Final = re.compile(r"(?P<name>.+)_(?P<number>\d{3,})")


class Part(str, Enum):
    """What a photo may be used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Role(str, Enum):
    """What a photo is within one evaluation."""

    INDEX = "index"
    QUERY = "query"


def run_key(file_name: str) -> str:
    """Name the run of neighbouring shots that a photo belongs to.

    Numbered photos (`Banana_007.jpg`) often show one shelf in a row, so six consecutive numbers share a key and fall
    into the same part.

    Args:
        file_name: The photo's file name, without a folder.

    Returns:
        The stem with a trailing `_NNN` replaced by `_<NNN // 6>`, else the stem.
    """
    stem = file_name.rsplit(".", 1)[0] if "." in file_name else file_name
    numbered = _NUMBERED.fullmatch(stem)
    if numbered is None:
        return stem
    return f"{numbered['name']}_{int(numbered['number']) // RUN_LENGTH}"


def part_of(file_name: str) -> Part:
    """Say which part a photo belongs to: about 62% train, 8% validation, 30% test.

    Args:
        file_name: The photo's file name, without a folder.

    Returns:
        The part of the photo's whole run.
    """
    bucket = _bucket(run_key(file_name))
    if bucket < TRAIN_BELOW:
        return Part.TRAIN
    return Part.VALIDATION if bucket < VALIDATION_BELOW else Part.TEST


def role_of(file_name: str) -> Role:
    """Say whether a photo is indexed or asked for within an evaluation: about three of four are indexed.

    Args:
        file_name: The photo's file name, without a folder.

    Returns:
        The role, independent of the part.
    """
    return Role.INDEX if _bucket(file_name) < INDEX_BELOW else Role.QUERY


def _bucket(text: str) -> int:
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:8], 16) % 100
