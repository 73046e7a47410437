"""The Python program that processes beside this one are started with."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from product_match.contract.errors import ConfigError


def python_executable() -> str:
    """Return a Python program of this version; inside Triton's stub, `sys.executable` is not one.

    Raises:
        ConfigError: There is none beside this process.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates: list[str | None] = [sys.executable, sys._base_executable, shutil.which(f"python{version}")]  # type: ignore[attr-defined]
    candidates += [f"{prefix}/bin/python{version}" for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    for candidate in candidates:
        if candidate and re.fullmatch(r"python(\d+(\.\d+)?)?", Path(candidate).name) and Path(candidate).exists():
            return candidate
    raise ConfigError(
        f"no python{version} program was found beside this process; put the one that the server was installed with "
        "on PATH"
    )


def python_path() -> str:
    """Return the PYTHONPATH by which another process finds what this one does, Triton's stub for instance."""
    return os.pathsep.join(entry for entry in sys.path if entry)
