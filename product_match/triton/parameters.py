"""Reads request parameters: typed from JSON and gRPC, strings from HTTP headers, one parser for both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from product_match.contract import limits
from product_match.contract.access import is_key
from product_match.contract.errors import InvalidRequestError
from product_match.contract.options import ALL_OPTIONS, DEADLINE, OptionSpec, OptionType

_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


def parse_parameters(text: str, options: Sequence[OptionSpec] = ALL_OPTIONS) -> dict[str, Any]:
    """Read the parameters of one request.

    Args:
        text: What `InferenceRequest.parameters()` returns: a JSON object, or nothing.
        options: The options that the model takes.

    Returns:
        The given options by name, the deadline left out: int, float, bool, tuple of names, ids or numbers, text,
        choice, or decoded JSON.

    Raises:
        InvalidRequestError: An unknown parameter, or a value of the wrong type or out of range.
    """
    given: Mapping[str, Any] = json.loads(text) if text else {}
    if not given:
        return {}
    known = {option.name: option for option in options}
    parsed = {}
    for name, value in given.items():
        if is_key(name) or name.lower() == DEADLINE.name:
            continue
        # A header arrives as the client spelt it, and some proxies drop names with an underscore.
        option = known.get(name.lower().replace("-", "_"))
        if option is None:
            raise InvalidRequestError(
                f"parameter `{name:.60}` is not known here; known are {', '.join(sorted(known))}; "
                "remove it or correct its name"
            )
        parsed[option.name] = _READERS[option.type](option, value)
    return parsed


def parse_deadline(text: str) -> float | None:
    """Return the deadline among the parameters of a request, in seconds since 1970; None where there is none.

    Raises:
        InvalidRequestError: It is no number.
    """
    if DEADLINE.name not in text.lower():
        return None
    given: Mapping[str, Any] = json.loads(text)
    return next((_number(DEADLINE, value) for name, value in given.items() if name.lower() == DEADLINE.name), None)


def _wrong(option: OptionSpec, expected: str, value: object) -> InvalidRequestError:
    return InvalidRequestError(f"{option.name}: expected {expected}, got {value!r:.80}")


def _range(option: OptionSpec) -> str:
    return f"from {option.minimum:,g} to {option.maximum:,g}"


def _integer(option: OptionSpec, value: object) -> int:
    expected = f"a whole number {_range(option)}"
    if isinstance(value, str):
        try:
            value = int(value.strip())
        except ValueError as error:
            raise _wrong(option, expected, value) from error
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(option, expected, value)
    _check_range(option, expected, value)
    return value


def _number(option: OptionSpec, value: object) -> float:
    expected = f"a number {_range(option)}"
    if isinstance(value, str):
        try:
            value = float(value.strip())
        except ValueError as error:
            raise _wrong(option, expected, value) from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(option, expected, value)
    _check_range(option, expected, value)
    return float(value)


def _numbers(option: OptionSpec, value: object) -> tuple[float, ...]:
    expected = f"numbers {_range(option)}, comma separated"
    if not isinstance(value, str):
        raise _wrong(option, expected, value)
    try:
        numbers = tuple(float(number) for number in value.split(","))
    except ValueError as error:
        raise _wrong(option, expected, value) from error
    for number in numbers:
        _check_range(option, expected, number)
    return numbers


def _check_range(option: OptionSpec, expected: str, value: float) -> None:
    low = -math.inf if option.minimum is None else option.minimum
    high = math.inf if option.maximum is None else option.maximum
    if not low <= value <= high:
        raise _wrong(option, expected, value)


def _boolean(option: OptionSpec, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _wrong(option, "true or false", value)


def _names(option: OptionSpec, value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        raise _wrong(option, "names, comma separated", value)
    if value.strip() == "-":
        return ()
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise _wrong(option, "names, comma separated, none of them empty", value)
    return names


def _ids(option: OptionSpec, value: object) -> tuple[str, ...]:
    expected = 'product ids, comma separated, or a JSON list such as ["1042", "1043"]'
    if not isinstance(value, str):
        raise _wrong(option, expected, value)
    if value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _wrong(option, expected, value) from error
    else:
        listed = [id_.strip() for id_ in value.split(",")]
    ids = tuple(str(id_) if type(id_) is int else id_ for id_ in listed)
    if not ids or not all(isinstance(id_, str) and id_.strip() for id_ in ids):
        raise _wrong(option, f"{expected}, none of them empty", value)
    if len(ids) > limits.MAX_EXAMPLES:
        raise InvalidRequestError(
            f"{option.name}: {len(ids)} products, the limit is {limits.MAX_EXAMPLES}; name those that tell the most"
        )
    return ids


def _text(option: OptionSpec, value: object) -> str:
    most = limits.MAX_TEXT_OPTION_CHARACTERS
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a number of a customer, say, that JSON or gRPC carries as one
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= most:
        raise _wrong(option, f"a text of 1 to {most} characters", value)
    return value.strip()


def _choice(option: OptionSpec, value: object) -> str:
    if not isinstance(value, str) or value.strip().lower() not in option.choices:
        raise _wrong(option, f"one of {', '.join(option.choices)}", value)
    return value.strip().lower()


def _json(option: OptionSpec, value: object) -> object:
    wanted = "a JSON list" if option.type is OptionType.JSON_LIST else "a JSON object"
    if not isinstance(value, str):
        raise _wrong(option, f"{wanted}, as a string", value)
    if len(value) > limits.MAX_FILTER_BYTES:
        raise InvalidRequestError(
            f"{option.name}: {len(value):,} characters of JSON, the limit is {limits.MAX_FILTER_BYTES:,}; shorten it"
        )
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{option.name}: not valid JSON ({error}); send {wanted}") from error


_READERS = {
    OptionType.INTEGER: _integer,
    OptionType.NUMBER: _number,
    OptionType.BOOLEAN: _boolean,
    OptionType.NAMES: _names,
    OptionType.IDS: _ids,
    OptionType.NUMBERS: _numbers,
    OptionType.TEXT: _text,
    OptionType.CHOICE: _choice,
    OptionType.JSON: _json,
    OptionType.JSON_LIST: _json,
}
