"""People who search, click, buy and complain, for the figures of docs/feedback.md: their wishes are the sample's.

    product-match serve --sample --event-log
    python -m benchmarks.simulated_feedback --queries sample_data/queries.jsonl

Each asks a judged query of words, looks down the matches, less probably at each rank, and takes up what the query
accepts, more probably the better it is graded; some buy, some rate, and who finds nothing may say so. The seed is
fixed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from product_match.evaluation.judged_queries import JudgedQuery, read_judged_queries
from product_match_client import FeedbackRow, MatchResult, ProductMatchClient

SEED: Final = 16
SHOWN: Final = 8
LOOKS_ON: Final = 0.75
"""Probability of looking at the next rank."""

TAKES_UP: Final = {3: 0.7, 2: 0.4, 1: 0.15}
STRAY_CLICK: Final = 0.03
BUYS: Final = 0.2
RATES: Final = 0.3
COMPLAINS: Final = 0.4


def main() -> int:
    """Search and tell; print how much was told."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--queries", type=Path, required=True, help="judged queries")
    parser.add_argument("--people", type=int, default=1000, help="searches (default %(default)s)")
    parser.add_argument("--url", default="localhost:8000", help="the server (default %(default)s)")
    arguments = parser.parse_args()
    lines = arguments.queries.read_text(encoding="utf-8").splitlines()
    queries = [
        query for query in read_judged_queries(lines, str(arguments.queries)) if query.text and not query.image
    ]
    chance = random.Random(SEED)
    told = 0
    with ProductMatchClient(arguments.url) as client:
        for _ in range(arguments.people):
            query = chance.choice(queries)
            answer = client.match(text=query.text, top_k=SHOWN, fields=[])
            rows = list(thought(query, answer, chance))
            told += len(client.feedback_batch(rows)) if rows else 0
    print(json.dumps({"searches": arguments.people, "told": told}))
    return 0


def thought(query: JudgedQuery, answer: MatchResult, chance: random.Random) -> Iterator[FeedbackRow]:
    """Yield what one person tells of an answer."""
    token, pleased = answer.feedback_token or "", False
    for match in answer.matches:
        grade = query.accept.get(match.product_id, 0)
        yield FeedbackRow(token=token, product_id=match.product_id, event="shown")
        if chance.random() < TAKES_UP.get(grade, STRAY_CLICK):
            pleased = pleased or grade > 0
            yield FeedbackRow(token=token, product_id=match.product_id, event="click")
            if grade and chance.random() < BUYS:
                yield FeedbackRow(token=token, product_id=match.product_id, event="purchase")
            if chance.random() < RATES:
                yield FeedbackRow(token=token, product_id=match.product_id, rating=1 + 3 * grade)
        if chance.random() > LOOKS_ON:
            break
    if answer.matches and not pleased and chance.random() < COMPLAINS:
        yield FeedbackRow(token=token, product_id=answer.matches[0].product_id, event="wrong")


if __name__ == "__main__":
    raise SystemExit(main())
