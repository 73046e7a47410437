from __future__ import annotations

import io
import json
import re

import pytest
from rich.cells import cell_len

from product_match_client.cli.output import Column, Console, cell_text, price_text
from product_match_client.cli.progress import Progress, duration_text
from tests.fakes.terminals import Terminal

COLUMNS = (Column(title="rank", right=True), Column(title="name", elastic=True), Column(title="price", right=True))


def table(rows, stream, columns=COLUMNS):
    """The lines of a table, without colours."""
    Console(stream, io.StringIO()).table(columns, rows)
    return re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()


def test_a_table_aligns_its_columns():
    assert table([(1, "Coat", "39.90"), (10, "Shoe", "5.00")], io.StringIO()) == [
        "rank  name  price",
        "----  ----  -----",
        "   1  Coat  39.90",
        "  10  Shoe   5.00",
    ]


def test_a_table_is_cut_to_the_terminal_where_it_may_be(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    lines = table([(1, "A very long name of a product", "39.90")], Terminal())
    assert lines[2] == "   1  A very long name…  39.90"
    assert max(map(len, lines)) <= 30


def test_a_table_in_a_pipe_is_not_cut():
    assert table([(1, "A very long name " * 5, "39.90")], io.StringIO())[2].endswith("39.90")


def test_wide_characters_are_measured_as_they_are_shown(monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    lines = table([(1, "靴靴靴靴靴靴靴靴靴靴", "1")], Terminal())
    assert max(map(cell_len, lines)) <= 24


def test_what_looks_like_a_style_is_text():
    assert table([("[bold]", ":smile:", "[/]")], io.StringIO())[2] == "[bold]  :smile:    [/]"


def test_headings_are_coloured_at_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        table([(1, "Coat", "39.90")], stream)
    assert "\x1b[1mrank" in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()


def test_a_cell_is_one_line_of_plain_text():
    assert cell_text("a\nb\x1b[31mc\t") == "a b [31mc "
    assert cell_text(None) == ""
    assert cell_text(0.8345) == "0.835"
    assert cell_text({"a": ["é"]}) == '{"a": ["é"]}'


def test_a_price_has_two_decimals_or_is_not_there():
    assert (price_text({"price": 1234.5}), price_text({}), price_text({"price": "x"})) == ("1,234.50", "", "")


def test_json_is_indented_for_a_person_and_one_line_for_a_program():
    person, program = Terminal(), io.StringIO()
    for stream in (person, program):
        Console(stream, io.StringIO()).json({"name": "Zoë"})
    assert person.getvalue() == '{\n  "name": "Zoë"\n}\n'
    assert program.getvalue() == '{"name": "Zoë"}\n'


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_progress_at_a_terminal_is_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    clock, stream = Clock(), Terminal()
    with Progress(Console(io.StringIO(), stream), "index", total=200, clock=clock) as progress:
        clock.now = 2.0
        progress.advance(done=90)
        progress.advance(failed=10)
        assert progress.text() == "index  [############............]  100/200  50/s  2s left  10 failed"
        progress.note("waiting [for it]")
        clock.now = 4.0
        progress.advance(done=100)
    lines = re.sub(r"\x1b\[[?\d;]*\w", "", stream.getvalue()).split("\r")
    assert all(len(line) <= 80 for text in lines for line in text.split("\n"))
    assert any(line.startswith("waiting [for it]\n") for line in lines)
    assert lines[-1] == "index  [########################]  200/200  50/s  4s  10 failed\n"


def test_progress_elsewhere_is_a_line_now_and_then():
    clock, stream = Clock(), io.StringIO()
    with Progress(Console(io.StringIO(), stream), "index", clock=clock) as progress:
        for second in range(25):
            clock.now = float(second)
            progress.advance(done=1)
    assert stream.getvalue() == "index  11  1.1/s  10s\nindex  21  1.1/s  20s\nindex  25  1.0/s  24s\n"


def test_more_than_was_counted_is_no_harm():
    with Progress(Console(io.StringIO(), io.StringIO()), "index", total=1, clock=Clock()) as progress:
        progress.advance(done=3)
        assert "3/1" in progress.text()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (200, "3m 20s"), (7500, "2h 05m")])
def test_a_length_of_time_is_read_at_a_glance(seconds, text):
    assert duration_text(seconds) == text


def test_a_question_is_answered_on_standard_input(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("products\nno\n"))
    console = Console(io.StringIO(), stderr)
    assert console.ask("sure? ", "products")
    assert not console.ask("sure? ", "products")
    assert stderr.getvalue() == "sure? sure? "


def test_many_results_are_lines_of_json():
    stream = Terminal()
    Console(stream, io.StringIO()).json_line({"id": "é"})
    assert json.loads(stream.getvalue()) == {"id": "é"}
    assert stream.getvalue().count("\n") == 1
