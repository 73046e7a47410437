"""`--map id=product_id,image=image_url`: which field of a source becomes which field of a product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.sources.records import Record
from product_match_client.photos import IMAGE

FieldMapping = Mapping[str, Sequence[str]]
"""The source's names of each product field that has others there: one, or for `image` several."""

LOOKED_AT: Final = 1_000
"""Records among which a mapped name has to occur: a field that is so rare is no field of a catalogue."""

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


def with_mapped_names(records: Iterator[Record], mapping: FieldMapping) -> Iterator[Record]:
    """Return the same records, once it is sure that they have the names of the mapping.

    A name with a typing error would otherwise take the photo, or the price, from every product.

    Args:
        records: What a source gives; the first `LOOKED_AT` are held.
        mapping: The source's names of product fields.

    Raises:
        InvalidRequestError: A name stands in none of them.
    """
    first = list(itertools.islice(records, LOOKED_AT)) if mapping else []
    readable = [record.fields for record in first if record.fields is not None]
    if readable:
        missing = [
            name
            for name in itertools.chain.from_iterable(mapping.values())
            if all(_reach(fields, name) is _ABSENT for fields in readable)
        ]
        if missing:
            there = sorted(set().union(*readable))
            raise InvalidRequestError(
                f"--map: no record has {', '.join(f'`{name}`' for name in missing)}; "
                f"the fields there are {', '.join(there):.500}; correct the name, or leave it out of the mapping"
            )
    return itertools.chain(first, records)


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
