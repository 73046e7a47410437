"""Another encoder to change to: the same network under another revision, so that it costs what the first costs."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

from product_match.contract.encoder import ENCODER_FILE, load_encoder


def other_encoder(encoder_directory: Path, target: Path) -> Path:
    """Make a copy of an encoder directory that counts as another encoder, and return it."""
    shutil.copytree(encoder_directory, target)
    encoder = load_encoder(encoder_directory)
    revision = hashlib.sha256(encoder.revision.encode()).hexdigest()[: len(encoder.revision)]
    other = dataclasses.replace(encoder, name=f"{encoder.name}-again", revision=revision)
    (target / ENCODER_FILE).write_text(other.to_json(), encoding="utf-8")
    return target
