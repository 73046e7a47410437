"""Feeds of shops' programs, and the ways in which they are packed."""

from __future__ import annotations

import datetime
import gzip
import io
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match_client.loading.rows import open_row
from product_match_client.loading.sources import xml_feeds
from product_match_client.loading.sources.opening import open_source
from product_match_client.loading.sources.presets import plain_text

GOOGLE_TSV = (
    "id\ttitle\tdescription\tlink\timage_link\tadditional_image_link\tprice\tsale_price\tproduct_type\tmpn\n"
    "m1\tGreen clogs\t<p>Foam&nbsp;clogs</p>\thttps://shop.example/m1\ta.jpg\tb.jpg,c.jpg\t19.90 EUR\t14.90 EUR\t"
    "Shoes > Clogs\tCL-7\n"
)
RSS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><title>short</title><g:id>m1</g:id><g:title>Gr\u00fcne clogs</g:title><g:image_link>a.jpg</g:image_link>
<g:additional_image_link>b.jpg</g:additional_image_link><g:additional_image_link>c,1.jpg</g:additional_image_link>
<g:price>19.90 EUR</g:price><g:shipping><g:country>DE</g:country><g:price>4 EUR</g:price></g:shipping></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><id>m2</id><title>Hat</title><summary>Warm &lt;b&gt;hat&lt;/b&gt;</summary><link href="https://shop.example/m2"/>
<g:price>5 EUR</g:price></entry></feed>"""
SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,"
    "Image Position,Variant Image\n"
    'red-jacket,Red jacket,"<p>Short <b>biker</b> jacket</p>",Alder,Jackets,"new, leather",Size,S,RJ-S,'
    "89.90,back.jpg,2,\n"
    "red-jacket,,,,,,,M,RJ-M,89.90,front.jpg,1,m.jpg\n"
    "red-jacket,,,,,,,,,,side.jpg,3,\n"
    "blue-tee,Blue tee,Plain,Alder,Tees,basic,Title,Default Title,BT-1,12.50,blue.jpg,1,\n"
)
WOOCOMMERCE = (
    "ID,Type,SKU,Name,Description,Regular price,Sale price,Categories,Tags,Images,Parent,In stock?\n"
    '44,variable,WC,Tee,<p>Soft</p>,,,"Clothing > Tees, Sale",basic,"http://h/a.jpg, http://h/b.jpg",,1\n'
    "45,variation,WC-S,Tee - S,,12.50,9.90,,,http://h/s.jpg,id:44,1\n"
    "46,simple,CAP,Cap,,5,,Caps,,,,1\n"
)
MAGENTO = (
    "sku,name,description,price,special_price,categories,base_image,additional_images,color\n"
    'WB01,Bag,<p>Roomy</p>,30,25,"Default Category/Gear/Bags",/w/b/wb01.jpg,"/w/b/wb01-2.jpg,/w/b/wb01-3.jpg",Blue\n'
    ",,,,,,,/w/b/wb01-4.jpg,\n"
    "WB02,Sack,Small,10,,,,,\n"
)


def products(tmp_path, name, data, preset):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [dict(open_row(record, {}).product) for record in open_source(str(path), preset=preset).records()]


def test_google_in_columns(tmp_path):
    assert products(tmp_path, "merchant.txt", GOOGLE_TSV, "google") == [
        {
            "id": "m1",
            "name": "Green clogs",
            "description": "Foam clogs",
            "link": "https://shop.example/m1",
            "price": 19.9,
            "sale_price": 14.9,
            "currency": "EUR",
            "category": "Clogs",
            "category_path": "Shoes > Clogs",
            "mpn": "CL-7",
            "sku": "CL-7",
            "image": ["a.jpg", "b.jpg", "c.jpg"],
        }
    ]


def test_google_in_rss_and_atom(tmp_path):
    (product,) = products(tmp_path, "merchant.xml", RSS.encode("latin-1"), "google")
    assert product == {
        "id": "m1",
        "name": "Gr\u00fcne clogs",
        "price": 19.9,
        "currency": "EUR",
        "shipping": {"country": "DE", "price": "4 EUR"},
        "image": ["a.jpg", "b.jpg", "c,1.jpg"],
    }
    assert products(tmp_path, "merchant.atom", ATOM, "google") == [
        {
            "id": "m2",
            "name": "Hat",
            "description": "Warm hat",
            "link": "https://shop.example/m2",
            "price": 5,
            "currency": "EUR",
        }
    ]


def test_shopify_gathers_the_rows_of_a_handle(tmp_path):
    jacket, tee = products(tmp_path, "shopify.csv", SHOPIFY, "shopify")
    assert jacket == {
        "id": "red-jacket",
        "name": "Red jacket",
        "description": "Short biker jacket",
        "brand": "Alder",
        "category": "Jackets",
        "tags": ["new", "leather"],
        "price": 89.9,
        "sku": "RJ-S",
        "variants": [{"sku": "RJ-S", "price": 89.9, "size": "S"}, {"sku": "RJ-M", "price": 89.9, "size": "M"}],
        "image": ["front.jpg", "back.jpg", "side.jpg", "m.jpg"],
    }
    assert (tee["variants"], tee["image"]) == ([{"sku": "BT-1", "price": 12.5}], "blue.jpg")


def test_woocommerce_puts_variations_into_their_product(tmp_path):
    tee, cap = products(tmp_path, "woo.csv", WOOCOMMERCE, "woocommerce")
    assert tee["image"] == ["http://h/a.jpg", "http://h/b.jpg", "http://h/s.jpg"]
    assert (tee["price"], tee["category"], tee["description"]) == (12.5, "Tees", "Soft")
    assert [(variant["sku"], variant["price"], variant["sale_price"]) for variant in tee["variants"]] == [
        ("WC-S", 12.5, 9.9)
    ]
    assert (cap["id"], cap["price"], "variants" in cap) == ("46", 5, False)


def test_magento_takes_further_photos_from_cells_and_rows(tmp_path):
    bag, sack = products(tmp_path, "magento.csv", MAGENTO, "magento")
    assert bag == {
        "id": "WB01",
        "sku": "WB01",
        "name": "Bag",
        "description": "Roomy",
        "price": 30,
        "sale_price": 25,
        "category": "Bags",
        "category_path": "Default Category/Gear/Bags",
        "color": "Blue",
        "image": ["w/b/wb01.jpg", "w/b/wb01-2.jpg", "w/b/wb01-3.jpg", "w/b/wb01-4.jpg"],
    }
    assert (sack["id"], "image" in sack) == ("WB02", False)


def test_a_row_without_the_key_and_one_that_cannot_be_read_are_rejects(tmp_path):
    path = tmp_path / "feed.csv"
    path.write_text("Handle,Title\na,A\nb,B,C\n,D\n")
    first, second, third = open_source(str(path), preset="shopify").records()
    assert first.fields == {"id": "a", "name": "A"}
    assert second.reason.startswith("3 cells where the first line names 2")
    assert third.reason == "no `handle`, which this preset tells products by; the columns there are title"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One</p><p>two&amp;three<br>four</p><script>x()</script>", "One two&three four"),
        ("sizes < 40 and > 30", "sizes < 40 and > 30"),
        ("A & B", "A & B"),
        ("<b>bold", "bold"),
    ],
)
def test_html_becomes_text(text, plain):
    assert plain_text(text) == plain


def test_xml_without_a_preset_says_which(tmp_path):
    (tmp_path / "a.xml").write_text(RSS)
    with pytest.raises(InvalidRequestError, match=r"a feed in XML names its fields in its own way; give --preset go"):
        open_source(str(tmp_path / "a.xml"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<rss><item><id>1</id></item><item>", "not valid XML (no element found"),
        (
            '<!DOCTYPE r [<!ENTITY a "aaaa">]><rss><item><id>&a;</id></item></rss>',
            "not valid XML (it declares an entity",
        ),
    ],
)
def test_broken_xml_is_one_reject_with_its_line(text, reason):
    *_, last = xml_feeds.xml_items(io.BytesIO(text.encode()), "s", Path())
    assert (last.reason.startswith(reason), last.line, last.fields) == (True, 1, None)


def test_an_item_without_bounds_is_not_held(monkeypatch):
    monkeypatch.setattr(xml_feeds, "MAX_ITEM_BYTES", 10)
    text = "<rss><item><id>1</id><title>" + "x" * 100 + "</title></item><item><id>2</id></item></rss>"
    long, good = xml_feeds.xml_items(io.BytesIO(text.encode()), "s", Path())
    assert (long.reason, good.fields) == ("the item has more than 10 letters; it is no product", {"id": "2"})


def test_gzip_and_zip_are_unpacked(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,name\n1,Hat\n"))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("__MACOSX/feed.csv", "")
        archive.writestr("feed.csv", "id,name\n1,Hat\n")
    for name in ("a.csv.gz", "b.zip"):
        source = open_source(str(tmp_path / name))
        assert [record.fields for record in source.records()] == [{"id": "1", "name": "Hat"}]
        assert source.count() is None


def test_what_cannot_be_unpacked_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        archive.writestr("b.csv", "id\n1\n")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "two.zip").read_bytes()[:40])
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"id\n1\n")[:-9])
    for name, message in (
        ("two.zip", "a zip of 2 files, expected one; unpack it, and give the files"),
        ("cut.zip", r"it cannot be unpacked \(.*\); send it again"),
        ("cut.csv.gz", r"it cannot be unpacked \(.*\); what came before the damage was read, send it again"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            list(open_source(str(tmp_path / name)).records())


def test_excel_is_read_by_its_first_sheet(tmp_path, monkeypatch):
    book = openpyxl.Workbook()
    for row in (
        ["ID", "Name ", None, "Price", "since"],
        [1001, " Hat", "x", 9.5, datetime.date(2026, 1, 2)],
        [],
        [7.0],
    ):
        book.active.append(row)
    path = tmp_path / "shop.xlsx"
    book.save(path)
    first, second = open_source(str(path)).records()
    assert first.fields == {"id": 1001, "name": "Hat", "price": 9.5, "since": "2026-01-02T00:00:00"}
    assert (second.fields, second.line) == ({"id": 7}, 4)
    (tmp_path / "no.xlsx").write_bytes(b"no")
    with pytest.raises(InvalidRequestError, match=r"no.xlsx cannot be read as Excel \(.*\); save it as .xlsx"):
        list(open_source(str(tmp_path / "no.xlsx")).records())
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r"reading Excel needs openpyxl; install it with"):
        open_source(str(path))
