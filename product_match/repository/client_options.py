"""The options of a match as the clients' type checker and editor know them: Python, generated from the contract."""

from __future__ import annotations

import json
import textwrap
from typing import Final

from product_match.contract.options import MATCH_OPTIONS, OptionSpec, OptionType

_HEAD: Final = '''\
"""The options of a match, generated from the contract by `ensemble-builder contract --write`. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class MatchOptions(TypedDict, total=False):
    """What `match` and `match_batch` take beside the query; None, or nothing, is the server's default.

    Attributes:
'''
_TYPES: Final = {
    OptionType.INTEGER: "int",
    OptionType.NUMBER: "float",
    OptionType.BOOLEAN: "bool",
    OptionType.NAMES: "Sequence[str]",
    OptionType.IDS: "Sequence[str]",
    OptionType.NUMBERS: "Sequence[float]",
    OptionType.TEXT: "str",
    OptionType.JSON: "Mapping[str, Any]",
    OptionType.JSON_LIST: "Sequence[Mapping[str, Any]]",
}
_WIDTH: Final = 118


def client_options() -> str:
    """Return the module `product_match_client.options`, formatted as `ruff format` does."""
    described = "".join(f"{_described(option)}\n" for option in MATCH_OPTIONS)
    typed = "".join(f"    {option.name}: {_type(option)} | None\n" for option in MATCH_OPTIONS)
    return f'{_HEAD}{described}    """\n\n{typed}'


def _type(option: OptionSpec) -> str:
    if option.type is OptionType.CHOICE:
        choices = ", ".join(json.dumps(choice) for choice in option.choices)
        return f"Literal[{choices}]"
    return _TYPES[option.type]


def _described(option: OptionSpec) -> str:
    text = f"{option.name}: {option.meaning.rstrip('.')}"
    if option.minimum is not None and option.maximum is not None:
        text += f"; {option.minimum:,g} to {option.maximum:,g}"
    return textwrap.fill(f"{text}.", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12)
