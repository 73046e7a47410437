"""Graded measures, calibration, thresholds and intervals, against figures that other libraries computed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.evaluation.calibration import brier_score, expected_calibration_error, reliability
from product_match.evaluation.false_matches import (
    NO_MATCH,
    FirstMatches,
    curve,
    false_matches_that_keep,
    point_at,
    threshold_that_keeps,
)
from product_match.evaluation.graded_measures import graded_measures
from product_match.evaluation.metrics import bootstrap_interval, estimate

MANY = {f"p{number}": number % 3 + 1 for number in range(14)}
FOUND_OF_MANY = [f"p{number}" for number in (3, 20, 5, 0, 21, 7, 1, 22, 2, 23, 4, 6)]

CONFIDENCES = [0.95, 0.91, 0.99, 0.88, 0.82, 0.35, 0.31, 0.62, 0.07, 0.55, 0.58, 1.0, 0.0, 0.74]
ACCEPTED = [bool(flag) for flag in (1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1)]


@pytest.mark.parametrize(
    ("ranked", "grades", "hit", "recall", "reciprocal_rank", "gain"),
    [
        # By pytrec_eval (success_1, recall_10, recip_rank, ndcg_cut_10) with gains of 7, 3 and 1 as its grades.
        (["p2", "x", "p1", "y", "p3"], {"p1": 3, "p2": 2, "p3": 1}, 1, 1, 1, 0.7332063582049065),
        (["x", "y", "z"], {"p1": 3}, 0, 0, 0, 0),
        (["q", "p9", "r", "p2", "p1"], {"p1": 2, "p2": 2, "p9": 1}, 0, 1, 0.5, 0.5717853415779118),
        (FOUND_OF_MANY, MANY, 1, 0.42857142857142855, 1, 0.39085447462960066),
        ([], {"p1": 1}, 0, 0, 0, 0),
    ],
)
def test_an_answer_is_measured_by_grades(ranked, grades, hit, recall, reciprocal_rank, gain):
    assert graded_measures(ranked, grades, 10) == {
        "hit@1": hit,
        "recall@10": pytest.approx(recall),
        "mrr": reciprocal_rank,
        "ndcg@10": pytest.approx(gain),
    }


def test_the_depth_holds_for_recall_and_the_reciprocal_rank_and_not_for_the_gain():
    measures = graded_measures(["q", "p9", "r", "p2", "p1"], {"p1": 2, "p2": 2, "p9": 1}, 3)
    assert measures["recall@3"] == pytest.approx(1 / 3)
    assert measures["ndcg@10"] == pytest.approx(0.5717853415779118)
    assert graded_measures(["q", "p9"], {"p9": 1}, 1)["mrr"] == 0


@pytest.mark.parametrize(
    ("ranked", "grades", "depth", "words"),
    [
        (["a"], {"a": 1}, 0, "measures need a depth of at least 1, got 0"),
        (["a"], {}, 10, "at least one accepted product, with a grade of at least 1, got {}"),
        (["a"], {"a": 0}, 10, "with a grade of at least 1, got {'a': 0}"),
        (["a", "a"], {"a": 1}, 10, r"an answer holds each product once, got \['a', 'a'\]"),
    ],
)
def test_what_cannot_be_measured_is_told(ranked, grades, depth, words):
    with pytest.raises(InvalidRequestError, match=words):
        graded_measures(ranked, grades, depth)


def test_the_calibration_error_weighs_the_bins_by_their_answers():
    # By netcal's ECE with ten bins, and scikit-learn's brier_score_loss.
    assert expected_calibration_error(CONFIDENCES, ACCEPTED) == pytest.approx(0.16642857142857143)
    assert brier_score(CONFIDENCES, ACCEPTED) == pytest.approx(0.16656428571428572)


def test_a_bin_takes_its_lower_end_and_the_last_one_both():
    bins = reliability([0.0, 0.1, 0.19, 0.9, 1.0], [False, False, True, True, True])
    assert [(part.low, part.high, part.count) for part in bins] == [(0.0, 0.1, 1), (0.1, 0.2, 2), (0.9, 1.0, 2)]
    assert bins[1].confidence == pytest.approx(0.145)
    assert bins[1].accepted == 0.5


def test_a_confidence_that_is_right_about_itself_has_no_error():
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == 0


@pytest.mark.parametrize("measure", [expected_calibration_error, brier_score])
@pytest.mark.parametrize(
    ("confidences", "accepted", "words"),
    [
        ([], [], "no answers to judge confidence by; expected at least one"),
        ([0.5], [True, False], "expected one verdict for each confidence, got 2 for 1"),
        ([1.5], [True], "a confidence is a probability: expected 0 to 1, got a number outside"),
        ([math.nan], [True], "a confidence is a probability"),
    ],
)
def test_a_confidence_that_cannot_be_judged_is_told(measure, confidences, accepted, words):
    with pytest.raises(InvalidRequestError, match=words):
        measure(confidences, accepted)


def first_matches(rows):
    return FirstMatches.of((signal, kind != "other", kind == "right") for signal, kind in rows)


def test_the_curve_is_that_of_hits_against_false_matches():
    kinds = ("right", "right", "other", "right", "other", "right", "other", "right", "other")
    signals = (0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
    points = curve(first_matches(zip(signals, kinds, strict=True)))
    # By scikit-learn's roc_curve, of whose points those with most hits for their false matches are kept.
    assert [(point.threshold, point.hits, point.false_matches) for point in points] == [
        (0.9, pytest.approx(0.2), 0.0),
        (0.7, pytest.approx(0.6), 0.25),
        (0.5, pytest.approx(0.8), 0.5),
        (0.3, pytest.approx(1.0), 0.75),
        (0.2, pytest.approx(1.0), 1.0),
    ]


ROWS = [(0.9, "right"), (0.8, "wrong"), (0.7, "other"), (0.6, "right"), (NO_MATCH, "wrong"), (NO_MATCH, "other")]


def test_a_wrong_match_of_a_carried_query_is_neither_a_hit_nor_a_false_match():
    point = point_at(first_matches(ROWS), 0.7)
    assert (point.hits, point.wrong, point.false_matches) == (0.25, 0.25, 0.5)
    assert curve(first_matches(ROWS))[-1].false_matches == 0.5  # a query without a match is never a false one


def test_the_precision_of_a_threshold_depends_on_how_many_ask_for_what_is_not_there():
    point = point_at(first_matches(ROWS), 0.7)
    assert point.precision(0.0) == pytest.approx(0.25 / 0.5)
    assert point.precision(1 / 3) == pytest.approx(1 / 3)  # these rows: right, wrong, and one that is not carried
    assert point.precision(0.95) == pytest.approx(0.05 * 0.25 / (0.05 * 0.5 + 0.95 * 0.5))
    assert point_at(first_matches(ROWS), math.inf).precision(0.5) is None


@pytest.mark.parametrize(
    ("share", "threshold", "false"), [(0.2, 0.9, 0), (0.4, 0.8, 0), (0.5, 0.7, 1), (0.6, 0.7, 1), (1.0, 0.1, 1)]
)
def test_the_threshold_keeps_the_share_of_the_hits(share, threshold, false):
    rows = [*((signal, "right") for signal in (0.9, 0.8, 0.7, 0.5, 0.1)), (0.75, "other"), (0.2, "wrong")]
    matches = first_matches(rows)
    assert threshold_that_keeps(matches, share) == threshold
    assert false_matches_that_keep(matches, share) == false


def test_nothing_is_kept_where_there_is_no_hit():
    matches = first_matches([(0.9, "wrong"), (0.8, "other")])
    assert math.isnan(threshold_that_keeps(matches, 0.9))
    assert math.isnan(false_matches_that_keep(matches, 0.9))
    only_carried = first_matches(ROWS).draw(np.array([0, 0, 3]))
    assert math.isnan(false_matches_that_keep(only_carried, 0.9))


@pytest.mark.parametrize(
    ("rows", "counts"), [([], "0 and 0"), ([(1, "right")], "1 and 0"), ([(1, "other")], "0 and 1")]
)
def test_a_curve_needs_both_kinds_of_queries(rows, counts):
    with pytest.raises(InvalidRequestError, match=f"queries that are carried and queries that are not, got {counts}"):
        first_matches(rows)


def test_the_interval_of_a_mean_is_that_of_the_estimate():
    values = np.random.default_rng(5).normal(size=60)
    groups = [str(row // 2) for row in range(60)]
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), groups, rounds=4000, seed=1)
    expected = estimate(list(values), groups=groups, rounds=4000)
    assert (low, high) == (pytest.approx(expected.low, abs=0.02), pytest.approx(expected.high, abs=0.02))
    # 1.96 standard errors of the mean, by groups of two.
    error = values.reshape(30, 2).mean(axis=1).std() / math.sqrt(30)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_an_interval_is_the_same_for_the_same_seed():
    groups = ["a", "b", "c", "c"]
    assert bootstrap_interval(lambda rows: float(rows.sum()), groups, rounds=50) == bootstrap_interval(
        lambda rows: float(rows.sum()), groups, rounds=50
    )


def test_whole_groups_are_drawn():
    drawn = []
    bootstrap_interval(lambda rows: drawn.append(rows.tolist()) or 0.0, ["a", "b", "a"], rounds=50)
    assert all(rows.count(0) == rows.count(2) for rows in drawn)


def test_an_interval_of_nothing_is_told():
    with pytest.raises(InvalidRequestError, match="no rows to draw from; expected at least one"):
        bootstrap_interval(lambda rows: 0.0, [])
    with pytest.raises(InvalidRequestError, match="none of 20 draws has a figure; give more queries"):
        bootstrap_interval(lambda rows: math.nan, ["a", "b"], rounds=20)
