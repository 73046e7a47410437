"""What the commands share: the options every one has, readers of values, and the connection they ask for."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError
from product_match.contract.options import OptionSpec, OptionType
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY, ENDPOINTS_FILE
from product_match_client.client import DEFAULT_TIMEOUT_S, ProductMatchClient
from product_match_client.credentials import Credentials
from product_match_client.endpoints import DEFAULT_URL, parse_endpoint

URL_VARIABLE: Final = "PRODUCT_MATCH_URL"
KEY_VARIABLE: Final = "PRODUCT_MATCH_KEY"
CA_VARIABLE: Final = "PRODUCT_MATCH_CA_FILE"


def add_command(
    subparsers: Any, name: str, *, summary: str, example: str, server: bool = True
) -> argparse.ArgumentParser:
    """Add a command's parser, with the options that all commands have.

    Args:
        subparsers: Of the `product-match` parser.
        name: What is typed.
        summary: One sentence.
        example: One or more whole command lines.
        server: True to add the options that say which server.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary)
    describe(parser, summary=summary, example=example, server=server)
    return parser


def describe(parser: argparse.ArgumentParser, *, summary: str, example: str, server: bool = True) -> None:
    """Give a parser the texts and the options that all commands have; see add_command."""
    parser.description = summary
    parser.epilog = "example:\n" + "\n".join(f"  {line}" for line in example.splitlines())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.allow_abbrev = False
    parser.add_argument("--verbose", action="store_true", help="show the trace of an error, and the log")
    if server:
        parser.add_argument("--json", action="store_true", help="JSON even at a terminal (a pipe always gets JSON)")
        parser.add_argument(
            "--url",
            type=url,
            help=f"host:port, http://host:port or grpc://host:port; default: ${URL_VARIABLE}, "
            f"else the server of this folder's state directory, else {DEFAULT_URL}",
        )
        parser.add_argument(
            "--key",
            help=f"opens a server that asks for keys; default: ${KEY_VARIABLE}, else what the file "
            f"${KEY_VARIABLE}_FILE holds, which nobody sees in the list of processes",
        )
        parser.add_argument(
            "--ca-file",
            type=Path,
            metavar="PEM",
            help=f"certificates that the server's goes back to; default: ${CA_VARIABLE}, else the system's",
        )
        parser.add_argument(
            "--timeout",
            type=positive_number,
            default=DEFAULT_TIMEOUT_S,
            metavar="SECONDS",
            help="longest wait for one answer (default %(default)g)",
        )


def add_options(parser: argparse._ActionsContainer, options: Sequence[OptionSpec]) -> None:
    """Add one command-line option for each request parameter, under the same name with dashes."""
    readers: Mapping[OptionType, tuple[str, Callable[[str], Any]]] = {
        OptionType.INTEGER: ("NUMBER", int),
        OptionType.NUMBER: ("NUMBER", float),
        OptionType.NAMES: ("NAMES", names),
        OptionType.IDS: ("IDS", product_ids),
        OptionType.NUMBERS: ("NUMBERS", numbers),
        OptionType.TEXT: ("TEXT", str),
        OptionType.JSON: ("JSON", json_object),
        OptionType.JSON_LIST: ("JSON", json_list),
    }
    for option in options:
        text = f"{option.meaning[0].lower()}{option.meaning[1:].rstrip('.')} (default: {option.default})"
        described: dict[str, Any] = {"help": text.replace("%", "%%")}
        if option.type is OptionType.BOOLEAN:
            described |= {"action": "store_true", "default": None}
        elif option.type is OptionType.CHOICE:
            described |= {"choices": option.choices}
        else:
            described["metavar"], described["type"] = readers[option.type]
            if option.type is OptionType.IDS:
                described["action"] = "extend"
        parser.add_argument(f"--{option.name.replace('_', '-')}", **described)


def open_client(arguments: argparse.Namespace) -> ProductMatchClient:
    """Return a client for the server that the arguments, the environment or the state directory name."""
    shown = credentials(arguments, os.environ)
    url = server_url(arguments.url, os.environ)
    return ProductMatchClient(url, timeout_s=arguments.timeout, key=shown.key, ca_file=shown.ca_file)


def credentials(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Credentials:
    """Return the key and the certificates that the arguments or the environment name.

    Raises:
        ConfigError: A file cannot be read, or does not hold what it should.
    """
    ca_file = arguments.ca_file or (Path(environment[CA_VARIABLE]) if environment.get(CA_VARIABLE) else None)
    return Credentials(key=_server_key(arguments.key, environment), ca_file=ca_file)


def _server_key(given: str | None, environment: Mapping[str, str]) -> str:
    path = environment.get(f"{KEY_VARIABLE}_FILE")
    if given or environment.get(KEY_VARIABLE) or not path:
        return given or environment.get(KEY_VARIABLE, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{KEY_VARIABLE}_FILE: {path} cannot be read ({error}); name a file with a key") from error


def server_url(given: str | None, environment: Mapping[str, str], state: Path = DEFAULT_STATE_DIRECTORY) -> str:
    """Return the server's address: the one given, else the environment's, else the local stack's, else the default.

    Raises:
        ConfigError: The environment or the endpoints file holds something else than an address.
    """
    if given:
        return given
    named = environment.get(URL_VARIABLE)
    if named:
        return parse_endpoint(named).url
    path = state / ENDPOINTS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return DEFAULT_URL
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give --url") from error
    try:
        return parse_endpoint(json.loads(text)["http"]).url
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} does not name a server ({error!r}); give --url") from error


def read_ids(given: Sequence[str]) -> list[str]:
    """Return the ids of a command line; `-` stands for those on standard input, one a line."""
    ids: list[str] = []
    for item in given:
        ids += [line.strip() for line in sys.stdin if line.strip()] if item == "-" else [item]
    return list(dict.fromkeys(ids))


def url(text: str) -> str:
    """Read an address, for argparse."""
    try:
        return parse_endpoint(text).url
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive_number(text: str) -> float:
    """Read a number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got `{text}`") from error
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got `{text}`")
    return value


def positive_integer(text: str) -> int:
    """Read a whole number from 1, for argparse."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got `{text}`")
    return int(text)


def whole_number(text: str) -> int:
    """Read a whole number from 0, for argparse."""
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got `{text}`")
    return int(text)


def names(text: str) -> list[str]:
    """Read names with commas between them, for argparse; `-` is none."""
    return [] if text.strip() == "-" else [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[float]:
    """Read numbers with commas between them, for argparse."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got `{text}`") from error


def product_ids(text: str) -> list[str]:
    """Read product ids with commas between them, for argparse; one that has a comma itself stands in a JSON list."""
    if not text.lstrip().startswith("["):
        return names(text)
    try:
        ids = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected product ids, got `{text}` ({error})") from error
    return [str(id_) for id_ in ids]


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object, for argparse."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object, got `{text}` ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got `{text}`")
    return value


def json_list(text: str) -> list[Any]:
    """Read a JSON list, for argparse."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON list, got `{text}` ({error})") from error
    if not isinstance(value, list):
        raise argparse.ArgumentTypeError(f"expected a JSON list, got `{text}`")
    return value
