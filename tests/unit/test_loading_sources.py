from __future__ import annotations

import codecs
import datetime
import decimal
import io
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pymongo
import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError, UnavailableError
from product_match_client.loading.sources import csv_files, tables, text_files
from product_match_client.loading.sources.folders import Grouping
from product_match_client.loading.sources.mapping import mapped, parse_mapping, with_mapped_names
from product_match_client.loading.sources.opening import open_source
from tests.fakes.document_server import DocumentServer

HERE = Path("/catalogue")


def read(reader, data):
    return list(reader(io.BytesIO(data), "s", HERE))


def fields_and_reasons(records):
    return [(record.fields, record.reason[:40]) for record in records]


def test_json_lines_are_read_with_their_numbers():
    records = read(text_files.json_lines, b'\xef\xbb\xbf{"id": "1"}\n\n  \n{"id": "2"}')
    assert [(record.line, record.fields) for record in records] == [(1, {"id": "1"}), (4, {"id": "2"})]
    assert {(record.source, record.directory) for record in records} == {("s", HERE)}


@pytest.mark.parametrize(
    ("line", "reason", "raw"),
    [
        (b'{"id": ', "not valid JSON in UTF-8", '{"id": '),
        (b"[1]", "expected a JSON object, got list; send one object for each product", [1]),
        (b'{"id": "\xff"}', "not valid JSON in UTF-8", '{"id": "\\xff"}'),
        (b"[" * 100_000, "not valid JSON in UTF-8", "[" * 100_000),
    ],
)
def test_a_line_that_is_no_product_is_kept_with_the_reason(line, reason, raw):
    good, bad, after = read(text_files.json_lines, b'{"id": "1"}\n' + line + b'\n{"id": "3"}\n')
    assert (good.fields, after.fields) == ({"id": "1"}, {"id": "3"})
    assert bad.fields is None
    assert bad.reason.startswith(reason)
    assert (bad.line, bad.raw) == (2, raw)


