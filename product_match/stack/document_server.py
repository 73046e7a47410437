"""The document store of the local stack: nx-27017, MongoDB's wire protocol over SQLite."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from product_match.contract.errors import PlatformError
from product_match.host.ports import LOOPBACK

DATABASE_FILE: Final = "documents.db"
_PID_FILE: Final = "nx-27017.pid"
# At its own level nx-27017 logs each command twice.
_PROGRAM: Final = (
    "import logging; from nx_27017 import main; logging.getLogger('nx_27017').setLevel(logging.WARNING); main()"
)


def command_line(directory: Path, port: int) -> list[str]:
    """Return the command that serves the store kept in `directory`.

    WAL with SQLite's NORMAL synchronisation, nx-27017's default, keeps every acknowledged write when the process is
    killed; a loss of power may cost the last ones.

    Raises:
        PlatformError: nx-27017 is not installed.
    """
    if importlib.util.find_spec("nx_27017") is None:
        raise PlatformError(
            "the document store is not installed here: the package nx-27017 is missing; "
            "run `pip install product-match[embedded]`"
        )
    return [
        sys.executable,
        "-c",
        _PROGRAM,
        "--host",
        LOOPBACK,
        "--port",
        str(port),
        "--db",
        str(directory / DATABASE_FILE),
        "--journal-mode",
        "WAL",
        "--pid-file",
        str(directory / _PID_FILE),
        "--log-file",
        os.devnull,
    ]


def prepare(directory: Path) -> None:
    """Remove the process id of a killed store: the next would refuse to start if another process has it now."""
    (directory / _PID_FILE).unlink(missing_ok=True)


def process_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the store."""
    return {name: value for name, value in inherited.items() if not name.startswith("PRODUCT_MATCH_")}


def uri(port: int) -> str:
    """Return where pymongo finds the store."""
    return f"mongodb://{LOOPBACK}:{port}/?directConnection=true"


def ready(port: int, timeout_s: float = 1.0) -> bool:
    """Say whether the store answers a ping."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    # pymongo waits half a second between attempts; a closed port is told at once by a plain connect.
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_s).close()
    except OSError:
        return False
    try:
        with MongoClient[dict[str, object]](uri(port), serverSelectionTimeoutMS=int(timeout_s * 1000)) as client:
            return bool(client.admin.command("ping").get("ok"))
    except PyMongoError:
        return False
