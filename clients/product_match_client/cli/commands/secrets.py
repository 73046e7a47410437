"""`product-match secrets`: makes the files that `docker-compose.yml` and the Helm chart take secrets from."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from product_match.contract.access import Key, KeyRing, Scope, key_digest, new_key
from product_match.contract.errors import ConfigError
from product_match.host.files import replace_file
from product_match_client.cli.arguments import add_command
from product_match_client.cli.output import Console

FIRST_KEY: Final = "first_key"
DEFAULT_DIRECTORY: Final = Path("secrets")


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "secrets",
        summary="Make the secrets of a production server, each in a file; files that are there stay as they are.",
        example="product-match secrets\nproduct-match secrets /etc/product-match/secrets --mongodb-host mongo-0",
        server=False,
    )
    parser.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=DEFAULT_DIRECTORY,
        metavar="DIRECTORY",
        help="(default %(default)s)",
    )
    parser.add_argument(
        "--mongodb-host", default="mongodb", metavar="HOST", help="MongoDB's name, for its URI (default %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Make what is missing."""
    directory: Path = arguments.directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = _make(directory, arguments.mongodb_host)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written ({error.strerror}); name another directory") from error
    console.json({"directory": str(directory), "made": made}) if not console.for_person else console.line(
        f"made in {directory}: {', '.join(made) or 'nothing, all are there'}"
    )
    if FIRST_KEY in made:
        console.note(f"{directory / FIRST_KEY} opens everything: name it in PRODUCT_MATCH_KEY_FILE, then make others")
    return 0


DERIVED: Final = {"mongodb_uri": "mongodb_password", "qdrant.yaml": "qdrant_api_key", "keys.json": FIRST_KEY}
"""What a file repeats of another: it is made anew with that one."""

Content = Callable[[Path], str]
"""Makes a file's text; may read the files made before it."""


def _make(directory: Path, mongodb_host: str) -> list[str]:
    made: list[str] = []
    for name, content in _contents(mongodb_host).items():
        if not (directory / name).exists() or DERIVED.get(name) in made:
            _put(directory / name, content(directory))
            made.append(name)
    return made


def _contents(mongodb_host: str) -> Mapping[str, Content]:
    def uri(directory: Path) -> str:
        return f"mongodb://product_match:{_held(directory, 'mongodb_password')}@{mongodb_host}:27017/product_match"

    return {
        "mongodb_root_password": _random,
        "mongodb_password": _random,
        "mongodb_uri": uri,
        "qdrant_api_key": _random,
        "qdrant.yaml": lambda directory: f"service:\n  api_key: {_held(directory, 'qdrant_api_key')}\n",
        "triton_admin_key": _random,
        "event_hash_key": _random,
        "feedback_keys.json": _feedback_keys,
        FIRST_KEY: lambda _: new_key(),
        "keys.json": _keys,
    }


def _random(_: Path) -> str:
    return secrets.token_hex(24)


def _keys(directory: Path) -> str:
    first = Key(name="first", sha256=key_digest(_held(directory, FIRST_KEY)), may=frozenset(Scope))
    return KeyRing(open=frozenset({Scope.SEARCH}), keys=(first,)).to_json()


def _feedback_keys(directory: Path) -> str:
    # Imported here: it needs what serving needs, and the command line is used without that too.
    try:
        from product_match.feedback.keys import put_key_in_front
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the keys that sign answers need more than the command line ({error}); "
            "install `pip install 'product-match[serving]'`"
        ) from error
    made = directory / "feedback_keys.json.new"
    put_key_in_front(made, "HS256", date.today().isoformat(), kept=0)
    text = made.read_text(encoding="utf-8")
    made.unlink()
    return text


def _held(directory: Path, name: str) -> str:
    return (directory / name).read_text(encoding="utf-8").strip()


def _put(path: Path, text: str) -> None:
    replace_file(path, text.rstrip().encode() + b"\n", durable=True)
    # Containers read them as users of their own; the directory is this user's alone.
    path.chmod(0o444)