def test_a_line_without_end_is_passed_over_without_being_held(monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE_BYTES", 100)
    bad, good = read(text_files.json_lines, b'{"id": "' + b"x" * 200_000 + b'"}\n{"id": "2"}\n')
    assert (bad.line, bad.reason) == (1, "the line is longer than 100 bytes; put one product on each line")
    assert (good.line, good.fields) == (2, {"id": "2"})


def test_a_line_of_a_rejects_file_stands_for_the_record_inside():
    reject = {"source": "shop.csv", "line": 7, "reason": "x", "directory": "/shop", "record": {"id": "1"}}
    (record,) = read(text_files.json_lines, json.dumps(reject).encode())
    assert (record.source, record.line, record.directory, record.fields) == (
        "shop.csv",
        7,
        Path("/shop"),
        {"id": "1"},
    )


@pytest.mark.parametrize(
    ("options", "mapping", "separator"),
    [
        ({"map": {"id": ["sku"]}, "image_separator": "|"}, {"id": ["sku"]}, "|"),
        ({"image_separator": ";"}, {}, ";"),
        ({"map": "id=sku"}, {}, ""),
        ({"map": {"id": "sku"}}, {}, ""),
    ],
)
def test_a_line_of_a_rejects_file_knows_how_its_record_was_read(options, mapping, separator):
    reject = {"source": "shop.csv", "line": 7, "reason": "x", "directory": "/shop", "record": {"sku": "1"}, **options}
    (record,) = read(text_files.json_lines, json.dumps(reject).encode())
    assert (record.fields, record.mapping, record.image_separator) == ({"sku": "1"}, mapping, separator)


def test_a_rejected_line_of_text_is_read_again_as_it_may_have_been_corrected():
    reject = {"source": "s", "line": 7, "reason": "x", "directory": "/shop", "record": '{"id": "1"}'}
    broken = {**reject, "record": '{"id": '}
    first, second = read(text_files.json_lines, f"{json.dumps(reject)}\n{json.dumps(broken)}".encode())
    assert first.fields == {"id": "1"}
    assert (second.fields, second.raw, second.line) == (None, '{"id": ', 7)


@pytest.mark.parametrize("pad", [0, 10, text_files._CHUNK, 3 * text_files._CHUNK])
def test_a_json_array_is_read_a_piece_at_a_time(pad):
    products = [{"id": str(number), "name": "x" * pad} for number in range(4)]
    for indent in (None, 2):
        records = read(text_files.json_array, json.dumps(products, indent=indent).encode())
        assert [record.fields for record in records] == products
        assert [record.line for record in records] == [1, 2, 3, 4]


def test_one_json_object_is_one_product():
    assert fields_and_reasons(read(text_files.json_array, b' {"id": "1"} ')) == [({"id": "1"}, "")]


def test_an_empty_json_array_has_no_products():
    assert read(text_files.json_array, b"[ ]") == []


def test_a_broken_json_array_gives_what_comes_before_and_says_so():
    first, broken = read(text_files.json_array, b'[{"id": "1"}, {"id": ,}, {"id": "3"}]')
    assert first.fields == {"id": "1"}
    assert (broken.fields, broken.line) == (None, 2)
    assert "and what follows in the file cannot be read; mend the file" in broken.reason


def test_an_element_of_a_json_array_that_is_no_object_is_rejected():
    first, second = read(text_files.json_array, b'[1, {"id": "2"}]')
    assert first.reason == "expected a JSON object, got int; send one object for each product"
    assert second.fields == {"id": "2"}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_finds_its_separator(separator):
    lines = ["id,name,price,size", '0042,"A, ""b""\nc",39.50,7', "2,,12,", "3,x,cheap,8"]
    rows = [line.replace(",", separator) for line in lines]
    records = read(csv_files.csv_rows, "\r\n".join(["\ufeff" + rows[0], *rows[1:]]).encode())
    assert [record.fields for record in records] == [
        {"id": "0042", "name": f'A{separator} "b"\nc', "price": "39.50", "size": "7"},
        {"id": "2", "price": "12"},
        {"id": "3", "name": "x", "price": "cheap", "size": "8"},
    ]
    assert [record.line for record in records] == [2, 4, 5]


def test_csv_rows_that_do_not_fit_are_rejected_and_the_rest_goes_on():
    data = b"id,name\n1,a,b\n2,\xff\n\n3,c\n4,x\0y\n5,d\n"
    records = read(csv_files.csv_rows, data)
    by_line = {record.line: record for record in records}
    assert by_line[2].reason == "3 cells where the first line names 2; quote cells that hold the separator"
    assert by_line[2].raw == ["1", "a", "b"]
    assert by_line[3].reason == (
        "not in the encoding of the file; save it as UTF-8, or give --encoding, such as windows-1252"
    )
    assert by_line[3].raw == ["2", "\\xff"]
    assert [record.fields["id"] for record in records if record.fields and record.line in (5, 7)] == ["3", "5"]


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"id, name, price\nsp1, Navy tee, 12.50\n", {"id": "sp1", "name": "Navy tee", "price": "12.50"}),
        (
            b"ID,Name,Price,Fabric\nca1,Tee,9.99,wool\n",
            {"id": "ca1", "name": "Tee", "price": "9.99", "Fabric": "wool"},
        ),
        (b"id,ID,name\n1,2,Tee\n", {"id": "1", "ID": "2", "name": "Tee"}),
        (b"sep=;\r\nid;name\r\nxs1;a, b\r\n", {"id": "xs1", "name": "a, b"}),
        ("id,name\nu1,M\u00fctze\n".encode("utf-16"), {"id": "u1", "name": "M\u00fctze"}),
        (codecs.BOM_UTF16_BE + "id,name\nu1,Hat\n".encode("utf-16-be"), {"id": "u1", "name": "Hat"}),
    ],
)
def test_csv_is_read_as_programs_write_it(data, fields):
    (record,) = read(csv_files.csv_rows, data)
    assert record.fields == fields


def test_lines_are_counted_from_the_file_s_first():
    first, second = read(csv_files.csv_rows, b"sep=;\nid\na\nb\n")
    assert (first.line, second.line) == (3, 4)


