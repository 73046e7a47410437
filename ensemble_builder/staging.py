"""A directory that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from product_match.contract.encoder import ENCODER_FILE
from product_match.contract.errors import BuildError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `out` if the block succeeds, and vanishes if it does not.

    What a build that was killed left behind is removed by the next one of the same `out`.

    Raises:
        BuildError: `out` holds something else than an encoder directory, or cannot be written.
    """
    out = out.resolve()
    if out.exists() and not _replaceable(out):
        raise BuildError(f"{out} is there and is not an encoder directory; give another --out, or remove it")
    with _plain_words(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{out.name}.building-"
        for left in out.parent.glob(f"{prefix}*"):
            _remove_abandoned(left)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        staging.chmod(0o755)
        with _claimed(staging):
            try:
                yield staging
                _put_in_place(staging, out)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _plain_words(out: Path) -> Iterator[None]:
    """Say what a full or read-only disk means for the build."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BuildError(
                f"{out.parent} is full ({error.strerror}); a build takes about three times the checkpoint's size"
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}:
            raise BuildError(
                f"{error.filename or out} cannot be written ({error.strerror}); give another --out"
            ) from error
        raise


@contextlib.contextmanager
def _claimed(staging: Path) -> Iterator[None]:
    """Hold a lock on a directory, which ends with this process, however that ends."""
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(left: Path) -> None:
    """Remove a staging directory unless a build that still runs holds it."""
    try:
        descriptor = os.open(left, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        logger.info("removing %s, which a build that was killed has left", left)
        shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(descriptor)


def _put_in_place(staging: Path, out: Path) -> None:
    if not out.exists():
        staging.rename(out)
        return
    retired = staging.with_name(f"{staging.name}.old")
    out.rename(retired)
    staging.rename(out)
    shutil.rmtree(retired)


def _replaceable(out: Path) -> bool:
    return out.is_dir() and (not any(out.iterdir()) or (out / ENCODER_FILE).is_file())
