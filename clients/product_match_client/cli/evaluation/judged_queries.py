"""Measures a running server on judged queries, as its catalogue stands."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.contract.options import MATCH_OPTIONS
from product_match.evaluation.comparison import compared
from product_match.evaluation.judged_queries import JudgedQuery, Side, read_judged_queries
from product_match.evaluation.judged_report import (
    EVERYTHING,
    Judged,
    by_kind,
    by_side,
    confidence_report,
    false_match_report,
    judged,
    quality,
)
from product_match.evaluation.runs import FoundProduct, QueryAnswer, Run
from product_match_client.answers import MatchResult
from product_match_client.cli.evaluation.questions import Batch, Questions, batches
from product_match_client.requests import Query

CUTS: Final = frozenset({"min_score", "min_confidence"})
FUSION: Final = "fusion"
WORDS_ALONE: Final = "words"
VECTOR_ALONE: Final = "vector"
BASELINES: Final[Mapping[str, frozenset[Side]]] = {
    WORDS_ALONE: frozenset({Side.WORDS, Side.BOTH}),
    VECTOR_ALONE: frozenset({Side.WORDS, Side.PHOTO, Side.BOTH}),
}
"""Naive searches on the same catalogue, by the value of the option `fusion`, with what they can be asked."""

SHOWN: Final = 5


def queries_of(path: Path) -> list[JudgedQuery]:
    """Read a file of judged queries.

    Raises:
        ConfigError: It cannot be read, a line is no query, or a photo is missing.
    """
    try:
        queries = read_judged_queries(path.read_text(encoding="utf-8").splitlines(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); give a file of judged queries, one JSON object a line"
        ) from error
    for query in queries:
        if query.image and not (path.parent / query.image).is_file():
            raise ConfigError(
                f"{path}: the photo of query {query.id}, {path.parent / query.image}, is not there; paths are taken "
                "from the folder of the queries"
            )
    return queries


class JudgedEvaluation:
    """One evaluation on judged queries. It changes nothing on the server."""

    def __init__(self, questions: Questions, path: Path, options: Mapping[str, Any], depth: int) -> None:
        """Say what is asked, and how.

        Args:
            questions: Where.
            path: The file of the queries; photos are taken from its folder.
            options: Of every request.
            depth: How many matches each query asks for, from 10.
        """
        self._questions, self._path, self._options, self._depth = questions, path, options, depth

    def run(self, queries: Sequence[JudgedQuery]) -> Run:
        """Ask the queries; those that need an option which is not declared are left out.

        Raises:
            ConfigError: None is left.
            InvalidRequestError: The server refused every one.
        """
        asked = [query for query in queries if not missing_options(query)]
        if not asked:
            raise ConfigError(
                f"{self._path}: no query can be asked, each needs an option that is not declared: {left_out(queries)}"
            )
        run = self._run("queries", asked, self._options)
        if refusal := refused_altogether(run):
            raise InvalidRequestError(f"the server refused every query, the first with: {refusal}")
        return run

    def report(
        self, queries: Sequence[JudgedQuery], run: Run, *, naive: bool, saved: Run | None = None
    ) -> dict[str, Any]:
        """Say what the answers are worth, beside naive searches, the right spelling and a saved run.

        Args:
            queries: All of the file.
            run: What was answered to them.
            naive: Whether to ask the naive searches too.
            saved: An earlier run.
        """
        rows = judged(queries, run)
        baselines = self._baselines([row.query for row in rows]) if naive else {}
        vectors = judged(queries, baselines[VECTOR_ALONE]) if VECTOR_ALONE in baselines else []

        def weighed(part: Sequence[Judged]) -> dict[str, Any] | None:
            ids = {row.query.id for row in part}
            return false_match_report(part, [row for row in vectors if row.query.id in ids])

        return {
            "file": str(self._path),
            "encoder": run.encoder,
            "options": dict(run.options),
            "depth": run.depth,
            "queries": len(rows),
            "left_out": left_out(queries),
            "accepted_products": self._accepted_products(rows),
            "kinds": {kind: quality(part, run.depth) for kind, part in by_kind(rows).items()},
            "sides": {side: quality(part, run.depth) for side, part in by_side(rows).items()},
            "refusals": [
                {"id": row.query.id, "message": row.answer.refused} for row in rows if row.answer.refused is not None
            ][:SHOWN],
            "spelling": self._spelling(rows, run),
            "baselines": {name: compared(queries, run, baseline) for name, baseline in baselines.items()},
            "against": None if saved is None else _against(queries, run, saved),
            "confidence": _by_side(rows, confidence_report),
            "false_matches": _by_side(rows, weighed),
        }

    def _accepted_products(self, rows: Sequence[Judged]) -> dict[str, Any]:
        """Say how many of the accepted products the catalogue does not hold: no search can find them."""
        accepted = sorted({product_id for row in rows for product_id in row.query.accept})
        held = self._questions.client.hashes(accepted) if accepted else {}
        absent = [product_id for product_id in accepted if product_id not in held]
        return {"products": len(accepted), "absent": len(absent), "first_absent": absent[:SHOWN]}

    def _baselines(self, queries: Sequence[JudgedQuery]) -> dict[str, Run]:
        if not any(option.name == FUSION for option in MATCH_OPTIONS):
            return {}
        kept = {name: value for name, value in self._options.items() if name not in CUTS}
        runs = {}
        for name, sides in BASELINES.items():
            part = [query for query in queries if query.side in sides]
            run = self._run(f"{name} alone", part, {**kept, FUSION: name})
            if refusal := refused_altogether(run):
                self._questions.console.note(f"{name} alone is left out, the server refused it: {refusal}")
            elif part:
                runs[name] = run
        return runs

    def _spelling(self, rows: Sequence[Judged], run: Run) -> dict[str, Any] | None:
        """Ask misspelt queries as they should have been spelt."""
        misspelt = [row.query for row in rows if row.query.correct]
        if not misspelt:
            return None
        meant = self._run("right spelling", [replace(query, text=query.correct) for query in misspelt], self._options)
        digests = {query.id: query.digest for query in misspelt}
        found = compared(misspelt, run, replace(meant, digests=digests))["sides"][EVERYTHING]
        return {
            "queries": found["queries"],
            "repaired": sum(bool(row.answer.repaired) for row in rows if row.query.correct),
            "hit@1": found["hit@1"],
            "share_of_right_spelling": round(found["hit@1"]["here"] / found["hit@1"]["there"], 4)
            if found["hit@1"]["there"]
            else None,
        }

    def _run(self, label: str, queries: Sequence[JudgedQuery], options: Mapping[str, Any]) -> Run:
        asked = self._questions.ask(label, self._batches(queries, options), self._query, total=len(queries))
        answers = dict.fromkeys((query.id for query in queries), QueryAnswer())
        answers |= {query.id: _answer(answer) for query, answer in asked}
        answered = [answer for _, answer in asked if isinstance(answer, MatchResult)]
        return Run(
            encoder=answered[0].encoder if answered else "",
            options=options,
            depth=self._depth,
            answers=answers,
            digests={query.id: query.digest for query in queries},
        )

    def _batches(self, queries: Sequence[JudgedQuery], options: Mapping[str, Any]) -> Iterator[Batch[JudgedQuery]]:
        """Put together what one request can ask: the same options, and the same inputs, which take one ensemble."""

        def together(query: JudgedQuery) -> str:
            return json.dumps([query.side.value, query.options], sort_keys=True)

        for _, group in itertools.groupby(sorted(queries, key=together), key=together):
            part = list(group)
            own = {**options, "top_k": self._depth, "fields": [], **part[0].options}
            yield from batches(part, own)

    def _query(self, query: JudgedQuery) -> Query:
        return Query(image=self._path.parent / query.image if query.image else None, text=query.text or None)


def missing_options(query: JudgedQuery) -> list[str]:
    """Return the options that a query needs and that are not declared."""
    declared = {option.name for option in MATCH_OPTIONS}
    return [name for name in query.options if name not in declared]


def left_out(queries: Sequence[JudgedQuery]) -> dict[str, Any]:
    """Say of each kind how many queries cannot be asked, and what they need."""
    kinds: dict[str, dict[str, Any]] = {}
    for query in queries:
        if missing := missing_options(query):
            entry = kinds.setdefault(query.kind, {"queries": 0, "needs": []})
            entry["queries"] += 1
            entry["needs"] = sorted({*entry["needs"], *missing})
    return kinds


def refused_altogether(run: Run) -> str | None:
    """Return the first refusal of a run that has nothing else; None for any other run."""
    refusals = [answer.refused for answer in run.answers.values()]
    return refusals[0] if refusals and None not in refusals else None


def _by_side(rows: Sequence[Judged], report: Callable[[Sequence[Judged]], dict[str, Any] | None]) -> dict[str, Any]:
    found = {side: report(part) for side, part in by_side(rows).items()}
    return {side: figures for side, figures in found.items() if figures is not None}


def _against(queries: Sequence[JudgedQuery], run: Run, saved: Run) -> dict[str, Any]:
    return {"encoder": saved.encoder, "options": dict(saved.options), **compared(queries, run, saved)}


def _answer(answer: MatchResult | InvalidRequestError) -> QueryAnswer:
    if isinstance(answer, InvalidRequestError):
        return QueryAnswer(refused=str(answer))
    return QueryAnswer(
        found=tuple(
            FoundProduct(product_id=match.product_id, score=match.score, confidence=match.confidence)
            for match in answer.matches
        ),
        outcome=answer.outcome,
        repaired=answer.repaired or {},
    )