def test_a_quote_that_is_never_closed_is_one_reject_with_its_line():
    good, bad = read(csv_files.csv_rows, b'id,name\nuc0,Belt\nuc1,"Tee\nuc2,Top\nuc3,Hat\n')
    assert good.fields == {"id": "uc0", "name": "Belt"}
    assert (bad.line, bad.fields) == (3, None)
    assert bad.reason == "a quote that opens in this row is never closed, which takes all rows behind it; close it"


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(InvalidRequestError, match=r"source s: two columns are named `name`; rename one of them"):
        read(csv_files.csv_rows, b"id,name,Name,price\ndc1,Tee,Navy tee,9.99\n".replace(b"Name", b" name"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":"nan1","price":NaN}', "product nan1: NaN is not JSON; give a number, or leave the field out"),
        (b'{"id":"nan2","x":{"y":-Infinity}}', "product nan2: -Infinity is not JSON; give a number, or leave"),
        (b"[NaN]", "NaN is not JSON; give a number"),
    ],
)
def test_what_is_no_json_is_kept_as_text_with_the_product_s_id(line, reason):
    (record,) = read(text_files.json_lines, line)
    assert record.reason.startswith(reason)
    assert (record.fields, record.raw) == (None, line.decode())


def test_an_envelope_says_where_its_products_are(tmp_path):
    path = tmp_path / "feed.json"
    path.write_text(json.dumps({"data": {"products": [{"id": "e1"}, {"id": "e2"}]}, "rows": [{"id": "e3"}]}))
    assert [record.fields["id"] for record in open_source(str(path), inside="data.products").records()] == [
        "e1",
        "e2",
    ]
    (hint,) = open_source(str(path)).records()
    assert hint.reason == (
        "no product, but an object with lists in `rows`, `data.products`; "
        "give --records and the one with the products"
    )


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("data.items", r"--records data.items: there is no `items`; what is there: `products`"),
        ("data.products.x", r"--records data.products.x: there is no `x`; what is there: list"),
        ("data", r"--records data: expected a list of products, got dict; give the way to the list"),
    ],
)
def test_an_envelope_without_such_a_list_is_refused(tmp_path, inside, message):
    path = tmp_path / "feed.json"
    path.write_text(json.dumps({"data": {"products": [{"id": "e1"}]}}))
    with pytest.raises(InvalidRequestError, match=message):
        list(open_source(str(path), inside=inside).records())


def test_the_way_to_the_products_is_for_whole_json_files(tmp_path):
    (tmp_path / "feed.csv").write_text("id\n1\n")
    with pytest.raises(InvalidRequestError, match=r"--records is for JSON files, this is csv; leave it out"):
        open_source(str(tmp_path / "feed.csv"), inside="data")
    (tmp_path / "feed.json").write_text('{"data": [')
    with pytest.raises(InvalidRequestError, match=r"feed.json: not valid JSON \(.*\); mend the file"):
        list(open_source(str(tmp_path / "feed.json"), inside="data").records())


def test_a_mapped_name_that_no_record_has_is_refused_with_the_names_there_are():
    records = read(csv_files.csv_rows, b"id,name,image_url\nac1,Tee,tee.jpg\nac2,Top,\n")
    with pytest.raises(InvalidRequestError) as refused:
        with_mapped_names(iter(records), parse_mapping("image=picture,name=name"))
    assert str(refused.value) == (
        "--map: no record has `picture`; the fields there are id, image_url, name; correct the name, or leave it out "
        "of the mapping"
    )
    assert list(with_mapped_names(iter(records), parse_mapping("image=image_url"))) == records
    assert list(with_mapped_names(iter(records), {})) == records
    # What cannot be read at all is told by its own reason.
    unread = read(text_files.json_lines, b"[1]\n")
    assert list(with_mapped_names(iter(unread), parse_mapping("image=picture"))) == unread


