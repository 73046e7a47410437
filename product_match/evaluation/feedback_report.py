"""What people thought of answers: from events and feedback to rates by rank, kind, outcome and encoder.

A product of an answer counts as shown where the shop has told so, or has told anything else of it. Where it never
tells `shown`, each match of each answer in the event log counts as shown. Clicked is what was clicked, put into the
basket or bought.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Event = Mapping[str, Any]

BAD_RATING: Final = 4
"""A rating from which on down a person did not find what they looked for."""

GOOD_RATING: Final = 7
"""A rating from which on up they did."""

CLICKED: Final = frozenset({"click", "basket", "purchase"})
NO_MATCH: Final = ("not_stocked", "filters_too_narrow")
LAST_RANK: Final = 10
"""Ranks behind it are counted together."""

LEAST_ANSWERS: Final = 3
"""Answers to one query of which none was clicked, from which it counts as one that ends badly."""

_Z: Final = 1.959964
_DIGITS: Final = 4


@dataclass
class Said:
    """What was said of one product of one answer."""

    rank: int
    events: set[str] = field(default_factory=set)
    rating: int | None = None

    @property
    def clicked(self) -> bool:
        """Whether the person took it up."""
        return not CLICKED.isdisjoint(self.events)

    @property
    def liked(self) -> bool:
        """Whether it was what they looked for, as far as they have said."""
        return self.clicked or (self.rating is not None and self.rating >= GOOD_RATING)

    @property
    def disliked(self) -> bool:
        """Whether it was not."""
        return "wrong" in self.events or (self.rating is not None and self.rating <= BAD_RATING)


@dataclass
class Answer:
    """One answer, and what was said of its products, by product id."""

    kind: str
    outcome: str
    encoder: str
    query: str = ""
    results: Sequence[str] = ()
    first_rank: int = 1
    said: dict[str, Said] = field(default_factory=dict)

    @property
    def clicked(self) -> bool:
        """Whether any product of it was taken up."""
        return any(said.clicked for said in self.said.values())

    @property
    def bad(self) -> bool:
        """Whether something of it was wrong for the person, and nothing right."""
        all_said = self.said.values()
        return any(said.disliked for said in all_said) and not any(said.liked for said in all_said)


@dataclass
class Tally:
    """Counts of what was shown: products, or whole answers."""

    shown: int = 0
    clicked: int = 0
    basket: int = 0
    purchase: int = 0
    wrong: int = 0
    ratings: list[int] = field(default_factory=list)

    def add(self, all_said: Iterable[Said]) -> None:
        """Count one that was shown, with what was said of its products."""
        said = list(all_said)
        self.shown += 1
        self.clicked += any(one.clicked for one in said)
        for name in ("basket", "purchase", "wrong"):
            setattr(self, name, getattr(self, name) + any(name in one.events for one in said))
        self.ratings += [one.rating for one in said if one.rating is not None]

    def as_json(self) -> dict[str, Any]:
        """Return the figures; rates with their 95% interval (Wilson's), None where there is nothing to count."""
        low, high = wilson(self.clicked, self.shown)
        return {
            "shown": self.shown,
            "clicked": self.clicked,
            "click_rate": round(self.clicked / self.shown, _DIGITS) if self.shown else None,
            "click_rate_95": [round(low, _DIGITS), round(high, _DIGITS)],
            "basket": self.basket,
            "purchase": self.purchase,
            "wrong": self.wrong,
            "ratings": len(self.ratings),
            "mean_rating": round(sum(self.ratings) / len(self.ratings), 2) if self.ratings else None,
        }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927); 0 to 1 where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, squared = successes / trials, _Z * _Z
    centre = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + squared / (4 * trials * trials)) / (1 + squared / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def joined(events: Iterable[Event], feedback: Iterable[Event]) -> dict[str, Answer]:
    """Return the answers by id: those of the event log, and those that feedback alone tells of."""
    answers = {event["id"]: _answer(event) for event in events if event.get("type") == "answer"}
    for one in feedback:
        known = answers.setdefault(
            one["answer"], Answer(kind=one["kind"], outcome=one["outcome"], encoder=one["encoder"])
        )
        said = known.said.setdefault(one["product_id"], Said(rank=one["rank"]))
        if one["event"] == "rating":
            said.rating = one["rating"]
        else:
            said.events.add(one["event"])
    return answers


def feedback_report(answers: Mapping[str, Answer], errors: Iterable[Event], most: int) -> dict[str, Any]:
    """Say what people thought of answers.

    Args:
        answers: As `joined` returns them.
        errors: Events of requests that failed.
        most: Queries in each list.
    """
    told = any("shown" in said.events for answer in answers.values() for said in answer.said.values())
    if not told:
        _show_all(answers.values())
    seen = [answer for answer in answers.values() if answer.said or not told]
    groups: dict[str, dict[str, Tally]] = {name: {} for name in ("rank", "kind", "outcome", "encoder")}
    for answer in seen:
        for said in answer.said.values():
            groups["rank"].setdefault(_rank(said.rank), Tally()).add([said])
        for name in ("kind", "outcome", "encoder"):
            groups[name].setdefault(getattr(answer, name), Tally()).add(answer.said.values())
    unmatched = sum(answer.outcome in NO_MATCH for answer in answers.values())
    return {
        "answers": len(answers),
        "answers_with_feedback": sum(any(s.events or s.rating for s in a.said.values()) for a in answers.values()),
        "shown": "told" if told else "every match of an answer",
        "no_match_share": round(unmatched / len(answers), _DIGITS) if answers else None,
        "by": {
            name: {key: group[key].as_json() for key in sorted(group, key=_order)} for name, group in groups.items()
        },
        "end_badly": _end_badly(seen, most),
        "without_match": _without_match(answers.values(), most),
        "errors": _errors(errors, most),
    }


def _answer(event: Event) -> Answer:
    return Answer(
        kind=event["kind"],
        outcome=event["outcome"],
        encoder=event["encoder"],
        query=query_name(event),
        results=[result["id"] for result in event["results"]],
        first_rank=1 + event["options"].get("offset", 0),
    )


def query_name(event: Event) -> str:
    """Return what a query is called in a report: its words, their digest where they were hashed, or nothing."""
    words = " ".join(event.get("words", "").casefold().split())
    return words or (f"#{event['words_digest']}" if "words_digest" in event else "")


def _show_all(answers: Iterable[Answer]) -> None:
    for answer in answers:
        for rank, product_id in enumerate(answer.results, start=answer.first_rank):
            answer.said.setdefault(product_id, Said(rank=rank))


def _rank(rank: int) -> str:
    return str(rank) if rank <= LAST_RANK else f"{LAST_RANK + 1} and more"


def _order(key: str) -> tuple[int, str]:
    first = key.split()[0]
    return (int(first) if first.isdecimal() else 0, key)


def _end_badly(answers: Iterable[Answer], most: int) -> list[dict[str, Any]]:
    """Return the queries that people were worst served with: the most bad answers first, then the most unclicked."""
    queries: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.query:
            queries.setdefault(answer.query, []).append(answer)
    clicks_are_told = any(answer.clicked for of_query in queries.values() for answer in of_query)
    found: list[tuple[int, int, dict[str, Any]]] = []
    for query, of_query in queries.items():
        bad, unclicked = sum(answer.bad for answer in of_query), sum(not answer.clicked for answer in of_query)
        never = clicks_are_told and unclicked == len(of_query) >= LEAST_ANSWERS
        if bad or never:
            ratings = [said.rating for a in of_query for said in a.said.values() if said.rating is not None]
            entry = {
                "query": query,
                "answers": len(of_query),
                "bad": bad,
                "unclicked": unclicked,
                "mean_rating": round(sum(ratings) / len(ratings), 2) if ratings else None,
                "outcome": Counter(answer.outcome for answer in of_query).most_common(1)[0][0],
            }
            found.append((-bad, -unclicked, entry))
    return [entry for *_, entry in sorted(found, key=lambda one: (*one[:2], one[2]["query"]))[:most]]


def _without_match(answers: Iterable[Answer], most: int) -> list[dict[str, Any]]:
    counts = Counter((a.query, a.outcome) for a in answers if a.query and a.outcome in NO_MATCH)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"query": query, "outcome": outcome, "answers": count} for (query, outcome), count in ordered[:most]]


def _errors(errors: Iterable[Event], most: int) -> list[dict[str, Any]]:
    counts = Counter((event["model"], event["code"]) for event in errors)
    return [{"model": model, "code": code, "requests": count} for (model, code), count in counts.most_common(most)]
