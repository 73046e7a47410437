"""Fits what confidence makes of the evidence of words.

    python -m benchmarks.confidence sample_data/queries.jsonl=localhost:8000 household/queries.jsonl=localhost:8010

Each server holds the catalogue that its file of judged queries is about. The first matches of every query are
examples: what is said of their words, and whether a person accepted them. Catalogues count the same, whatever their
number of queries. Prints the weights of `product_match.retrieval.confidence.WORDS_MAP`, and how far each catalogue
is from what a fit on the others says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.evaluation.calibration import expected_calibration_error
from product_match.evaluation.judged_queries import read_judged_queries
from product_match.retrieval.confidence import word_features
from product_match.statistics.logistic import LogisticMap, fit_logistic, probability
from product_match.words.evidence import WordEvidence
from product_match_client import ProductMatchClient
from product_match_client.requests import Query

FIRST: Final = 3
ROWS: Final = 16


@dataclass(frozen=True)
class Examples:
    """Matches of one catalogue's queries.

    Attributes:
        name: The file of queries.
        features: [n, k] of `word_features`.
        accepted: Whether a person accepted each.
    """

    name: str
    features: NDArray[np.float64]
    accepted: NDArray[np.bool_]


def examples(path: Path, url: str) -> Examples:
    """Ask a server for the first matches of every query of words."""
    with path.open(encoding="utf-8") as lines:
        read = read_judged_queries(lines, str(path))
    asked = [query for query in read if query.text and not query.image and not query.options]
    features, accepted = [], []
    with ProductMatchClient(url) as client:
        for start in range(0, len(asked), ROWS):
            part = asked[start : start + ROWS]
            answers = client.match_batch([Query(text=query.text) for query in part], top_k=FIRST, explain=True)
            for query, answer in zip(part, answers, strict=True):
                for match in answer.matches:
                    found = match.explain or {}
                    evidence = WordEvidence(**found["words"])
                    if not evidence.identified:
                        features.append(
                            word_features(evidence, found["similarity"].get("text", 0.0), match.rank == 1)
                        )
                        accepted.append(match.product_id in query.accept)
    return Examples(str(path), np.asarray(features), np.asarray(accepted))


def fitted(parts: Sequence[Examples]) -> LogisticMap:
    """Fit one map to several catalogues, each of which counts the same."""
    most = max(len(part.accepted) for part in parts)
    repeated = [np.resize(np.arange(len(part.accepted)), most) for part in parts]
    features = np.concatenate([part.features[rows] for part, rows in zip(parts, repeated, strict=True)])
    accepted = np.concatenate([part.accepted[rows] for part, rows in zip(parts, repeated, strict=True)])
    found = fit_logistic(features, accepted.tolist())
    if found is None:
        raise SystemExit("all matches were accepted, or none: there is nothing to fit")
    return found


def main(arguments: Sequence[str]) -> None:
    """Ask every server, fit, and print."""
    parts = [examples(Path(path), url) for path, _, url in (argument.partition("=") for argument in arguments)]
    whole = fitted(parts)
    report = {
        "weights": [round(weight, 2) for weight in whole.weights],
        "bias": round(whole.bias, 2),
        "catalogues": {},
    }
    for part in parts:
        others = [other for other in parts if other is not part]
        entry = {"examples": len(part.accepted), "accepted": float(part.accepted.mean())}
        for name, used in (("fit on all", whole), ("fit on the others", fitted(others) if others else None)):
            if used is not None:
                stated = probability(used.log_odds(part.features))
                entry[name] = round(expected_calibration_error(stated, part.accepted), 4)
        report["catalogues"][part.name] = entry
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
