"""TensorRT engines: checked before Triton loads them, and compared with FP32 once it serves them."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError
from product_match.encoding.reference import REFERENCE_FILE
from product_match.settings import ServingSettings
from product_match.triton.proof import place

logger = logging.getLogger(__name__)

ENGINE_CHECK: Final = ("ensemble-builder", "engines", "--check", "--directory")
"""Run as a program: what serves does not import what builds."""
ENGINE_CHECK_S: Final = 120.0
ENGINE_GUARD: Final = ("ensemble-builder", "verify", "--wait", "900")


def check_engines(encoder_directory: Path, command: Sequence[str] = ENGINE_CHECK) -> None:
    """Refuse engines of another TensorRT, GPU or encoder, before Triton fails on them with a page of errors.

    Raises:
        ConfigError: They do not fit, or cannot be checked.
    """
    try:
        done = subprocess.run(
            [*command, str(encoder_directory)], capture_output=True, text=True, check=False, timeout=ENGINE_CHECK_S
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"the engines in {encoder_directory} cannot be checked: no answer within {ENGINE_CHECK_S:g} s; check "
            "that `nvidia-smi` answers on this machine"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the engines cannot be checked: {command[0]}: {error.strerror}; build the image again"
        ) from error
    if done.returncode != 0:
        raise ConfigError(f"the engines in {encoder_directory} cannot be served: {done.stderr.strip()[-1000:]}")


def guard_engines(
    settings: ServingSettings, url: str, triton: int, command: Sequence[str] = ENGINE_GUARD
) -> subprocess.Popen[bytes] | None:
    """Start what compares the engines with FP32 once they are served, and ends Triton where they differ.

    Only Triton can run them, so another process asks it. Without TensorRT the encoders compare themselves.

    Args:
        settings: Where the encoder is.
        url: Triton's HTTP, which is never encrypted.
        triton: Its process.
        command: What compares.

    Returns:
        The process; None where the build has left nothing to compare with.
    """
    directory = settings.encoder_directory
    if not (directory / REFERENCE_FILE).is_file():
        logger.warning("%s has no %s, so its engines are served unchecked", directory, REFERENCE_FILE)
        return None
    options = ("--directory", str(directory), "--url", url, "--record", str(place(settings)))
    return subprocess.Popen([*command, *options, "--guard", str(triton)], stdin=subprocess.DEVNULL)