def test_csv_that_cannot_be_parsed_is_rejected_with_its_line(monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE_BYTES", 10)
    records = read(csv_files.csv_rows, b"id,name\n1,abcdefghijklmnop\n2,b\n")
    assert records[0].reason == "not valid CSV (field larger than field limit (10)); mend the line"
    assert records[-1].fields == {"id": "2", "name": "b"}


def test_a_list_of_urls_makes_the_url_the_id_unless_one_is_given():
    long = "https://shop.example/" + "x" * 300 + "/shoe.jpg"
    data = f"# photos\n\nhttps://shop.example/1.jpg\nA7 http://shop.example/2.jpg\n{long}\nnot a url\nftp://x/y\n"
    first, second, third, fourth, fifth = read(text_files.url_lines, data.encode())
    assert first.fields == {"id": "https://shop.example/1.jpg", "image": "https://shop.example/1.jpg"}
    assert second.fields == {"id": "A7", "image": "http://shop.example/2.jpg"}
    assert third.fields["image"] == long
    assert third.fields["id"].startswith("shoe.jpg-")
    assert len(third.fields["id"]) < 200
    assert {fourth.reason, fifth.reason} == {"expected an http(s) URL, or an id and a URL"}
    assert fourth.raw == "not a url"


def test_a_file_is_known_by_its_suffix_and_counted(tmp_path):
    for name, data, count in (
        ("a.jsonl", '{"id": "1"}\n{"id": "2"}', 2),
        ("a.ndjson", '{"id": "1"}\n', 1),
        ("a.json", '[{"id": "1"}]', None),
        ("a.csv", "id,name\n1,a\n", 1),
        ("a.tsv", "id\tname\n1\ta\n2\tb\n", 2),
        ("a.txt", "http://x.example/1.jpg\n", 1),
        ("a.csv.unknown", "", None),
    ):
        (tmp_path / name).write_text(data)
        if name.endswith("unknown"):
            with pytest.raises(
                InvalidRequestError, match=r"the suffix does not say what it is; give --format, one of"
            ):
                open_source(str(tmp_path / name))
            continue
        source = open_source(str(tmp_path / name))
        records = list(source.records())
        assert all(record.fields for record in records)
        assert {record.directory for record in records} == {tmp_path}
        assert source.count() == count
        assert count in (None, len(records))


def test_the_format_can_be_said(tmp_path):
    (tmp_path / "a.data").write_text("id\n7\n")
    (record,) = open_source(str(tmp_path / "a.data"), "csv").records()
    assert record.fields == {"id": "7"}


def test_a_source_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"source .*nothing: there is no such file or folder; give one"):
        open_source(str(tmp_path / "nothing"))


def test_a_file_that_has_gone_since_is_told(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    source = open_source(str(tmp_path / "a.json"))
    (tmp_path / "a.json").unlink()
    with pytest.raises(
        InvalidRequestError, match=r"cannot be read \(No such file or directory\); see its permissions"
    ):
        list(source.records())


def test_standard_input_is_json_lines_unless_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"id": "1"}\n')))
    (record,) = open_source("-").records()
    assert (record.fields, record.source) == ({"id": "1"}, "standard input")
    assert open_source("-").count() is None
    with pytest.raises(
        InvalidRequestError, match=r"standard input cannot be parquet; give the file itself, or one of"
    ):
        open_source("-", "parquet")


