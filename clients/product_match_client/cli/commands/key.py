"""`product-match key`: makes a key for a server that asks for keys."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

from product_match.contract.access import SCOPES_MEAN, Key, KeyRing, Scope, key_digest, new_key
from product_match.contract.errors import ConfigError
from product_match.host.files import replace_file
from product_match_client.cli.arguments import add_command, positive_integer, positive_number
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    meanings = "; ".join(f"{scope.value}: {meaning}" for scope, meaning in SCOPES_MEAN.items())
    parser = add_command(
        subparsers,
        "key",
        summary="Make a key, print it once, and put its digest into a server's file of keys; or take one out.",
        example="product-match key keys.json shop-2 --may search,write\nproduct-match key keys.json shop-1 --remove",
        server=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what PRODUCT_MATCH_KEYS_FILE names; made if missing")
    parser.add_argument("name", metavar="NAME", help="whose key it is; appears in messages")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--may", type=scopes, metavar="SCOPES", help=f"what it opens, comma separated ({meanings})")
    what.add_argument("--remove", action="store_true", help="take the key of that name out")
    parser.add_argument(
        "--rows-per-second", type=positive_number, metavar="NUMBER", help="queries, products or commands it may send"
    )
    parser.add_argument(
        "--burst", type=positive_integer, metavar="NUMBER", help="how many at once (default: those of a second)"
    )
    parser.add_argument("--expires", type=day, metavar="DAY", help="the last day on which it is good, as 2027-01-31")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Make a key, or take one out."""
    ring = read_ring(arguments.file)
    there = any(key.name == arguments.name for key in ring.keys)
    if arguments.remove is not there:
        known = ", ".join(key.name for key in ring.keys) or "none"
        missing = "has no key" if arguments.remove else "has already a key"
        raise ConfigError(f"{arguments.file} {missing} `{arguments.name}`; its keys are {known}")
    if arguments.remove:
        write_ring(arguments.file, [key for key in ring.keys if key.name != arguments.name], ring.open)
        console.note(f"`{arguments.name}` is out of {arguments.file}; servers forget it at their next start")
        return 0
    key = new_key()
    entry = made(arguments, key)
    write_ring(arguments.file, [*ring.keys, entry], ring.open)
    console.line(key)
    console.note(f"the key is shown this once; {arguments.file} has its digest, which servers read at their start")
    return 0


def made(arguments: argparse.Namespace, key: str) -> Key:
    """Return what a server holds of a key."""
    rate = arguments.rows_per_second or 0.0
    return Key(
        name=arguments.name,
        sha256=key_digest(key),
        may=arguments.may,
        rows_per_second=rate,
        burst=(arguments.burst or max(1, round(rate))) if rate else 0,
        expires=arguments.expires,
    )


def read_ring(path: Path) -> KeyRing:
    """Return the keys of a file; search alone is open where there is none.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return KeyRing.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return KeyRing(open=frozenset({Scope.SEARCH}))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); name a file of keys") from error


def write_ring(path: Path, keys: list[Key], opened: frozenset[Scope]) -> None:
    """Replace a file of keys.

    Raises:
        ConfigError: It cannot be written, or what it would hold could not be read again.
    """
    text = KeyRing(open=opened, keys=tuple(keys)).to_json()
    KeyRing.from_json(text)
    try:
        replace_file(path, (text + "\n").encode(), durable=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); name another") from error


def scopes(text: str) -> frozenset[Scope]:
    """Read scopes with commas between them, for argparse."""
    known = {scope.value: scope for scope in Scope}
    names = [name.strip() for name in text.split(",")]
    if not set(names) <= known.keys():
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}, got `{text}`")
    return frozenset(known[name] for name in names)


def day(text: str) -> date:
    """Read a day, for argparse."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a day such as 2027-01-31, got `{text}`") from error
