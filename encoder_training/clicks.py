"""What a shop's customers chose: words, and the photo that they clicked or bought."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from product_match.contract.errors import ConfigError

from .photos import Photo


def read_clicks(path: Path, photos: Sequence[Photo]) -> list[list[str]]:
    """Read JSON Lines such as `{"text": "red dress", "image": "1042.jpg"}`.

    Args:
        path: One object a line; `image` is a name from `images.csv`. A `grade` of 0 says that the photo was not what
            was wanted, and is left out.
        photos: The photos that are learned from; lines of other photos are left out.

    Returns:
        For each photo its words, as often as they were given.

    Raises:
        ConfigError: The file cannot be read, or a line is not such an object.
    """
    numbers = {photo.path.name: number for number, photo in enumerate(photos)}
    words: list[list[str]] = [[] for _ in photos]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); give JSON Lines with text and image") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        text, image, grade = _parsed(line, f"{path}, line {number}")
        if grade > 0 and image in numbers:
            words[numbers[image]].append(text)
    return words


def _parsed(line: str, place: str) -> tuple[str, str, float]:
    try:
        value = json.loads(line)
        text, image, grade = value["text"], value["image"], float(value.get("grade", 1))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f'{place}: expected an object such as {{"text": "red dress", "image": "1042.jpg"}}, got {line:.80}'
        ) from error
    if not isinstance(text, str) or not isinstance(image, str) or not text.strip():
        raise ConfigError(f"{place}: text and image must be words and a file name, got {line:.80}")
    return text, image, grade
