"""Feeds that nobody thought of: each is read as every format, with and without a preset, to the rows of a load."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.rows import open_row
from product_match_client.loading.sources.csv_files import csv_rows
from product_match_client.loading.sources.encodings import file_encoding, in_utf_8
from product_match_client.loading.sources.presets import PRESETS, with_preset
from product_match_client.loading.sources.records import Record
from product_match_client.loading.sources.text_files import json_array, json_lines, url_lines
from product_match_client.loading.sources.xml_feeds import xml_items

_READERS = {"csv": csv_rows, "json": json_array, "jsonl": json_lines, "urls": url_lines, "xml": xml_items}
_NAMES = (
    *("id", "ID", " name", "title", "price", "sale_price", "image", "image_link", "additional_image_link", "sku"),
    *("Handle", "Variant Price", "Variant SKU", "Option1 Value", "Image Src", "Image Position", "Tags", "Parent"),
    *("Categories", "categories", "Images", "Regular price", "base_image", "additional_images", "description"),
)
_CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "p1",
            "19,90",
            "1.299,00 \u20ac",
            "19.90 eur",
            "$",
            "true",
            "<p>a&amp;b",
            "&#0;",
            "a, b",
            "id:p1",
            "NaN",
        ]
    ),
    st.text(max_size=12),
)


def _csv(names: list[str], rows: list[list[str]], mark: str) -> str:
    return "\n".join(mark.join(cells) for cells in [names, *rows])


def _xml(names: list[str], rows: list[list[str]], mark: str) -> str:
    tag = "item" if mark == ";" else "entry"
    inside = (
        "".join(
            f"<g:{name.strip().replace(' ', '_')}>{cell}</g:{name.strip().replace(' ', '_')}>" for name, cell in row
        )
        for row in ([*zip(names, cells, strict=False)] for cells in rows)
    )
    items = "".join(f"<{tag}>{text}</{tag}>" for text in inside)
    return f'<rss xmlns:g="http://base.google.com/ns/1.0">{items}</rss>'


def _json(names: list[str], rows: list[list[str]], mark: str) -> str:
    objects = [dict(zip(names, cells, strict=False)) for cells in rows]
    return json.dumps(objects) if mark == ";" else "\n".join(map(json.dumps, objects))


@st.composite
def feeds(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Make a format, a preset (empty for none) and the bytes of a feed, some of them changed."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=6, unique=True))
    rows = draw(st.lists(st.lists(_CELLS, min_size=1, max_size=len(names)), max_size=4))
    kind = draw(st.sampled_from(sorted(_READERS)))
    write = {"xml": _xml, "json": _json, "jsonl": _json}.get(kind, _csv)
    text = write(names, rows, draw(st.sampled_from([",", ";", "\t"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "cp1252"]))
    data = bytearray(text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace"))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=2)):
        if data:
            data[place % len(data)] = value
    return kind, draw(st.sampled_from(["", *PRESETS])), bytes(data)


def read_feed(given: tuple[str, str, bytes]) -> None:
    """Read a feed to the rows of a load.

    Raises:
        InvalidRequestError: It cannot be read, or a record of it cannot be loaded.
    """
    kind, preset, data = given
    file = io.BytesIO(data)
    encoding = "utf-8" if kind == "xml" else file_encoding(file)
    records: Iterator[Record] = _READERS[kind](in_utf_8(file, encoding), "feed", Path("/none"))
    refused: InvalidRequestError | None = None
    for record in with_preset(records, preset) if preset else records:
        try:
            open_row(record, {})
        except InvalidRequestError as error:
            refused = refused or error
    if refused is not None:
        raise refused
