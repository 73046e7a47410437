"""Feeds of the programs that shops run: what stands in their columns, as fields of a product.

A preset names the fields, gathers the rows of one product, and makes text of HTML. Numbers are read afterwards, as in
any feed.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, Final

from product_match_client.loading.sources.prices import VARIANTS
from product_match_client.loading.sources.records import Record
from product_match_client.photos import IMAGE

Fields = dict[str, Any]
_WORD: Final = re.compile(r"[^a-z0-9]+")
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|&#?\w+;")
_BLOCKS: Final = frozenset({"address", "article", "br", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6"})
_MORE_BLOCKS: Final = frozenset({"hr", "li", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"})
_UNSEEN: Final = frozenset({"script", "style"})

_GOOGLE: Final = {"title": "name", "product_type": "category", "image_link": IMAGE}
_GOOGLE_LISTS: Final = ("additional_image_link", "product_highlight", "included_destination", "excluded_destination")
_SHOPIFY: Final = {
    "title": "name",
    "body_html": "description",
    "vendor": "brand",
    "type": "category",
    "seo_title": "seo_title",
}
_WOOCOMMERCE: Final = {
    "id": "id",
    "sku": "sku",
    "name": "name",
    "description": "description",
    "short_description": "short_description",
    "regular_price": "price",
    "sale_price": "sale_price",
    "brands": "brand",
}
_MAGENTO: Final = {
    "sku": "id",
    "name": "name",
    "description": "description",
    "short_description": "short_description",
    "price": "price",
    "special_price": "sale_price",
    "manufacturer": "brand",
    "color": "color",
}


class _Text(HTMLParser):
    """Keeps what a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  its own
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS or tag in _MORE_BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _BLOCKS or tag in _MORE_BLOCKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)


def plain_text(text: str) -> str:
    """Return what a reader of HTML sees; text without tags or entities stays as it is."""
    if not _TAG.search(text):
        return text
    parser = _Text()
    parser.feed(text)
    parser.close()
    return " ".join("".join(parser.parts).split())


def _column(name: str) -> str:
    return _WORD.sub("_", name.strip().lower().removeprefix("g:")).strip("_")


def _columns(fields: Mapping[str, Any]) -> Fields:
    """Return fields by their names in small letters with underscores, without those that are empty."""
    return {_column(name): value for name, value in fields.items() if value not in (None, "", [])}


def _split(value: object, separator: str) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [part.strip() for item in items for part in str(item).split(separator) if part.strip()]


def _with_photos(product: Fields, photos: Sequence[str]) -> Fields:
    """Put a product's photos in, each once, in order."""
    unique = list(dict.fromkeys(photos))
    if unique:
        product[IMAGE] = unique[0] if len(unique) == 1 else unique
    return product


def _texts(product: Fields) -> Fields:
    return {name: plain_text(value) if isinstance(value, str) else value for name, value in product.items()}


def _last_step(path: object, separator: str = ">") -> str:
    """Return the narrowest category of a path, as in `Clothing > Jackets`."""
    return str(path).rsplit(separator, 1)[-1].strip()


def google_product(rows: Sequence[Fields]) -> Fields:
    """Return the product of one item of a Google Merchant feed; its other fields keep their names."""
    (fields,) = rows
    named = {_GOOGLE.get(name, name): value for name, value in fields.items()}
    for name in _GOOGLE_LISTS:
        if name in named and not isinstance(named[name], list):
            named[name] = _split(named[name], ",")
    if "summary" in named:
        named.setdefault("description", named.pop("summary"))
    category = named.get("category") or named.get("google_product_category")
    first = category[0] if isinstance(category, list) else category
    if first:
        named["category_path"], named["category"] = first, _last_step(first)
    further = named.pop("additional_image_link", [])
    if "sku" not in named and "mpn" in named:
        named["sku"] = named["mpn"]
    return _texts(_with_photos(named, [*_split(named.pop(IMAGE, []), "\n"), *further]))


def shopify_product(rows: Sequence[Fields]) -> Fields:
    """Return the product of the rows of one handle: its variants inside, its photos in their order."""
    first = rows[0]
    product: Fields = {"id": first["handle"]}
    for row in rows:
        for name, value in row.items():
            if not name.startswith(("variant_", "option", "image_", "handle")):
                product.setdefault(_SHOPIFY.get(name, name), value)
    if "tags" in product:
        product["tags"] = _split(product["tags"], ",")
    names = [first.get(f"option{number}_name", "") for number in (1, 2, 3)]
    variants = [variant for row in rows if (variant := _shopify_variant(row, names))]
    if variants:
        product[VARIANTS] = variants
        for field in ("price", "sku"):
            product.update({field: variants[0][field]} if field in variants[0] else {})
    placed = [row for row in rows if "image_src" in row]
    placed.sort(key=lambda row: int(text) if (text := str(row.get("image_position", ""))).isdecimal() else 1 << 30)
    photos = [row["image_src"] for row in placed]
    photos += [row["variant_image"] for row in rows if "variant_image" in row]
    return _texts(_with_photos(product, photos))


