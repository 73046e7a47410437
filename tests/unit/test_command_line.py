"""The `product-match` command against a server in memory, over a real socket."""

from __future__ import annotations

import argparse
import base64
import io
import json
import socket
import sys

import pytest

from product_match.contract.errors import ConfigError, ProductMatchError
from product_match_client.answers import Match, MatchResult
from product_match_client.cli import arguments
from product_match_client.cli.command import COMMANDS, build_parser, main
from product_match_client.cli.commands import rebuild, verify
from product_match_client.cli.commands.match import print_matches
from product_match_client.cli.output import Console
from product_match_client.loading import retrying
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal

PRODUCTS = [
    {"id": "1", "name": "Navy coat", "category": "Coats", "price": 120, "image": "coat.jpg"},
    {"id": "2", "name": "Red shoe", "category": "Shoes", "price": 39.9},
    {"id": "3", "name": "Blue shoe", "category": "Shoes", "price": 29.9},
]


class Shop:
    """Runs commands against one server."""

    def __init__(self, server, url, capsys, monkeypatch):
        self.server, self.url = server, url
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def run(self, *words, person=False, stdin=None):
        if stdin is not None:
            self._monkeypatch.setattr(sys, "stdin", stdin)
        terminal = Terminal()
        with self._monkeypatch.context() as patch:
            if person:
                patch.setattr(sys, "stdout", terminal)
            code = main(words)
        captured = self._capsys.readouterr()
        return code, terminal.getvalue() if person else captured.out, captured.err

    def json(self, *words, **options):
        code, out, _ = self.run(*words, **options)
        return code, json.loads(out)


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coat.jpg").write_bytes(b"photo of a coat")
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(product) + "\n" for product in PRODUCTS))
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        monkeypatch.setenv("TERM", "dumb")  # no colours
        shop = Shop(server, url, capsys, monkeypatch)
        yield shop


@pytest.fixture
def full_shop(shop):
    assert shop.run("index", "products.jsonl")[0] == 0
    return shop