def test_a_folder_of_images_gives_file_names_as_ids(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", "a.txt", ".hidden.jpg", ".cache/x.jpg", "a.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_source(str(tmp_path))
    records = list(source.records())
    assert source.count() == 4
    assert [record.fields for record in records] == [
        {"id": "a", "image": "a.jpeg"},
        None,
        {"id": "b", "image": "b.JPG"},
        {"id": "sub/c", "image": "sub/c.webp"},
    ]
    assert records[1].reason == "a.jpeg gives the same id `a`; rename one of the two"
    assert records[1].raw == {"id": "a", "image": "a.png"}


def test_a_folder_says_what_it_leaves_out(tmp_path):
    photo_files(tmp_path, "a.jpg", "b.AVIF", "c.heic", "d.jfif", "e.HEIF", ".hidden.txt", ".cache/x.txt")
    source = open_source(str(tmp_path))
    assert source.count() == 5
    assert source.left_out() == ""
    photo_files(tmp_path, "drawing.svg", "other.SVG", "sub/list.pdf", "sub/README")
    assert source.count() == 5
    words = (
        f"{tmp_path}: left out 4 files that are no photos by their suffix (2 .svg, 1 .pdf, 1 without a suffix); read"
    )
    assert source.left_out().startswith(words)
    assert ".avif, .bmp" in source.left_out()
    photo_files(tmp_path, *(f"x.{letter}" for letter in "abcdefghij"))
    assert ", and others); read are" in source.left_out()


def photo_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_the_images_of_a_folder_in_it_are_one_product(tmp_path):
    photo_files(tmp_path, "z.jpg", "boot/10.jpg", "boot/2.jpg", "boot/in use/a.png", "z/a.jpg", "cap/only.jpg")
    source = open_source(str(tmp_path), grouping=Grouping.FOLDER)
    records = list(source.records())
    assert source.count() == 5
    assert [record.fields for record in records] == [
        {"id": "z", "image": "z.jpg"},
        {"id": "boot", "image": ["boot/2.jpg", "boot/10.jpg"]},
        {"id": "boot/in use", "image": "boot/in use/a.png"},
        {"id": "cap", "image": "cap/only.jpg"},
        None,
    ]
    assert records[4].reason == "an image beside the folder gives the same id `z`; rename one of the two"


def test_images_that_differ_in_a_number_at_the_end_are_one_product(tmp_path):
    photo_files(
        tmp_path, "1042_10.jpg", "1042_2.jpg", "1042.png", "1042-3.jpg", "sub/1042_1.jpg", "a-b.jpg", "_7.jpg"
    )
    records = open_source(str(tmp_path), grouping=Grouping.NUMBER).records()
    assert [record.fields for record in records] == [
        {"id": "1042", "image": ["1042.png", "1042-3.jpg", "1042_2.jpg", "1042_10.jpg"]},
        {"id": "_7", "image": "_7.jpg"},
        {"id": "a-b", "image": "a-b.jpg"},
        {"id": "sub/1042", "image": "sub/1042_1.jpg"},
    ]


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    source = open_source(str(tmp_path))
    tmp_path.rmdir()
    with pytest.raises(InvalidRequestError, match=r"folder .* cannot be read \(.*\); see its permissions"):
        list(source.records())


def test_parquet_rows_become_products(tmp_path):
    path = tmp_path / "shop.parquet"
    rows = [
        {
            "id": "1",
            "price": decimal.Decimal("9.50"),
            "since": datetime.date(2026, 1, 2),
            "image": b"photo",
            "tags": ["a"],
        },
        {"id": "2", "price": None, "since": None, "image": None, "tags": None},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    source = open_source(str(path))
    assert source.count() == 2
    first, second = source.records()
    assert first.fields == {"id": "1", "price": 9.5, "since": "2026-01-02", "image": b"photo", "tags": ["a"]}
    assert (second.fields, second.line, second.directory) == ({"id": "2"}, 2, tmp_path)


def test_something_else_than_parquet_is_told(tmp_path):
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(
        InvalidRequestError, match=r"a\.parquet cannot be read as Parquet \(.*\); give a Parquet file"
    ):
        open_source(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("module", "name", "what"), [("pyarrow", "a.parquet", "Parquet"), ("pymongo", "mongodb://h/d.c", "MongoDB")]
)
def test_a_library_that_is_missing_is_named(monkeypatch, tmp_path, module, name, what):
    monkeypatch.setitem(sys.modules, module, None)
    if what == "Parquet":
        (tmp_path / name).touch()
        name = str(tmp_path / name)
    with pytest.raises(
        ConfigError, match=rf"reading {what} needs {module}; install it with `pip install \"product-match"
    ):
        open_source(name)


@pytest.mark.parametrize("uri", ["mongodb://host/database", "mongodb://host", "mongodb://host:port/d.c"])
def test_a_mongodb_address_has_to_name_a_collection(uri):
    with pytest.raises(
        InvalidRequestError, match=r"the MongoDB address .*; write mongodb://host:27017/database\.coll"
    ):
        open_source(uri)


def test_a_mongodb_that_is_away_is_told(monkeypatch):
    monkeypatch.setattr(tables, "CONNECT_TIMEOUT_MS", 50)
    source = open_source("mongodb://127.0.0.1:1/shop.products")
    assert source.name == "shop.products"
    for ask in (source.count, lambda: list(source.records())):
        with pytest.raises(
            UnavailableError, match=r"MongoDB does not answer for shop\.products \(.*\); see that it is up"
        ):
            ask()


def test_documents_of_a_collection_become_products(tmp_path):
    with DocumentServer(tmp_path) as store:
        with pymongo.MongoClient(store.uri) as client:
            client["shop"]["products"].insert_many(
                [{"_id": f"k{number:03}", "name": f"n{number}", "gone": None} for number in range(300)]
                + [{"_id": "z", "id": "own", "name": "x"}]
            )
        source = open_source(store.uri.replace("/?", "/shop.products?"))
        records = list(source.records())
        assert source.count() == len(records) == 301
    assert records[0].fields == {"id": "k000", "name": "n0"}
    assert records[-1].fields == {"id": "own", "name": "x"}
    assert [record.line for record in records] == list(range(1, 302))
    assert {record.source for record in records} == {"shop.products"}


def test_values_of_databases_become_values_of_json():
    from bson import Decimal128, ObjectId

    key = ObjectId()
    given = {"id": key, "price": Decimal128("1.5"), "when": datetime.datetime(2026, 1, 2), "list": (1, None), 3: b"x"}
    assert tables.plain(given) == {
        "id": str(key),
        "price": 1.5,
        "when": "2026-01-02T00:00:00",
        "list": [1, None],
        "3": b"x",
    }


def test_a_mapping_renames_and_reaches_into_objects():
    mapping = parse_mapping("id=product_id, image = media.0.url,price=price.amount,name=missing")
    given = {"product_id": 7, "media": [{"url": "a.jpg"}], "price": {"amount": 5}, "color": "red", "a.b": 1}
    assert mapped(given, mapping) == {
        "id": 7,
        "image": "a.jpg",
        "price": 5,
        "color": "red",
        "media": [{"url": "a.jpg"}],
        "a.b": 1,
    }
    assert mapped({"a.b": 1}, {"c": ["a.b"]}) == {"c": 1}
    assert mapped({"a": 1, "b": 2}, {"a": ["b"], "b": ["a"]}) == {"a": 2, "b": 1}


def test_a_mapping_gathers_photos_from_several_fields_and_from_each_element_of_a_list():
    mapping = parse_mapping("image=front,image=back,image=more,id=key")
    shop = {"key": "1", "front": "a.jpg", "back": None, "more": ["c.jpg", "d.jpg"]}
    assert mapped(shop, mapping) == {"id": "1", "image": ["a.jpg", "c.jpg", "d.jpg"]}
    assert mapped({"key": "1", "back": ""}, mapping) == {"id": "1"}
    media = {"id": "1", "media": [{"url": "a.jpg"}, {"alt": "no url"}, {"url": "b.jpg"}]}
    assert mapped(media, parse_mapping("image=media.*.url"))["image"] == ["a.jpg", "b.jpg"]
    assert "image" not in mapped({"id": "1", "media": {"url": "a"}}, parse_mapping("image=media.*.url"))


@pytest.mark.parametrize("text", ["", "id", "id=", "=x", "id=a,id=b"])
def test_a_mapping_of_another_form_is_refused(text):
    with pytest.raises(
        InvalidRequestError, match=r"mapping `.*`: expected each product field once \(image as often as there are"
    ):
        parse_mapping(text)


def test_numbers_that_json_does_not_have_are_one_reject_of_an_array_too():
    bad, good = read(text_files.json_array, b'[{"id": "n1", "price": NaN}, {"id": "2"}]')
    assert bad.reason == "product n1: NaN is not JSON; give a number, or leave the field out"
    assert (bad.fields, bad.raw, good.fields) == (None, '{"id": "n1", "price": NaN}', {"id": "2"})


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (
            {"data": {"page": 1, "products": [{"id": "1"}]}},
            "with a list in `data.products`; give --records data.products",
        ),
        (
            {"a": [{"id": "1"}], "b": {"c": [{}]}},
            "an object with lists in `a`, `b.c`; give --records and the one with",
        ),
    ],
)
def test_an_envelope_in_an_envelope_is_told_too(value, hint):
    (record,) = read(text_files.json_array, json.dumps(value).encode())
    assert hint in record.reason


def test_true_and_false_in_csv_are_that_except_among_words():
    (record,) = read(csv_files.csv_rows, b"id,name,in_stock,sold\n1,True,TRUE,false\n")
    assert record.fields == {"id": "1", "name": "True", "in_stock": True, "sold": False}
