"""Answers queries: one vector query batch and one document query for a whole Triton batch.

Only rows whose filter leaves nothing that fits are searched once more, all of them together, without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from product_match.contract.browsing import Shelf, Shown
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ProductMatchError, in_row
from product_match.contract.filters import ProductFilter
from product_match.contract.fitting import fits
from product_match.contract.models import MATCHES
from product_match.contract.products import point_id
from product_match.contract.rules import Rules
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.answers import Answered, Match, Recorder, Timings, answer_json, term_json
from product_match.retrieval.browsing import browsed, past_the_end
from product_match.retrieval.composition import HeldVectors
from product_match.retrieval.confidence import (
    FILTERS_TOO_NARROW,
    MATCHED,
    MATCHED_FROM,
    Assessment,
    Assessor,
    outcome_of,
)
from product_match.retrieval.counting import count_answers
from product_match.retrieval.examples import named_points
from product_match.retrieval.paging import RankedRow, rank_in_steps
from product_match.retrieval.plans import Plan, known, plan_of, with_rules
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import Parts, row_searches
from product_match.retrieval.shaping import Shaped, shaped
from product_match.retrieval.walking import Walk, walk
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.triton.batches import Answer, BatchRequest, bytes_column
from product_match.vectors.vector_index import Hit, VectorQuery
from product_match.words.encoding import WordsEncoder, WordsRecipe
from product_match.words.reading import QueryReader
from product_match.words.relations import Relations
from product_match.words.spelling import Speller

WIDER_MATCHES: Final = 3
"""Matches that are looked at of a search without the filter."""


class SearchedIndex(Protocol):
    """The part of a vector index that retrieval uses."""

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer several queries in one call, best hits first."""

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the points that fit have each text in a field."""

    def vectors(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, NDArray[np.float32]]]:
        """Return the dense vectors of point ids in one call; absent ids are left out."""


class Products(Protocol):
    """Where retrieval reads products."""

    def fetch(self, ids: Sequence[str]) -> Mapping[str, StoredProduct]:
        """Return the products of the point ids that exist, with one call to the document store at most."""

    def browse(self, shelf: Shelf) -> tuple[list[StoredProduct], Shown]:
        """Return what a shelf shows."""


_RowAnswer = bytes | ProductMatchError
"""The JSON of a row's answer, or what is wrong with the row."""