def _shopify_variant(row: Fields, names: Sequence[str]) -> Fields:
    """Return the variant of a row; a row that has only a further photo has none."""
    variant: Fields = {
        name.removeprefix("variant_"): value
        for name, value in row.items()
        if name.startswith("variant_") and name != "variant_image"
    }
    for number, name in enumerate(names, start=1):
        value = row.get(f"option{number}_value")
        if value and value != "Default Title":
            variant[str(name).lower() or f"option{number}"] = value
    return variant


def woocommerce_product(rows: Sequence[Fields]) -> Fields:
    """Return the product of a WooCommerce export: a row, and the rows of its variations."""
    first = rows[0]
    product = {_WOOCOMMERCE.get(name, name): value for name, value in first.items()}
    product.setdefault("id", first.get("sku"))
    if "categories" in product:
        path = _split(product.pop("categories"), ",")[0]
        product["category_path"], product["category"] = path, _last_step(path)
    if "tags" in product:
        product["tags"] = _split(product["tags"], ",")
    photos = [photo for row in rows for photo in _split(row.get("images", ""), ",")]
    product.pop("images", None)
    variants = [{_WOOCOMMERCE.get(name, name): value for name, value in row.items()} for row in rows[1:]]
    for variant in variants:
        variant.pop("images", None)
    if variants:
        product[VARIANTS] = variants
        product.setdefault("price", variants[0].get("price"))
    return _texts(_with_photos({name: value for name, value in product.items() if value is not None}, photos))


def magento_product(rows: Sequence[Fields]) -> Fields:
    """Return the product of a Magento export; rows without a SKU below it hold further photos."""
    first = rows[0]
    product = {_MAGENTO.get(name, name): value for name, value in first.items()}
    product["sku"] = first["sku"]
    if "categories" in product:
        path = _split(product.pop("categories"), ",")[0]
        product["category_path"], product["category"] = path, _last_step(path, "/")
    photos: list[str] = []
    for row in rows:
        for name in ("base_image", "image", "additional_images", "media_gallery", "_media_image"):
            photos += [photo.lstrip("/") for photo in _split(row.get(_column(name), ""), ",")]
    for name in ("base_image", "image", "additional_images", "media_gallery", "media_image"):
        product.pop(name, None)
    return _texts(_with_photos(product, photos))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How a program's feed is read.

    Attributes:
        key: The column that tells products apart; a row whose key is empty or the same belongs to the one before.
        parent: The column in which a row names the product that it is a variation of.
        product: Makes a product of its rows.
    """

    key: str
    product: Callable[[Sequence[Fields]], Fields]
    parent: str = ""


PRESETS: Final[Mapping[str, Preset]] = {
    "google": Preset(key="id", product=google_product),
    "shopify": Preset(key="handle", product=shopify_product),
    "woocommerce": Preset(key="id", product=woocommerce_product, parent="parent"),
    "magento": Preset(key="sku", product=magento_product),
}


def with_preset(records: Iterator[Record], name: str) -> Iterator[Record]:
    """Yield the products of a program's feed, each with the line of its first row.

    A feed has the rows of a product one behind the other, and they are held together; no more is.
    """
    preset = PRESETS[name]
    held: list[tuple[Record, Fields]] = []
    for record in records:
        if record.fields is None:
            yield from _gathered(held, preset)
            held = []
            yield record
            continue
        fields = _columns(record.fields)
        if held and _belongs(fields, held[0][1], preset, several=name != "google"):
            held.append((record, fields))
            continue
        yield from _gathered(held, preset)
        held = [(record, fields)]
    yield from _gathered(held, preset)


def _belongs(fields: Fields, first: Fields, preset: Preset, *, several: bool) -> bool:
    if not several:
        return False
    if preset.parent:
        parent = str(fields.get(preset.parent, ""))
        return bool(parent) and parent in (f"id:{first.get('id')}", str(first.get("sku")), str(first.get("id")))
    return fields.get(preset.key, first.get(preset.key)) == first.get(preset.key)


def _gathered(held: Sequence[tuple[Record, Fields]], preset: Preset) -> Iterator[Record]:
    if not held:
        return
    record, rows = held[0][0], [fields for _, fields in held]
    if preset.key not in rows[0] and not (preset.parent and "sku" in rows[0]):
        there = ", ".join(itertools.islice(rows[0], 12))
        reason = f"no `{preset.key}`, which this preset tells products by; the columns there are {there:.300}"
        yield dataclasses.replace(record, fields=None, reason=reason, raw=record.fields)
        return
    fields = preset.product(rows)
    yield dataclasses.replace(record, fields=fields, raw=fields)
