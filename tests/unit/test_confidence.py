"""What an answer is called, from what is thought of its matches."""

from __future__ import annotations

import pytest

from product_match.retrieval.confidence import (
    MATCHED,
    NOT_STOCKED,
    WEAK,
    WORDS_MAP,
    Assessment,
    outcome_of,
    word_features,
)
from product_match.statistics.logistic import probability_of
from product_match.words.evidence import WordEvidence

WHOLE = WordEvidence(held=1.0, named=1.0, head=1.0, beside=0.0, kind=1.0, missing=0.0, identified=0.0)
KIND_ONLY = WordEvidence(held=0.4, named=0.4, head=1.0, beside=0.0, kind=1.0, missing=0.5, identified=0.0)
MENTIONED = WordEvidence(held=0.4, named=0.4, head=0.6, beside=1.0, kind=0.0, missing=0.5, identified=0.0)
NOTHING = WordEvidence(held=0.0, named=0.0, head=0.0, beside=0.0, kind=0.0, missing=1.0, identified=0.0)


def thought(confidence, words=None):
    return Assessment(confidence=confidence, words=words)


@pytest.mark.parametrize(
    ("assessments", "outcome"),
    [
        ([], NOT_STOCKED),
        ([thought(0.19), thought(0.1)], NOT_STOCKED),
        ([thought(0.19, NOTHING)], NOT_STOCKED),
        ([thought(0.2)], WEAK),
        ([thought(0.5)], MATCHED),
        # The second may be right where the first is beside the point; the fourth comes too late.
        ([thought(0.1), thought(0.6)], MATCHED),
        ([thought(0.1), thought(0.1), thought(0.1), thought(0.9, WHOLE)], NOT_STOCKED),
        # A jacket that is no rain jacket: similar, not "we have no jackets". A tee with a jacket on it is neither.
        ([thought(0.1, KIND_ONLY)], WEAK),
        ([thought(0.1, MENTIONED)], NOT_STOCKED),
    ],
)
def test_the_leading_matches_decide_what_an_answer_is(assessments, outcome):
    assert outcome_of(assessments) == outcome


def test_more_of_what_was_asked_for_is_more_probable():
    def probability(evidence, similarity):
        return probability_of(WORDS_MAP.log_odds_of(word_features(evidence, similarity, leads=True)))

    assert probability(WHOLE, 0.6) > 0.9
    assert probability(WHOLE, 0.6) > probability(KIND_ONLY, 0.6) > probability(MENTIONED, 0.6)
    assert probability(NOTHING, 0.2) < 0.1
    assert probability(NOTHING, 0.9) > probability(NOTHING, 0.2)
