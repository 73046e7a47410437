"""Text files in other encodings than UTF-8."""

from __future__ import annotations

import io
import sys

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match_client.loading.sources import encodings
from product_match_client.loading.sources.encodings import check_encoding, file_encoding, in_utf_8
from product_match_client.loading.sources.opening import open_source


@pytest.mark.parametrize(
    ("text", "written", "told"),
    [
        ("id;name\n1;M\u00fctze\n", "utf-8", "utf-8"),
        ("id;name\n1;M\u00fctze\n", "utf-16", "utf-16"),
        ("sep=;\nid;name\nxs1;M\u00fcnchen Tee\n", "cp1252", "windows-1252"),
        ("id,name\n1,Cr\u00e8me br\u00fbl\u00e9e\n", "cp1252", "windows-1252"),
        ("id,price\n1,5 \u20ac\n", "cp1252", "windows-1252"),
        (
            "id,name\n1,\u0424\u0443\u0442\u0431\u043e\u043b\u043a\u0430 \u0441\u0438\u043d\u044f\u044f\n",
            "cp1251",
            "windows-1251",
        ),
        ("id,name\n1,\u8d64\u3044\u30b7\u30e3\u30c4\n", "shift_jis", "shift_jis"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_what_a_file_is_written_in_is_told_and_read(tmp_path, text, written, told, suffix):
    path = tmp_path / f"feed.{suffix}"
    body = text if suffix == "csv" else f'{{"id": "1", "name": "{text.splitlines()[-1]}"}}\n'
    path.write_bytes(body.encode(written))
    source = open_source(str(path))
    (record,) = source.records()
    assert record.reason == ""
    assert all(value in body for value in record.fields.values())
    assert file_encoding(io.BytesIO(body.encode(written))) == told
    assert source.read_as == ("" if told.startswith("utf") else told)


def test_what_was_asked_for_is_done(tmp_path):
    path = tmp_path / "feed.csv"
    path.write_bytes("id,name\n1,Tri\u010dko\n2,\n".encode("cp1250"))
    source = open_source(str(path), encoding="windows-1250")
    assert next(source.records()).fields == {"id": "1", "name": "Tri\u010dko"}
    assert source.read_as == ""


def test_a_byte_that_the_encoding_does_not_have_is_one_reject(tmp_path):
    path = tmp_path / "feed.csv"
    path.write_bytes(b"id,name\n1,M\xfctze\n2,\x81\n3,Hut\n")
    first, second, third = open_source(str(path), encoding="windows-1252").records()
    assert (first.fields["name"], third.fields["name"]) == ("M\u00fctze", "Hut")
    assert second.reason.startswith("not in the encoding of the file")


def test_a_file_of_utf_8_with_a_broken_line_is_utf_8():
    assert file_encoding(io.BytesIO("\u00fc\n\u00e9\n".encode() + b"\xff\n")) == "utf-8"


def test_what_cannot_be_told_is_refused_with_the_way_to_say_it(tmp_path, monkeypatch):
    path = tmp_path / "feed.csv"
    path.write_bytes(b"id,name\n1,M\xfctze\n")
    monkeypatch.setattr(encodings, "_LIKELY", ("cp1252",))
    path.write_bytes(b"id\n\x81\x8d\x8f\x90\xfc\n")
    with pytest.raises(
        InvalidRequestError, match=r"source .*feed.csv: the file is not UTF-8, and what it is cannot be told"
    ):
        open_source(str(path))
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    with pytest.raises(ConfigError, match=r"telling what it is needs charset-normalizer; give --encoding"):
        open_source(str(path))
    with pytest.raises(InvalidRequestError, match=r"encoding `klingon`: there is no such text encoding"):
        check_encoding("klingon")
    assert check_encoding("windows-1252") == "windows-1252"


def test_utf_8_passes_as_it_is():
    file = io.BytesIO(b"x")
    assert in_utf_8(file, "utf8") is file
