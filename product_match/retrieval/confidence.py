"""How probably a person would accept a match, and what that makes of a whole answer.

For words the evidence is what of them the product has, whether it is what was asked for or only mentions it, and
how similar the vectors are. Its weights are fitted on judged queries of two catalogues (`benchmarks.confidence`),
over features that mean the same in every catalogue. For photos the similarity is read by a fit on the catalogue
itself; see `statistics.similarity`. With both, the log-odds are the mean of the two by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import orjson

from product_match.contract.encoder import SimilarityScales
from product_match.contract.metrics import OUTCOMES
from product_match.retrieval.answers import Thought
from product_match.retrieval.rows import IMAGE, LIKE, TEXT, WEAK_FROM, RowQuery
from product_match.retrieval.searches import Parts
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.statistics.logistic import LogisticMap, probability_of
from product_match.words.analysis import Analyser
from product_match.words.evidence import ProductWords, WordEvidence, product_words, word_evidence

MATCHED, WEAK, NOT_STOCKED, FILTERS_TOO_NARROW = OUTCOMES

MOST_MISSED: Final = 1 / 3
"""Share of the words from which a product no longer has next to all of them: one of a few is too much."""

MATCHED_FROM: Final = 0.5
LEADING: Final = 3
"""Matches of which the most confident decides over the outcome: the first may be beside the point, the second not."""

WORDS_MAP: Final = LogisticMap(weights=(1.17, -0.4, 0.42, -1.46, 1.52, 1.93, 1.46, -2.04), bias=-2.66)
"""Log-odds from `word_features`."""

SIMILARITY_MAP: Final = LogisticMap(weights=(9.0,), bias=-5.4)
"""Log-odds from a scaled similarity alone, where a catalogue is too small for a fit, or a product has no words."""

COMPOSED_LEADS: Final = 2.0
COMPOSED_BIAS: Final = -1.0
"""With photo and words each match falls short of one of them, and the first is accepted for falling short the least;
fitted on the sample's 36 such queries."""

IDENTIFIED_LOG_ODDS: Final = 5.0
_CACHED_PRODUCTS: Final = 4096


@dataclass(frozen=True)
class Assessment:
    """What is thought of one match.

    Attributes:
        confidence: Probability that a person would accept it, 0 to 1.
        words: What it has of the query's words; None where none were given.
    """

    confidence: float
    words: WordEvidence | None


class Assessor:
    """Assesses matches in one catalogue."""

    def __init__(self, analyser: Analyser, scales: SimilarityScales) -> None:
        """Compare words by `analyser`; scaled similarities come from `scales`."""
        self._scales = scales
        self._words_of = lru_cache(maxsize=_CACHED_PRODUCTS)(lambda data: product_words(analyser, orjson.loads(data)))

    def assess(
        self, row: RowQuery, parts: Parts, product: bytes, statistics: CatalogueStatistics, *, leads: bool
    ) -> Assessment:
        """Assess one match.

        Args:
            row: The query.
            parts: What the searches said of the product.
            product: The product's JSON.
            statistics: Of its catalogue.
            leads: Whether it is the first match: that nothing fits better says something too.
        """
        evidence = None
        log_odds = 0.0
        if TEXT in row.sides:
            words, evidence = self._word_log_odds(row, parts, product, leads)
            log_odds += row.shares[TEXT] * words
        if IMAGE in row.sides:
            log_odds += row.shares[IMAGE] * self._photo_log_odds(parts, statistics)
        if LIKE in row.shares:
            log_odds += row.shares[LIKE] * SIMILARITY_MAP.log_odds_of((parts.like or 0.0,))
        if len(row.shares) > 1:
            log_odds += COMPOSED_LEADS * leads + COMPOSED_BIAS
        return Assessment(probability_of(log_odds), evidence)

    def _word_log_odds(
        self, row: RowQuery, parts: Parts, product: bytes, leads: bool
    ) -> tuple[float, WordEvidence | None]:
        similarity = parts.text if parts.text is not None else parts.photo
        if row.words is None:
            return SIMILARITY_MAP.log_odds_of((similarity or 0.0,)), None
        held: ProductWords = self._words_of(product)
        evidence = word_evidence(row.words, row.text, held)
        if evidence.identified:
            return IDENTIFIED_LOG_ODDS, evidence
        if not held.all and similarity is not None:
            return SIMILARITY_MAP.log_odds_of((similarity,)), evidence
        return WORDS_MAP.log_odds_of(word_features(evidence, similarity or 0.0, leads)), evidence

    def _photo_log_odds(self, parts: Parts, statistics: CatalogueStatistics) -> float:
        similarity = parts.photo if parts.photo is not None else 0.0
        usual = SIMILARITY_MAP.log_odds_of((similarity,))
        if statistics.image_fit is None:
            return usual
        scale = self._scales.image_to_image
        cosine = scale.background + similarity * (scale.match - scale.background)
        # A shop's own categories are more alike than what it does not carry: its fit alone would doubt too much.
        return (usual + statistics.image_fit.log_odds_of((cosine,))) / 2


def word_features(evidence: WordEvidence, similarity: float, leads: bool) -> tuple[float, ...]:
    """Return what `WORDS_MAP` weighs of a match; `similarity` is scaled, `leads` says that it is the first.

    What of the words the product has, whether it is what was asked for, similarity, what is missing, how near that is
    to nothing, being what was asked for and having next to all of the words, leading, and being another thing than
    what was asked for.
    """
    complete = max(0.0, 1.0 - evidence.missing / MOST_MISSED)
    return (
        *(evidence.held, evidence.head, similarity, evidence.missing, complete),
        *(evidence.head * complete, float(leads), evidence.beside),
    )


def outcome_of(assessments: Sequence[Thought]) -> str:
    """Return what an answer is, from what is thought of its matches, best first; filters aside."""
    leading = assessments[:LEADING]
    best = max((assessment.confidence for assessment in leading), default=0.0)
    if best >= MATCHED_FROM:
        return MATCHED
    # Who asks for a rain jacket is shown a jacket that is none, but is not told that the shop has no jackets.
    carried = any(assessment.words is not None and assessment.words.kind for assessment in leading)
    return WEAK if carried or best >= WEAK_FROM else NOT_STOCKED