class RetrievalService:
    """Answers `retrieval`."""

    def __init__(
        self,
        encoder: EncoderSpec,
        index: SearchedIndex,
        products: Products,
        statistics: Callable[[], CatalogueStatistics],
        language: str,
        recorder: Recorder | None = None,
        rules: Callable[[], Rules] = Rules,
    ) -> None:
        """Search `index` and join with `products`.

        Args:
            encoder: Whose embeddings come, and whose scales scores follow.
            index: The vector index.
            products: Of the same catalogue.
            statistics: Returns what is known of the catalogue by now.
            language: Of its words.
            recorder: Takes note of the answers; None where nobody does.
            rules: Returns the rules of the shop by now.
        """
        self._recorder = recorder
        self._rules = rules
        self._encoder = encoder
        self._index = index
        self._products = products
        self._statistics = statistics
        self._words = WordsEncoder(WordsRecipe(language=language))
        self._speller = Speller(language)
        self._relations = Relations(self._words.analyser)
        self._assessor = Assessor(self._words.analyser, encoder.scales)

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Answer the rows of all requests with one search and one document query."""
        statistics = self._statistics()
        reader = QueryReader(self._words, statistics.vocabulary, self._speller, self._relations)
        plans = self._with_examples([plan_of(request, reader) for request in requests])
        rules = self._rules()
        rows = [with_rules(row, rules) for plan in plans if isinstance(plan, list) for row in plan]
        answers = iter(self._answers(rows, statistics) if rows else ())
        return [
            plan if isinstance(plan, ProductMatchError) else self._answer(request, [next(answers) for _ in plan])
            for request, plan in zip(requests, plans, strict=True)
        ]

    def _answer(self, request: BatchRequest, rows: Sequence[_RowAnswer]) -> Answer:
        """Return the answer of a request; what is wrong with one of its rows is wrong with the request."""
        texts = []
        for number, row in enumerate(rows):
            if isinstance(row, ProductMatchError):
                return in_row(row, number, len(rows))
            texts.append(row)
        # A composed query is one row of several; the others say where their answer is.
        left = range(len(rows), request.rows)
        texts += [term_json(self._encoder.identity, request.name, number) for number in left]
        return {MATCHES.name: bytes_column(texts)}

    def _with_examples(self, plans: list[Plan]) -> list[Plan]:
        """Put in the vectors of products that rows are like and unlike: one call for the whole batch."""
        examples = [row.examples for plan in plans if isinstance(plan, list) for row in plan if row.examples]
        if not examples:
            return plans
        held = self._index.vectors(named_points(examples))
        return [plan if isinstance(plan, ProductMatchError) else known(plan, held) for plan in plans]

    def _answers(self, rows: Sequence[RowQuery], statistics: CatalogueStatistics) -> list[_RowAnswer]:
        timings = Timings()
        sought = self._matched([row for row in rows if not row.is_shelf], statistics, timings)
        shelves = [self._browsed(row) for row in rows if row.is_shelf]
        if shelves:
            timings.mark("browse")
        found, shown = iter(sought), iter(shelves)
        return self._written([next(shown if row.is_shelf else found) for row in rows], timings)

    def _browsed(self, row: RowQuery) -> Answered | ProductMatchError:
        try:
            return browsed(row, self._products, self._index)
        except ProductMatchError as error:
            return error

    def _matched(
        self, rows: Sequence[RowQuery], statistics: CatalogueStatistics, timings: Timings
    ) -> list[Answered | ProductMatchError]:
        if not rows:
            return []
        ranked = self._ranked(rows, timings)
        walks = self._walked(ranked, statistics, timings)
        timings.mark("assess")
        outcomes = [outcome_of([match.assessment for match in walked.matches]) for walked in walks]
        wider = self._wider(
            [row for row, outcome in zip(rows, outcomes, strict=True) if row.filter and outcome != MATCHED],
            statistics,
        )
        timings.mark("wider")
        held = self._pool_vectors(walks)
        pinned = self._pinned(walks, statistics)
        results = [
            shaped(walked.row, walked, held, self._encoder.scales, first)
            for walked, first in zip(walks, pinned, strict=True)
        ]
        timings.mark("shape")
        return [
            _answered(row, result, outcome, wider.get(row.query_id, []))
            for row, result, outcome in zip(rows, results, outcomes, strict=True)
        ]

    def _pinned(self, walks: Sequence[Walk], statistics: CatalogueStatistics) -> list[dict[str, Match]]:
        """Return what rules show first and was not found: one call for the whole batch."""
        if not any(walked.row.shape is not None and walked.row.shape.pins for walked in walks):
            return [{} for _ in walks]
        wanted: list[list[str]] = []
        for walked in walks:
            shape, there = walked.row.shape, {match.product.product_id for match in walked.matches}
            pins = shape.pins if shape is not None else {}
            named = walked.row.examples.ids if walked.row.examples is not None else ()
            wanted.append([point_id(id_) for id_ in pins if id_ not in there and id_ not in named])
        held = self._fetched([id_ for ids in wanted for id_ in ids])
        found = []
        for walked, ids in zip(walks, wanted, strict=True):
            row = walked.row
            matches = {}
            for product in (held[id_] for id_ in ids if id_ in held):
                assessed = self._assessor.assess(row, Parts(), product.json, statistics, leads=False)
                match = Match(product, 0.0, assessed, Parts())
                if row.filter is None or fits(row.filter, match.fields):
                    matches[product.product_id] = match
            found.append(matches)
        return found

    def _pool_vectors(self, walks: Sequence[Walk]) -> HeldVectors:
        """Return the vectors of products that are compared with one another: one call for the whole batch."""
        ids = [
            point_id(match.product.product_id)
            for walked in walks
            if walked.row.shape is not None and walked.row.shape.needs_vectors
            for match in walked.matches
        ]
        return self._index.vectors(sorted(set(ids))) if ids else {}

    def _written(self, answered: Sequence[Answered | ProductMatchError], timings: Timings) -> list[_RowAnswer]:
        encoder = self._encoder.identity
        good = [one for one in answered if isinstance(one, Answered)]
        count_answers(good, timings)
        tokens = iter([None] * len(good) if self._recorder is None else self._recorder(encoder, good, timings))
        return [
            answer_json(encoder, one, timings, next(tokens)) if isinstance(one, Answered) else one for one in answered
        ]

    def _ranked(self, rows: Sequence[RowQuery], timings: Timings | None = None) -> list[RankedRow]:
        """Search for all rows with one call, and rank what is found for each."""
        searches = [row_searches(row, self._encoder.scales) for row in rows]
        queries = [search.query for of_row in searches for search in of_row]
        hits = iter(self._index.search(queries) if queries else ())
        if timings is not None:
            timings.mark("search")
        ranked = []
        for row, of_row in zip(rows, searches, strict=True):
            hits_of_row = [next(hits) for _ in of_row]
            ranked.append(rank_in_steps(row, of_row, hits_of_row, self._encoder.scales))
        if timings is not None:
            timings.mark("rank")
        return ranked

    def _fetched(self, ids: Sequence[str]) -> Mapping[str, StoredProduct]:
        wanted = sorted(set(ids))
        return self._products.fetch(wanted) if wanted else {}

    def _walked(self, ranked: Sequence[RankedRow], statistics: CatalogueStatistics, timings: Timings) -> list[Walk]:
        """Read and assess the products of all rows."""

        def fetch(ids: Sequence[str]) -> Mapping[str, StoredProduct]:
            timings.mark("assess")
            found = self._fetched(ids)
            timings.mark("join")
            return found

        def assess(one: RankedRow, id_: str, product: StoredProduct, leads: bool) -> Assessment:
            return self._assessor.assess(one.row, one.parts[id_], product.json, statistics, leads=leads)

        return walk(ranked, fetch, assess)

    def _wider(self, rows: Sequence[RowQuery], statistics: CatalogueStatistics) -> dict[str, list[dict[str, Any]]]:
        """Return what would match without which of their filter's fields, for rows whose filter leaves nothing."""
        asked: list[tuple[RowQuery, tuple[str, ...]]] = []
        for row in rows:
            asked += [
                (replace(row, filter=left, top_k=WIDER_MATCHES, offset=0, shape=None), gone)
                for left, gone in _loosened(row.filter)
            ]
        if not asked:
            return {}
        ranked = self._ranked([row for row, _ in asked])
        wider: dict[str, list[dict[str, Any]]] = {}
        for (row, gone), walked in zip(asked, self._walked(ranked, statistics, Timings()), strict=True):
            best = max(walked.matches, key=lambda match: match.assessment.confidence, default=None)
            if best is not None and best.assessment.confidence >= MATCHED_FROM:
                entry = {"without": list(gone), **best.to_json(1, row.fields)}
                wider.setdefault(row.query_id, []).append(entry)
        return wider


def _answered(
    row: RowQuery, result: Shaped, outcome: str, would_match: Sequence[dict[str, Any]]
) -> Answered | ProductMatchError:
    if row.offset and row.offset >= len(result.matches):
        return past_the_end(row, len(result.matches))
    page = result.matches[row.offset : row.offset + row.top_k]
    least = row.min_confidence or 0.0
    return Answered(
        row=row,
        outcome=FILTERS_TOO_NARROW if would_match else outcome,
        matches=[match for match in page if match.assessment.confidence >= least or "pinned" in match.notes],
        would_match=would_match,
        facets=result.facets,
    )


def _loosened(product_filter: ProductFilter | None) -> list[tuple[ProductFilter | None, tuple[str, ...]]]:
    """Return the filter without each of its conditions, then without any, and the names of those that are gone."""
    parts = product_filter.parts() if product_filter is not None else []
    loosened: list[tuple[ProductFilter | None, tuple[str, ...]]] = []
    if len(parts) > 1:
        for place, (name, _) in enumerate(parts):
            left = [part for number, (_, part) in enumerate(parts) if number != place]
            loosened.append((ProductFilter.joined(left), (name,)))
    return [*loosened, (None, tuple(name for name, _ in parts))]
