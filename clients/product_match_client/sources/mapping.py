"""`--map id=product_id,image=image_url`: which field of a source becomes which field of a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from product_match.contract.errors import InvalidRequestError

_ABSENT = object()


def parse_mapping(text: str) -> dict[str, str]:
    """Read a mapping.

    Returns:
        The source's name of each product field.

    Raises:
        InvalidRequestError: It is not of that form, or names a field twice.
    """
    mapping: dict[str, str] = {}
    for part in text.split(","):
        field, _, source = (piece.strip() for piece in part.partition("="))
        if not field or not source or field in mapping:
            raise InvalidRequestError(
                f"mapping `{text}`: expected each product field once, as in id=product_id,image=image_url"
            )
        mapping[field] = source
    return mapping


def mapped(fields: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """Return fields under the names that a product has; a dot reaches into objects, as in price=price.amount.

    A field that the source lacks is left out, and a field that is not mapped keeps its name.
    """
    found = {field: _reach(fields, source) for field, source in mapping.items()}
    sources = set(mapping.values())
    kept = {name: value for name, value in fields.items() if name not in sources}
    return {**kept, **{field: value for field, value in found.items() if value is not _ABSENT}}


def _reach(fields: Mapping[str, Any], name: str) -> Any:
    if name in fields:
        return fields[name]
    value: Any = fields
    for step in name.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value
