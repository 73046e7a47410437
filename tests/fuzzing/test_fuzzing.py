"""A few thousand inputs that nobody thought of; `python -m tests.fuzzing` makes as many as one likes."""

from __future__ import annotations

import json

import pytest

from product_match.contract.errors import InvalidRequestError
from tests.fuzzing import __main__ as command
from tests.fuzzing import kinds, rounds
from tests.fuzzing.kinds import KINDS
from tests.fuzzing.photos import corpus
from tests.fuzzing.rounds import run_rounds

COUNTS = {"photos": 1000, "words": 700, "products": 500, "filters": 500, "options": 400, "feeds": 300}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_is_answered_or_refused(kind):
    figures = run_rounds(kind, COUNTS[kind], seed=11)
    assert figures.failures == []
    assert figures.answered > COUNTS[kind] // 100
    assert figures.refused > COUNTS[kind] // 100
    assert figures.answered + figures.refused >= COUNTS[kind] * 9 // 10


def test_whole_photos_of_the_corpus_are_answered():
    target = kinds.Photos()
    answered = 0
    for data in corpus():
        try:
            target.take(data)
            answered += 1
        except InvalidRequestError:
            continue
    target.close()
    assert answered >= 40


def test_what_is_found_is_told_with_its_input(monkeypatch, capsys):
    class Broken(kinds.Plain):
        def __init__(self):
            super().__init__(lambda given: 1 / (len(given) % 2))

    monkeypatch.setitem(KINDS, "options", kinds.Kind(KINDS["options"].inputs, Broken))
    assert command.main(["--kind", "options", "--count", "200", "--seed", "3"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["failures"]) > 0
    assert "ZeroDivisionError" in found["failures"][0]["trace"]
    monkeypatch.setattr(rounds, "MOST_FAILURES", 1)
    assert command.main(["--kind", "words", "--count", "20"]) == 0
