"""From evidence to a probability: the logistic fit, and what the similarity of photos says in a catalogue."""

from __future__ import annotations

import math

import numpy as np
import pytest

from product_match.statistics import similarity
from product_match.statistics.logistic import RIDGE, LogisticMap, fit_logistic, probability, probability_of
from product_match.statistics.similarity import LEAST_EXAMPLES, fit_similarity


def test_a_map_is_the_logistic_of_the_weighted_sum():
    fitted = LogisticMap(weights=(2.0, -1.0), bias=0.5)
    rows = np.asarray([[0.0, 0.0], [1.0, 1.0], [0.3, 2.0]])
    expected = [0.5, 1.5, -0.9]
    assert fitted.log_odds(rows) == pytest.approx(expected)
    assert [fitted.log_odds_of(row) for row in rows] == pytest.approx(expected)
    assert probability(np.asarray(expected)) == pytest.approx([1 / (1 + math.exp(-odds)) for odds in expected])
    assert [probability_of(odds) for odds in expected] == pytest.approx(probability(np.asarray(expected)).tolist())


def test_certainty_has_an_end():
    fitted = LogisticMap(weights=(1e6,), bias=0.0)
    for sign in (1.0, -1.0):
        odds = fitted.log_odds_of((sign,))
        assert odds == fitted.log_odds(np.asarray([[sign]]))[0] == sign * 30.0
        assert 0.0 < probability_of(sign * 1e9) == probability(np.asarray([sign * 1e9]))[0] < 1.0 + (sign > 0)


def test_one_yes_or_no_feature_is_fitted_by_the_odds_of_each_group(monkeypatch):
    """With one yes-or-no feature and no penalty the log-odds are those that are counted in each group."""
    monkeypatch.setattr("product_match.statistics.logistic.RIDGE", 1e-12)
    features = np.asarray([[0.0]] * 40 + [[1.0]] * 60)
    accepted = [True] * 10 + [False] * 30 + [True] * 45 + [False] * 15
    fitted = fit_logistic(features, accepted)
    assert fitted.bias == pytest.approx(math.log(10 / 30), abs=1e-4)
    assert fitted.bias + fitted.weights[0] == pytest.approx(math.log(45 / 15), abs=1e-4)


def test_the_fit_is_where_the_penalised_likelihood_is_greatest():
    """Found again by plain gradient ascent over standardised features."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(200, 2)) * (1.0, 5.0) + (0.5, -2.0)
    accepted = (rng.random(200) < 1 / (1 + np.exp(-(features[:, 0] - 0.2 * features[:, 1])))).tolist()
    fitted = fit_logistic(features, accepted)
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    weights, bias = np.zeros(2), 0.0
    for _ in range(5000):
        error = np.asarray(accepted) - 1 / (1 + np.exp(-(rows @ weights + bias)))
        weights = weights + 0.5 * (rows.T @ error / 200 - RIDGE * weights)
        bias += 0.5 * error.mean()
    assert fitted.log_odds(features) == pytest.approx(rows @ weights + bias, abs=1e-3)


def test_examples_that_part_without_a_fault_still_have_finite_weights():
    fitted = fit_logistic(np.arange(20.0)[:, None], [n >= 10 for n in range(20)])
    assert 0 < fitted.weights[0] < 100
    assert fitted.log_odds_of((0.0,)) < 0 < fitted.log_odds_of((19.0,))


def test_a_feature_that_never_changes_weighs_nothing():
    features = np.column_stack([np.arange(20.0), np.full(20, 7.0)])
    fitted = fit_logistic(features, [n % 3 == 0 or n > 12 for n in range(20)])
    assert fitted.weights[1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("became", [True, False])
def test_examples_of_one_kind_teach_nothing(became):
    assert fit_logistic(np.arange(5.0)[:, None], [became] * 5) is None


def unit_rows(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def grouped(count=60, groups=6, spread=0.3):
    """Vectors in clusters, and the cluster of each."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(groups, 16))
    names = [f"group {n % groups}" for n in range(count)]
    return unit_rows(centres[[n % groups for n in range(count)]] + spread * rng.normal(size=(count, 16))), names


def test_a_catalogue_teaches_what_its_similarities_mean():
    vectors, names = grouped()
    fitted = fit_similarity(vectors, names)
    right, wrong = [], []
    for place, query in enumerate(vectors):
        cosines = (vectors @ query).astype(np.float64)
        cosines[place] = -1
        own = [other for other in range(len(names)) if names[other] == names[place] and other != place]
        foreign = [other for other in range(len(names)) if names[other] != names[place]]
        best = (own[int(np.argmax(cosines[own]))], foreign[int(np.argmax(cosines[foreign]))])
        right.append(probability_of(fitted.log_odds_of((cosines[best[0]],))))
        wrong.append(probability_of(fitted.log_odds_of((cosines[best[1]],))))
    assert np.mean(right) > 0.9
    assert np.mean(wrong) < 0.1


def test_too_few_products_or_one_category_teach_nothing():
    vectors, names = grouped()
    assert fit_similarity(vectors[: LEAST_EXAMPLES - 1], names[: LEAST_EXAMPLES - 1]) is None
    assert fit_similarity(vectors, ["one"] * len(names)) is None
    assert fit_similarity(np.zeros((0, 4), np.float32), []) is None


def test_a_category_of_one_product_is_never_the_right_answer():
    vectors, _ = grouped()
    assert fit_similarity(vectors, [str(n) for n in range(len(vectors))]) is None


def test_a_large_catalogue_is_asked_for_some_of_its_products(monkeypatch):
    vectors, names = grouped(120)
    asked = []

    def noted(features, accepted):
        asked.append(len(features))
        return fit_logistic(features, accepted)

    monkeypatch.setattr(similarity, "MOST_ASKED", 50)
    monkeypatch.setattr(similarity, "fit_logistic", noted)
    assert fit_similarity(vectors, names) is not None
    assert asked == [2 * 50]
