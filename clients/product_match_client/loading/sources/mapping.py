"""`--map id=product_id,image=image_url`: which field of a source becomes which field of a product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.photos import IMAGE

FieldMapping = Mapping[str, Sequence[str]]
"""The source's names of each product field that has others there: one, or for `image` several."""

_ABSENT = object()
_EACH: Final = "*"


def parse_mapping(text: str) -> dict[str, list[str]]:
    """Read a mapping; `image` may stand in it several times, as in image=front,image=back.

    Raises:
        InvalidRequestError: It is not of that form, or names a field twice.
    """
    mapping: dict[str, list[str]] = {}
    for part in text.split(","):
        field, _, source = (piece.strip() for piece in part.partition("="))
        if not field or not source or (field in mapping and field != IMAGE):
            raise InvalidRequestError(
                f"mapping `{text}`: expected each product field once (image as often as there are photos), "
                "as in id=product_id,image=image_url"
            )
        mapping.setdefault(field, []).append(source)
    return mapping


def mapped(fields: Mapping[str, Any], mapping: FieldMapping) -> dict[str, Any]:
    """Return fields under the names that a product has; a dot reaches into objects, as in price=price.amount.

    `*` stands for each element of a list, as in image=media.*.url. A field that the source lacks is left out, and a
    field that is not mapped keeps its name.
    """
    found = {field: _found(fields, sources) for field, sources in mapping.items()}
    taken = {source for sources in mapping.values() for source in sources}
    kept = {name: value for name, value in fields.items() if name not in taken}
    return {**kept, **{field: value for field, value in found.items() if value is not _ABSENT}}


def _found(fields: Mapping[str, Any], sources: Sequence[str]) -> Any:
    values = [_reach(fields, source) for source in sources]
    if len(values) == 1:
        return values[0]
    present: list[Any] = []
    for value in values:
        if value is not _ABSENT and value is not None and value != "":
            present += value if isinstance(value, list) else [value]
    return present or _ABSENT


def _reach(fields: Mapping[str, Any], name: str) -> Any:
    return fields[name] if name in fields else _follow(fields, name.split("."))


def _follow(value: Any, steps: Sequence[str]) -> Any:
    if not steps:
        return value
    step, *left = steps
    if isinstance(value, Mapping) and step in value:
        return _follow(value[step], left)
    if isinstance(value, list) and step == _EACH:
        found = [_follow(item, left) for item in value]
        return [item for item in found if item is not _ABSENT]
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return _follow(value[int(step)], left)
    return _ABSENT