def test_where_only_the_library_is_installed_the_command_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "product_match_client.cli.output", None)
    assert main(["count"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("product-match: the command line needs more than the library (")
    assert error.endswith("install it with `pip install 'product-match[cli]'`\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_each_option_and_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"example:\n  product-match {name}" in text
    parser = build_parser()
    (commands,) = (action for action in parser._actions if hasattr(action, "choices") and action.choices)
    parsers = [commands.choices[name]]
    for part in parsers:
        assert part.epilog.startswith("example:\n  product-match "), part.prog
        for action in part._actions:
            assert action.help, action
            assert all("_" not in option for option in action.option_strings)
            parsers += action.choices.values() if isinstance(action, argparse._SubParsersAction) else ()


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("product-match ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["match"], "give --image, --text, or both, or --like, or a --filter to browse"),
        (["evaluate", "--queries", "q", "--weights", "1"], "unrecognized arguments: --weights"),
        (["match", "--text", "x", "--boost", "{}"], "expected a JSON list, got `{}`"),
        (["match", "--text", "x", "--boost", "["], "expected a JSON list, got `[` ("),
        (["match", "--text", "x", "--weights", "1"], "unrecognized arguments: --weights"),
        (["match", "--like", "[1"], "argument --like: expected product ids, got `[1`"),
        (["match", "--text", "x", "--top-k", "five"], "argument --top-k: invalid int value: 'five'"),
        (["match", "--text", "x", "--url", "ftp://x"], "`ftp://x` is not the address of a server; write host:port"),
        (["match", "--text", "x", "--timeout", "0"], "expected a number above 0, got `0`"),
        (["match", "--text", "x", "--timeout", "soon"], "expected a number above 0, got `soon`"),
        (["match", "--text", "x", "--filter", "[1]"], "expected a JSON object, got `[1]`"),
        (["match", "--text", "x", "--filter", "{"], "expected a JSON object, got `{` ("),
        (["index"], "give one or more sources, or --watch FOLDER"),
        (["index", "a.jsonl", "--watch", "b"], "give one or more sources, or --watch FOLDER"),
        (["index", "a.jsonl", "--map", "id"], "mapping `id`: expected each product field once"),
        (["index", "a.jsonl", "--batch-size", "65"], "expected at most 64, got `65`"),
        (["index", "a.jsonl", "--concurrency", "0"], "expected a whole number from 1, got `0`"),
        (["serve", "--http-port", "-1"], "expected a whole number from 0, got `-1`"),
        (["delete"], "give ids, or --filter"),
        (["delete", "1", "--filter", "{}"], "give ids, or --filter"),
        (["update"], "give a product id, or --from SOURCE"),
        (["update", "1"], "give --set or --unset"),
        (["update", "1", "--set", "price"], "expected FIELD=VALUE, got `price`"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_wrong(words, message, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_match_is_a_table_for_a_person(full_shop, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = full_shop.run("match", "--text", "shoe", "--top-k", "2", person=True)
    assert code == 0
    assert out.splitlines() == [
        "rank  score  sure  id  name        price  category",
        "----  -----  ----  --  ---------  ------  --------",
        "   1  1.000        1   Navy coat  120.00  Coats",
        "   2  0.500        2   Red shoe    39.90  Shoes",
    ]


def test_a_match_says_how_sure_it_is_where_the_server_does(full_shop):
    full_shop.server.confident = True
    code, out, _ = full_shop.run("match", "--text", "shoe", "--top-k", "2", person=True)
    assert code == 0
    assert [line.split()[2] for line in out.splitlines() if line.lstrip().startswith(("1 ", "2 "))] == ["20%", "5%"]


@pytest.mark.parametrize(
    ("counted", "line"),
    [
        (
            {"products": 3, "values": [{"value": "Hats", "count": 2}, {"value": "Coats", "count": 1}]},
            "Hats (2), Coats (1)",
        ),
        ({"products": 2, "least": 5, "greatest": 9.5}, "5 to 9.5 (2)"),
        ({"products": 0, "values": []}, "none"),
        ({"products": 0}, "none"),
    ],
)
def test_what_was_counted_is_a_line_for_a_person(counted, line, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    match = Match(rank=1, product_id="1", score=1.0, product={"name": "Hat"})
    result = MatchResult(query_id="q", encoder="e", matches=(match,), facets={"category": counted})
    terminal = Terminal()
    print_matches(result, Console(terminal, terminal))
    assert terminal.getvalue().splitlines()[-1] == f"category: {line}"


def test_a_match_is_json_in_a_pipe_and_when_asked_for(full_shop):
    piped = full_shop.json("match", "--text", "shoe", "--top-k", "1")
    asked = full_shop.json("match", "--text", "shoe", "--top-k", "1", "--json", person=True)
    assert piped == asked
    assert piped[1] == {
        "query_id": "q",
        "encoder": "fake@1",
        "matches": [{"rank": 1, "product_id": "1", "score": 1.0, "product": PRODUCTS[0]}],
    }


def test_every_option_of_a_match_is_sent(full_shop):
    words = ["--image", "coat.jpg", "--text", "in red", "--fields", "name,price", "--filter", '{"color": "red"}']
    numbers = ["--min-score", "-0.5", "--image-weight", "2", "--text-weight", "1.5", "--top-k", "3"]
    assert full_shop.run("match", *words, *numbers)[0] == 0
    sent = full_shop.server.queries[-1]
    assert {name: sent[name] for name in sent if name not in ("binary_data_output", "deadline")} == {
        "model": "product_match",
        "fields": "name,price",
        "filter": '{"color": "red"}',
        "min_score": -0.5,
        "image_weight": 2.0,
        "text_weight": 1.5,
        "top_k": 3,
    }


def test_a_photo_may_come_on_standard_input(full_shop):
    stdin = io.TextIOWrapper(io.BytesIO(b"photo"))
    assert full_shop.run("match", "--image", "-", stdin=stdin)[0] == 0
    assert full_shop.server.queries[-1]["model"] == "product_match_image"


def test_no_match_is_said_to_a_person(shop):
    assert shop.run("match", "--text", "x", person=True)[1] == "no product matches\n"


def test_an_error_is_one_line_without_a_trace(shop):
    code, out, err = shop.run("match", "--image", "missing.jpg")
    assert (code, out) == (1, "")
    assert err.startswith(
        "product-match: photo missing.jpg cannot be read (No such file or directory); give the path"
    )
    assert err.count("\n") == 1


def test_a_trace_is_shown_when_asked_for(shop):
    code, _, err = shop.run("match", "--image", "missing.jpg", "--verbose")
    assert code == 1
    assert "Traceback" in err


def test_a_server_that_is_away_is_told(shop):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, _, err = shop.run("count", "--url", f"127.0.0.1:{unused.getsockname()[1]}")
    assert code == 1
    assert "no server answers at http://127.0.0.1:" in err
    assert err.count("\n") == 1


def test_an_interrupt_ends_with_130(shop, monkeypatch):
    def interrupted(arguments, environment):
        raise KeyboardInterrupt

    monkeypatch.setattr(arguments, "server_url", interrupted)
    assert shop.run("count") == (130, "", "product-match: interrupted\n")


def test_a_reader_that_goes_away_is_no_trace(tmp_path, full_shop):
    import os

    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert main(["list", "--all"]) == 1


def test_a_load_is_summed_up_as_json(shop):
    code, summary = shop.json("index", "products.jsonl")
    assert code == 0
    figures = {name: summary[name] for name in ("records", "created", "updated", "unchanged", "rejected", "retries")}
    assert figures == {"records": 3, "created": 3, "updated": 0, "unchanged": 0, "rejected": 0, "retries": 0}
    assert summary["rejects"] is None
    assert summary["seconds"] >= 0
    assert len(shop.server.images) == 1


def test_a_second_load_changes_nothing_and_a_forced_one_sends_all(full_shop):
    assert full_shop.json("index", "products.jsonl")[1]["unchanged"] == 3
    full_shop.server.waited.clear()
    assert full_shop.json("index", "products.jsonl", "--force", "--wait", "--batch-size", "2")[1]["unchanged"] == 3
    assert full_shop.server.waited
    assert all(full_shop.server.waited)


def test_a_load_is_summed_up_in_words_for_a_person(shop, tmp_path):
    shop.server.refuse["2"] = (400, "image: not a photo")
    code, out, err = shop.run("index", "products.jsonl", person=True)
    assert code == 1
    assert (
        "3 records in 0s: 2 created, 0 updated, 0 unchanged, 1 rejected; see rejects.jsonl, and load that file" in out
    )
    assert "index" in err


def test_a_folder_says_what_it_leaves_out(shop, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.jpg", "b.jfif", "c.svg"):
        (folder / name).write_bytes(name.encode())
    code, out, err = shop.run("index", "folder")
    assert (code, json.loads(out)["created"]) == (0, 2)
    assert "folder: left out 1 files that are no photos by their suffix (1 .svg); read are .apng, .avif" in err


def test_rejects_are_kept_and_can_be_loaded_again(shop, tmp_path):
    shop.server.refuse["2"] = (400, "image: not a photo")
    with (tmp_path / "products.jsonl").open("a") as file:
        file.write("not json\n")
    code, summary = shop.json("index", "products.jsonl")
    assert (code, summary["rejected"], summary["rejects"]) == (1, 2, "rejects.jsonl")
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert sorted((reject["line"], reject["reason"][:18], reject["record"]) for reject in rejects) == [
        (2, "image: not a photo", PRODUCTS[1]),
        (4, "not valid JSON in ", "not json"),
    ]
    assert {reject["source"] for reject in rejects} == {"products.jsonl"}
    assert {reject["directory"] for reject in rejects} == {str(tmp_path)}

    shop.server.refuse.clear()
    code, summary = shop.json("index", "rejects.jsonl")
    assert (code, summary["created"], summary["rejected"]) == (1, 1, 1)
    (left,) = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert (left["line"], left["record"]) == (4, "not json")

    (tmp_path / "rejects.jsonl").write_text(json.dumps({**left, "record": '{"id": "4", "name": "x"}'}))
    assert shop.json("index", "rejects.jsonl")[0] == 0
    assert not (tmp_path / "rejects.jsonl").exists()
    assert sorted(shop.server.entries) == ["1", "2", "3", "4"]


def test_rejects_of_a_mapped_source_are_read_as_they_were_the_first_time(shop, tmp_path):
    (tmp_path / "back.jpg").write_bytes(b"photo of a coat's back")
    (tmp_path / "shop.csv").write_text("sku,title,photos\n7,Navy coat,coat.jpg|back.jpg\n")
    options = ("--map", "id=sku,name=title,image=photos", "--image-separator", "|")
    shop.server.refuse["7"] = (400, "image: not a photo")
    assert shop.json("index", "shop.csv", *options)[0] == 1
    # A second refusal: what is written then is what was read, and as complete.
    assert shop.json("index", "rejects.jsonl")[0] == 1
    (left,) = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert left["record"] == {"sku": "7", "title": "Navy coat", "photos": "coat.jpg|back.jpg"}
    shop.server.refuse.clear()
    assert shop.json("index", "rejects.jsonl")[0] == 0
    assert shop.server.entries["7"]["product"]["name"] == "Navy coat"
    assert shop.server.entries["7"]["product"]["image"] == ["coat.jpg", "back.jpg"]


def test_rejects_of_a_wrong_mapping_are_loaded_with_another(shop, tmp_path):
    (tmp_path / "shop.csv").write_text("sku,article,title\n7,,Navy coat\n8,A8,Hat\n")
    assert shop.json("index", "shop.csv", "--map", "id=article,name=title")[0] == 1
    assert shop.json("index", "rejects.jsonl", "--map", "id=sku,name=title")[0] == 0
    assert shop.server.entries["7"]["product"]["name"] == "Navy coat"


def test_a_load_that_breaks_off_leaves_the_rejects_file_alone(shop, tmp_path):
    (tmp_path / "rejects.jsonl").write_text("before\n")
    code, _, err = shop.run("index", "products.jsonl", "--url", "127.0.0.1:1", "--give-up-after", "0.01")
    assert code == 1
    assert "no server has answered within 0.01 s" in err
    assert "host:8000 is HTTP, grpc://host:8001 is gRPC" in err
    assert (tmp_path / "rejects.jsonl").read_text() == "before\n"


def test_photos_as_bytes_are_rejected_in_a_form_that_loads_again(shop, tmp_path):
    import pyarrow
    import pyarrow.parquet

    shop.server.refuse["9"] = (400, "image: not a photo")
    rows = [{"id": "9", "image": {"bytes": b"photo", "path": None}, "tags": ["a"]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "shop.parquet")
    assert shop.json("index", "shop.parquet")[0] == 1
    shop.server.refuse.clear()
    assert shop.json("index", "rejects.jsonl")[0] == 0
    assert list(shop.server.images.values()) == [[b"photo"]]


def test_a_rejects_file_that_cannot_be_written_is_told(shop, tmp_path):
    shop.server.refuse["2"] = (400, "x")
    code, _, err = shop.run("index", "products.jsonl", "--rejects", "missing/rejects.jsonl")
    assert code == 1
    assert "the rejects file missing/rejects.jsonl.partial cannot be written (No such file or directory); give" in err


def test_several_sources_and_a_mapping_load_together(shop, tmp_path):
    (tmp_path / "a.csv").write_text("key,title\n7,A\n")
    (tmp_path / "b.json").write_text('[{"key": "8", "title": "B"}]')
    assert shop.json("index", "a.csv", "b.json", "--map", "id=key,name=title")[1]["created"] == 2
    assert shop.server.entries["7"]["product"] == {"id": "7", "name": "A"}
    assert shop.server.entries["8"]["query_text"] == "B"


def test_standard_input_is_a_source(shop):
    stdin = io.TextIOWrapper(io.BytesIO(b'{"id": "5", "name": "x"}\n'))
    assert shop.json("index", "-", stdin=stdin)[1]["created"] == 1


def test_what_is_exported_loads_again_unchanged(full_shop, tmp_path):
    code, out, _ = full_shop.run("export")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0] == {
        **PRODUCTS[0],
        "query_text": "Navy coat. Coats",
        "image_base64": base64.b64encode(b"photo of a coat").decode(),
    }
    (tmp_path / "coat.jpg").unlink()
    assert full_shop.run("export", "--output", "all.jsonl")[0] == 0
    assert (tmp_path / "all.jsonl").read_text() == out
    assert full_shop.json("index", "all.jsonl")[1]["unchanged"] == 3


def test_several_photos_of_a_product_go_in_and_out_and_in_again_unchanged(shop, tmp_path):
    for name in ("a.jpg", "b.jpg", "7_1.jpg", "7_2.jpg"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(name.encode())
    (tmp_path / "shop.csv").write_text(
        "id,front,back,more\n1,photos/a.jpg,photos/b.jpg,\n2,,,photos/b.jpg|photos/a.jpg\n"
    )
    options = ("--map", "image=front,image=back,image=more", "--image-separator", "|")
    assert shop.json("index", "shop.csv", *options)[1]["created"] == 2
    assert shop.json("index", "photos", "--group-photos", "number")[1]["created"] == 3
    assert sorted(shop.server.images.values()) == sorted(
        [[b"a.jpg", b"b.jpg"], [b"b.jpg", b"a.jpg"], [b"7_1.jpg", b"7_2.jpg"], [b"a.jpg"], [b"b.jpg"]]
    )
    assert shop.run("export", "--output", "all.jsonl")[0] == 0
    line = json.loads((tmp_path / "all.jsonl").read_text().splitlines()[0])
    assert line["image"] == ["photos/a.jpg", "photos/b.jpg"]
    assert [base64.b64decode(photo) for photo in line["image_base64"]] == [b"a.jpg", b"b.jpg"]
    assert shop.json("index", "all.jsonl")[1]["unchanged"] == 5


def test_photos_can_be_left_out_of_an_export(full_shop):
    lines = full_shop.run("export", "--no-photos", "--filter", '{"category": "Coats"}')[1].splitlines()
    assert [json.loads(line) for line in lines] == [{**PRODUCTS[0], "query_text": "Navy coat. Coats"}]


def test_an_export_that_cannot_be_written_is_told(full_shop):
    code, _, err = full_shop.run("export", "--output", "missing/all.jsonl")
    assert code == 1
    assert "missing/all.jsonl.partial cannot be written (No such file or directory); give another --output" in err


def test_products_are_shown_by_id(full_shop):
    code, entries = full_shop.json("get", "2")
    assert (code, entries[0]["product"]) == (0, PRODUCTS[1])
    code, out, err = full_shop.run("get", "2", "77", person=True)
    assert code == 1
    assert out.splitlines()[2] == "2     1  Red shoe  39.90  Shoes     2026-11-21 04:00:00"
    assert err == "not in the catalogue: 77\n"
    assert full_shop.run("get", "77")[0] == 1


def test_products_are_listed_by_page_and_all_at_once(full_shop):
    code, page = full_shop.json("list", "--limit", "2")
    assert (code, [entry["id"] for entry in page["products"]], page["next"]) == (0, ["1", "2"], "2")
    code, out, err = full_shop.run("list", "--limit", "2", "--after", "0", person=True)
    assert (code, err, len(out.splitlines())) == (0, "more: --after 2, or --all\n", 4)
    everything = full_shop.run("list", "--all")[1].splitlines()
    assert [json.loads(line)["id"] for line in everything] == ["1", "2", "3"]
    assert len(full_shop.run("list", "--all", "--filter", '{"category": "Shoes"}', person=True)[1].splitlines()) == 4


def test_products_are_counted(full_shop):
    assert full_shop.json("count", "--filter", '{"category": "Shoes"}') == (0, {"count": 2})
    assert full_shop.run("count", person=True)[1] == "3\n"


def test_the_status_is_a_table_or_json(full_shop):
    assert full_shop.json("status")[1]["products"] == 3
    code, out, _ = full_shop.run("status", person=True)
    assert (code, out.splitlines()[2]) == (0, "products  3")


def test_products_are_deleted_by_id_by_filter_and_from_standard_input(full_shop):
    assert full_shop.json("delete", "1", "77", "--wait") == (0, {"deleted": 1})
    assert full_shop.server.waited[-1] is True
    assert full_shop.json("delete", "77") == (0, {"deleted": 0})
    assert full_shop.run("delete", "--filter", '{"category": "Shoes"}', person=True) == (0, "2 removed\n", "")
    full_shop.run("index", "products.jsonl")
    assert full_shop.json("delete", "-", stdin=io.StringIO("1\n\n 2 \n1\n")) == (0, {"deleted": 2})


def test_fields_are_updated_one_by_one(full_shop):
    words = ["--set", "price=10.5", "--set", "name=Green coat", "--unset", "category"]
    code, counts = full_shop.json("update", "1", *words)
    assert (code, counts) == (0, {"updated": 1, "unchanged": 0, "failed": 0})
    assert full_shop.server.entries["1"]["product"] == {
        "id": "1",
        "name": "Green coat",
        "price": 10.5,
        "image": "coat.jpg",
    }
    assert (
        "1: searches by words still see the old name; index it again"
        in full_shop.run("update", "1", "--set", "name=x")[2]
    )


def test_fields_are_updated_from_a_file(full_shop, tmp_path):
    (tmp_path / "prices.csv").write_text("id,price\n1,99\n77,1\n")
    code, out, err = full_shop.run("update", "--from", "prices.csv", person=True)
    assert (code, out, err) == (1, "1 updated, 0 unchanged, 1 failed\n", "77: not in the catalogue\n")
    assert full_shop.server.entries["1"]["product"]["price"] == 99
    (tmp_path / "prices.jsonl").write_text("broken")
    assert "prices.jsonl, line 1: not valid JSON" in full_shop.run("update", "--from", "prices.jsonl")[2]


def test_verify_tells_whether_the_stores_are_in_step(full_shop):
    assert full_shop.json("verify") == (0, {"documents": 0, "in_step": True})
    full_shop.server.report = [{"documents": 3, "missing": 2, "examples": {"missing": ["1", "2"]}, "in_step": False}]
    code, out, _ = full_shop.run("verify", person=True)
    assert code == 1
    assert "missing         2  1, 2" in out
    assert out.endswith("\nout of step; `product-match verify --repair` mends vectors\n")


def test_a_repair_is_looked_at_once_more(full_shop):
    full_shop.server.report = [{"missing": 2, "repaired": 2, "in_step": False}, {"missing": 0, "in_step": True}]
    assert full_shop.json("verify", "--repair") == (0, {"missing": 0, "in_step": True, "repaired": 2})


def test_a_rebuild_is_followed_to_its_end(full_shop, monkeypatch):
    monkeypatch.setattr(rebuild, "POLL_S", 0)
    running = {"state": "running", "stage": "loading"}
    full_shop.server.rebuild = [running, running, {"state": "done", "points": 3, "seconds": 0.5}]
    code, out, err = full_shop.run("rebuild", person=True)
    assert (code, out, err) == (0, "points 3, seconds 0.5\n", "rebuild: starting\nrebuild: loading\n")
    assert full_shop.json("rebuild") == (0, {"state": "done", "points": 3, "seconds": 0.5})
    full_shop.server.rebuild = [{"state": "failed", "reason": "disk"}]
    code, _, err = full_shop.run("rebuild")
    assert code == 1
    assert "the rebuild did not end well ({'state': 'failed', 'reason': 'disk'}); the old index stays" in err


def test_a_rebuild_is_followed_through_a_server_that_is_busy_for_a_while(full_shop, monkeypatch):
    monkeypatch.setattr(rebuild, "POLL_S", 0)
    monkeypatch.setattr(retrying, "backoff_s", lambda attempt, chance: 0.0)
    full_shop.server.busy = 3
    code, out, err = full_shop.run("rebuild", person=True)
    assert (code, out) == (0, "points 3, seconds 0.5\n")
    assert err.count("waiting for the server: ") == 1
    full_shop.server.busy = 10**6
    monkeypatch.setattr(rebuild, "GIVE_UP_AFTER_S", -1.0)
    code, _, err = full_shop.run("rebuild")
    assert code == 1
    assert "the owner of the index does not answer; try again" in err


def test_a_comparison_goes_on_through_a_server_that_is_busy_for_a_while(full_shop, monkeypatch):
    monkeypatch.setattr(retrying, "backoff_s", lambda attempt, chance: 0.0)
    full_shop.server.busy = 3
    code, _, err = full_shop.run("verify")
    assert code == 0
    assert err.count("waiting for the server: ") == 1
    full_shop.server.busy = 10**6
    monkeypatch.setattr(verify, "GIVE_UP_AFTER_S", -1.0)
    assert full_shop.run("verify")[0] == 1


def test_a_drop_asks_and_takes_only_the_name_for_an_answer(full_shop):
    class Person(io.StringIO):
        def isatty(self):
            return True

    code, _, err = full_shop.run("drop", stdin=Person("yes\n"))
    assert code == 1
    assert "Remove all 3 products of http://" in err
    assert err.endswith("nothing was removed\n")
    assert len(full_shop.server.entries) == 3
    assert full_shop.json("drop", stdin=Person("products\n")) == (0, {"dropped": 3})
    assert full_shop.server.entries == {}


def test_a_drop_with_nobody_to_ask_needs_a_yes(full_shop):
    code, _, err = full_shop.run("drop", stdin=io.StringIO(""))
    assert code == 2
    assert "nobody is there to ask; give --yes to remove every product" in err
    assert full_shop.run("drop", "--yes", person=True)[1] == "3 removed\n"


def test_an_address_comes_from_the_option_the_environment_the_state_directory_or_the_default(tmp_path):
    named = {"PRODUCT_MATCH_URL": "grpc://shop:9001"}
    assert arguments.server_url("http://given:1", named, tmp_path) == "http://given:1"
    assert arguments.server_url(None, named, tmp_path) == "grpc://shop:9001"
    assert arguments.server_url(None, {}, tmp_path) == "localhost:8000"
    (tmp_path / "endpoints.json").write_text('{"http": "127.0.0.1:8123", "pid": 1}')
    assert arguments.server_url(None, {}, tmp_path) == "http://127.0.0.1:8123"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"http": 7}', '{"http": "ftp://x"}'])
def test_an_endpoints_file_that_names_no_server_is_told(tmp_path, text):
    (tmp_path / "endpoints.json").write_text(text)
    with pytest.raises(ConfigError, match=r"endpoints\.json does not name a server|is not the address of a server"):
        arguments.server_url(None, {}, tmp_path)


def test_an_endpoints_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "endpoints.json").mkdir()
    with pytest.raises(ConfigError, match=r"endpoints\.json cannot be read \(Is a directory\); give --url"):
        arguments.server_url(None, {}, tmp_path)


def test_an_address_in_the_environment_that_is_none_is_told():
    with pytest.raises(ProductMatchError, match="`nonsense://x` is not the address of a server"):
        arguments.server_url(None, {"PRODUCT_MATCH_URL": "nonsense://x"})
