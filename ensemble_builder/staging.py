"""A directory that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from product_match.contract.encoder import ENCODER_FILE
from product_match.contract.errors import BuildError


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `out` if the block succeeds, and vanishes if it does not.

    Raises:
        BuildError: `out` holds something else than an encoder directory.
    """
    out = out.resolve()
    if out.exists() and not _replaceable(out):
        raise BuildError(f"{out} is there and is not an encoder directory; give another --out, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.building-", dir=out.parent))
    staging.chmod(0o755)
    try:
        yield staging
        if out.exists():
            retired = staging.with_name(f"{staging.name}.old")
            out.rename(retired)
            staging.rename(out)
            shutil.rmtree(retired)
        else:
            staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replaceable(out: Path) -> bool:
    return out.is_dir() and (not any(out.iterdir()) or (out / ENCODER_FILE).is_file())
