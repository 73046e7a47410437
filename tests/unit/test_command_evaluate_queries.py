"""`product-match evaluate --queries FILE`, against a server in memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from product_match.contract.options import MATCH_OPTIONS
from product_match_client.cli.command import main
from product_match_client.cli.evaluation import judged_queries
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal

QUERIES = [
    {"id": "q1", "kind": "type", "text": "a red hat", "accept": {"hat-1": 3, "hat-2": 2}},
    {"id": "q2", "kind": "type", "text": "a tee", "accept": {"tee-1": 3}},
    {"id": "q3", "kind": "photo", "image": "photos/a.jpg", "accept": {"tee-1": 3}},
    {"id": "q4", "kind": "photo and words", "image": "photos/a.jpg", "text": "with a hat", "accept": {"hat-1": 1}},
    {"id": "q5", "kind": "misspelt", "text": "tiger", "correct": "tee", "accept": {"tee-1": 3}},
    {"id": "q6", "kind": "filtered", "text": "a tee", "filter": {"id": "tee-1"}, "accept": {"tee-1": 3}},
    {"id": "q7", "kind": "number", "text": "???", "accept": {"tee-1": 3}},
    {"id": "q8", "kind": "composed", "text": "in red", "like": ["hat-1"], "accept": {"hat-2": 3}},
    {"id": "q9", "kind": "not carried", "text": "sofa", "accept": {}},
    {"id": "q10", "kind": "not carried", "text": "a hat stand", "accept": {}},
]
COMPOSED_IS_LEFT_OUT = {"composed": {"queries": 1, "needs": ["like"]}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"the photo of the tee")
    write(QUERIES)
    return tmp_path


def write(queries):
    Path("queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))


@pytest.fixture
def server(monkeypatch):
    # As a client of before `like`: queries that need what it does not know are left out.
    known = tuple(option for option in MATCH_OPTIONS if option.name != "like")
    monkeypatch.setattr(judged_queries, "MATCH_OPTIONS", known)
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        server.confident = True
        for product_id in ("coat-1", "hat-1", "hat-2", "tee-1"):
            product = {"id": product_id, "label": product_id[:-2]}
            photos = [b"the photo of the tee"] if product_id == "tee-1" else []
            server._index(product, photos, b"")
        yield server


def evaluate(capsys, *options):
    assert main(["evaluate", "--queries", "queries.jsonl", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_queries_are_asked_and_measured(folder, server, capsys):
    report = evaluate(capsys, "--no-baselines")
    assert (report["encoder"], report["queries"], report["depth"]) == ("fake@1", 9, 10)
    assert report["left_out"] == COMPOSED_IS_LEFT_OUT
    assert report["accepted_products"] == {"products": 3, "absent": 0, "first_absent": []}
    kinds = {kind: part.get("hit@1", {}).get("mean") for kind, part in report["kinds"].items()}
    assert kinds == {
        "type": 1.0,
        "photo": 1.0,
        "photo and words": 0.0,
        "misspelt": 0.0,
        "filtered": 1.0,
        "number": 0.0,
        "not carried": None,
    }
    assert report["kinds"]["not carried"]["false_matches"]["mean"] == 0.5
    assert report["refusals"] == [{"id": "q7", "message": "text: expected words"}]
    assert report["spelling"]["hit@1"]["there"] == 1.0
    assert (report["spelling"]["share_of_right_spelling"], report["spelling"]["repaired"]) == (0.0, 1)
    assert report["confidence"]["all"]["answers"] == 8
    assert set(report["false_matches"]) == {"words", "all"}
    assert report["false_matches"]["words"]["signals"]["confidence"]["at_90_percent_of_hits"]["threshold"] == 0.9
    assert report["against"] is None


def test_a_query_is_asked_with_its_own_filter_and_no_more_fields_than_needed(folder, server, capsys):
    evaluate(capsys, "--no-baselines", "--depth", "20", "--text-weight", "2")
    assert {query["fields"] for query in server.queries} == {"-"}
    assert {query["top_k"] for query in server.queries} == {20}
    assert {query["text_weight"] for query in server.queries} == {2.0}
    filters = [query["filter"] for query in server.queries if "filter" in query]
    assert [json.loads(value) for value in filters] == [{"id": "tee-1"}]
    assert "product_match_image" in {query["model"] for query in server.queries}


def test_a_saved_run_is_what_a_later_one_is_compared_with(folder, server, capsys):
    evaluate(capsys, "--save", "before.json")
    del server.entries["hat-1"]
    write([{**QUERIES[0], "text": "a hat of red"}, *QUERIES[1:]])
    report = evaluate(capsys, "--against", "before.json")
    against = report["against"]
    assert (against["encoder"], against["options"], against["left_out"]) == ("fake@1", {}, ["q1"])
    assert against["kinds"]["type"]["queries"] == 1
    assert against["kinds"]["photo and words"]["ndcg@10"]["difference"]["mean"] < 0
    assert against["kinds"]["photo and words"]["worse"] == 1


def test_naive_searches_are_asked_what_they_can_be_asked(folder, server, capsys):
    report = evaluate(capsys, "--fusion", "rrf", "--min-confidence", "0.1")
    by_fusion = {}
    for query in server.queries:
        by_fusion.setdefault(query["fusion"], []).append(query)
    assert {query["model"] for query in by_fusion["words"]} == {"product_match_text", "product_match"}
    assert {query["model"] for query in by_fusion["vector"]} == {query["model"] for query in by_fusion["rrf"]}
    cut = {fusion: {query.get("min_confidence") for query in asked} for fusion, asked in by_fusion.items()}
    assert cut == {"rrf": {0.1}, "words": {None}, "vector": {None}}
    words, vector = report["baselines"]["words"], report["baselines"]["vector"]
    assert (words["compared"], vector["compared"]) == (8, 9)
    assert words["kinds"]["photo and words"]["hit@1"]["difference"]["mean"] == -1.0
    assert vector["kinds"]["type"]["hit@1"]["difference"]["mean"] == 1.0
    assert "vector_score" in report["false_matches"]["words"]["signals"]


def test_naive_searches_that_a_server_does_not_know_are_left_out(folder, server, capsys):
    server.knows_fusion = False
    assert main(["evaluate", "--queries", "queries.jsonl"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["baselines"] == {}
    words = "words alone is left out, the server refused it: parameter `fusion` is not known here\n"
    assert words in printed.err


def test_a_person_gets_tables(folder, server, monkeypatch, capsys):
    evaluate(capsys, "--save", "before.json")
    write(QUERIES[1:])
    del server.entries["hat-1"]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["evaluate", "--queries", "queries.jsonl", "--against", "before.json", "--min-score", "0"]) == 0
    text = terminal.getvalue()
    assert text.startswith("fake@1: 8 queries of queries.jsonl (min_score=0.0)\n")
    assert "left out: 1 of composed, which need like\n" in text
    assert "1 of 2 accepted products are not in the catalogue and count as not found, such as hat-1\n" in text
    assert "refused: q7: text: expected words\n" in text
    assert "misspelt: hit@1 0.000, and 1.000 for the right spelling of the same 1 queries (0.000 of it)\n" in text
    assert "beside exact words alone (BM25); differences are here less there\n" in text
    assert "beside one vector alone; differences are here less there\n" in text
    assert "beside the saved run of fake@1\n" in text
    assert "how far confidence can be believed\n" in text
    assert "false matches where 90% of the hits are kept\n" in text
    assert "all photos and words" in text
    for line in ("all words", "`matched`, 100% of hits", "0.9 to 1.0"):
        assert line in text


def test_a_server_that_says_less_is_measured_by_what_it_says(folder, server, monkeypatch):
    server.confident = False
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["evaluate", "--queries", "queries.jsonl", "--no-baselines", "--plot", "plot.svg"]) == 0
    text = terminal.getvalue()
    assert "confidence" not in text
    assert "matched" not in text
    assert "flat score" in text
    assert "the server states no confidence" in (folder / "plot.svg").read_text()


def test_a_plot_is_drawn(folder, server, capsys):
    evaluate(capsys, "--no-baselines", "--plot", "plot.png")
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_queries_that_are_all_carried_have_no_curve(folder, server, capsys):
    write(QUERIES[:2])
    report = evaluate(capsys, "--no-baselines", "--plot", "plot.svg")
    assert report["false_matches"] == {}
    assert report["spelling"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--queries", "none.jsonl"], "none.jsonl cannot be read"),
        (["--queries", "queries.jsonl", "--against", "none.json"], "none.json cannot be read"),
        (["--queries", "queries.jsonl", "--against", "queries.jsonl"], "queries.jsonl is no saved run ("),
        (["--queries", "queries.jsonl", "--plot", "plot.gif"], "plot.gif: a plot is .png, .svg, .pdf, got `.gif`"),
        (
            ["--queries", "queries.jsonl", "--plot", "none/plot.svg"],
            "none/plot.svg cannot be written: none is no f",
        ),
        (
            ["--queries", "queries.jsonl", "--save", "none/run.json"],
            "none/run.json cannot be written: none is no f",
        ),
        (
            ["--queries", "queries.jsonl", "--plot", "plot.svg"],
            "plot.svg cannot be written (Is a directory); give",
        ),
        (
            ["--queries", "queries.jsonl", "--save", "plot.svg"],
            "plot.svg cannot be written (Is a directory); give",
        ),
    ],
)
def test_files_that_cannot_be_used_are_told(folder, server, capsys, options, words):
    (folder / "plot.svg").mkdir()
    assert main(["evaluate", *options]) == 1
    assert f"product-match: {words}" in capsys.readouterr().err


def test_a_photo_that_is_missing_is_told(folder, server, capsys):
    (folder / "photos/a.jpg").unlink()
    words = "the photo of query q3, photos/a.jpg, is not there; paths are taken from the folder of the queries"
    assert main(["evaluate", "--queries", "queries.jsonl"]) == 1
    assert words in capsys.readouterr().err
    assert server.queries == []


def test_queries_that_are_all_refused_are_no_result(folder, server, capsys):
    write([QUERIES[6]])
    assert main(["evaluate", "--queries", "queries.jsonl"]) == 1
    assert "the server refused every query, the first with: text: expected words" in capsys.readouterr().err


def test_queries_of_which_none_can_be_asked_are_told(folder, server, capsys):
    write([QUERIES[7]])
    assert main(["evaluate", "--queries", "queries.jsonl"]) == 1
    assert "no query can be asked, each needs an option that is not declared" in capsys.readouterr().err


def test_plots_without_matplotlib_are_told_before_anything_is_asked(folder, server, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["evaluate", "--queries", "queries.jsonl", "--plot", "plot.png"]) == 1
    assert 'plots are drawn by matplotlib; install `pip install "product-match[bench]"`' in capsys.readouterr().err
    assert server.queries == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "one of the arguments --queries --images is required"),
        (["--queries", "a", "--images", "b"], "argument --images: not allowed with argument --queries"),
        (["--queries", "a", "--depth", "5"], "--depth: expected 10 or more, got 5: nDCG@10 looks at ten matches"),
    ],
)
def test_wrong_use_is_told(options, words, capsys):
    assert main(["evaluate", *options]) == 2
    assert words in capsys.readouterr().err
