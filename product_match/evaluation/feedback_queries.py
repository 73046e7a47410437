"""Judged queries from what people thought of answers, for `product-match evaluate --queries`.

Each person grades the products of an answer: 3 for a purchase or a rating of 9 and more, 2 for the basket or 7 and
more, 1 for a click or 5 and more, 0 for `wrong` or less. A product's grade is the mean of what people gave it, and 0
leaves it out. A query of which nothing is accepted is left out, too: that one product was wrong does not say that the
shop has none that is right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from product_match.evaluation.feedback_report import Answer, Event, Said

BEST, GOOD, FAIR, NONE = 3, 2, 1, 0
BEST_RATING: Final = 9
GOOD_RATING: Final = 7
FAIR_RATING: Final = 5

_ASKED_WITH: Final = ("like", "unlike")


@dataclass
class Exported:
    """Judged queries, and why others are none.

    Attributes:
        queries: As `evaluation.judged_queries` reads them.
        left_out: Number of queries by why they are left out.
    """

    queries: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def judged_from_feedback(events: Iterable[Event], answers: Mapping[str, Answer], least_people: int = 1) -> Exported:
    """Return the queries that people have judged.

    Args:
        events: Of answers.
        answers: The same, joined with feedback.
        least_people: Answers in which a product has to be graded.
    """
    asked: dict[str, dict[str, Any]] = {}
    grades: dict[str, dict[str, list[int]]] = {}
    exported = Exported()
    for event in events:
        of_answer = _grades(answers[event["id"]]) if event["id"] in answers else {}
        if not of_answer:
            continue
        query = _query(event)
        if isinstance(query, str):
            exported.left_out[query] = exported.left_out.get(query, 0) + 1
            continue
        asked.setdefault(query["id"], query)
        for product_id, grade in of_answer.items():
            grades.setdefault(query["id"], {}).setdefault(product_id, []).append(grade)
    for id_, query in asked.items():
        accept = {
            product_id: mean_grade(given) for product_id, given in grades[id_].items() if len(given) >= least_people
        }
        accept = {product_id: grade for product_id, grade in accept.items() if grade}
        if accept:
            exported.queries.append({**query, "accept": accept})
        else:
            exported.left_out["nothing accepted"] = exported.left_out.get("nothing accepted", 0) + 1
    return exported


def mean_grade(given: Sequence[int]) -> int:
    """Return the mean of grades, halves up."""
    return int(sum(given) / len(given) + 0.5)


def grade_of(said: Said) -> int | None:
    """Return the grade that a person gave a product; None where they only saw it."""
    rating = -1 if said.rating is None else said.rating
    if "wrong" in said.events:
        return NONE
    for grade, event, least in (
        (BEST, "purchase", BEST_RATING),
        (GOOD, "basket", GOOD_RATING),
        (FAIR, "click", FAIR_RATING),
    ):
        if event in said.events or rating >= least:
            return grade
    return None if said.rating is None else NONE


def _grades(answer: Answer) -> dict[str, int]:
    graded = {product_id: grade_of(said) for product_id, said in answer.said.items()}
    return {product_id: grade for product_id, grade in graded.items() if grade is not None}


def _query(event: Event) -> dict[str, Any] | str:
    """Return the query that an event is of, without its grades; or why it cannot be asked again."""
    if event["kind"].startswith("photo"):
        return "a photo, which is not kept"
    if event["options"].get("compose"):
        return "several terms, which are one query together"
    query: dict[str, Any] = {"kind": event["kind"]}
    if event.get("words"):
        query["text"] = event["words"]
    elif event["kind"] == "words" or "words_digest" in event:
        return "words that are not kept"
    elif event["kind"] != "like":
        return "nothing was asked but a filter"
    if "filter" in event:
        query["filter"] = json.loads(event["filter"])
    query |= {name: event["options"][name] for name in _ASKED_WITH if event["options"].get(name)}
    told = json.dumps({**query, "text": " ".join(query.get("text", "").casefold().split())}, sort_keys=True)
    return {"id": f"f{hashlib.sha256(told.encode()).hexdigest()[:12]}", **query}
