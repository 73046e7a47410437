"""The combined query gives the weighted sum of the scaled cosines, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.retrieval.fusion import combine
from tests.fakes.encoders import SCALES


def unit(*values: float) -> np.ndarray:
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


IMAGE, TEXT = unit(1, 2, 3, 4), unit(4, -1, 0, 1)


def test_a_photo_alone_searches_photos_and_scores_its_scaled_cosine():
    (query,) = combine({"image": IMAGE}, {"image": 1.0}, SCALES)
    product = unit(1, 1, 1, 1)
    assert query.vector_name == "image"
    assert query.vector @ product + query.offset == pytest.approx((IMAGE @ product - 0.5) / (1.0 - 0.5), abs=1e-6)


def test_the_same_photo_scores_one():
    (query,) = combine({"image": IMAGE}, {"image": 1.0}, SCALES)
    assert query.vector @ IMAGE + query.offset == pytest.approx(1.0, abs=1e-6)


def test_words_alone_search_photos_and_words():
    queries = combine({"text": TEXT}, {"text": 1.0}, SCALES)
    assert [query.vector_name for query in queries] == ["image", "text"]
    product = unit(1, 0, 1, 0)
    assert queries[0].vector @ product + queries[0].offset == pytest.approx((TEXT @ product - 0.2) / 0.2, abs=1e-5)
    assert queries[1].vector @ product + queries[1].offset == pytest.approx((TEXT @ product - 0.4) / 0.5, abs=1e-5)


@pytest.mark.parametrize(("image_weight", "text_weight"), [(0.5, 0.5), (3.0, 1.0), (0.0, 1.0)])
def test_both_sides_add_up_by_weight(image_weight, text_weight):
    queries = combine({"image": IMAGE, "text": TEXT}, {"image": image_weight, "text": text_weight}, SCALES)
    product = unit(1, 1, 0, 2)
    for query, (image_scale, text_scale) in zip(
        queries, [((0.5, 0.5), (0.2, 0.2)), ((0.1, 0.2), (0.4, 0.5))], strict=True
    ):
        expected = (
            image_weight * (IMAGE @ product - image_scale[0]) / image_scale[1]
            + text_weight * (TEXT @ product - text_scale[0]) / text_scale[1]
        ) / (image_weight + text_weight)
        assert query.vector @ product + query.offset == pytest.approx(expected, abs=1e-5)


def test_words_of_no_weight_search_photos_only():
    queries = combine({"image": IMAGE, "text": TEXT}, {"image": 1.0, "text": 0.0}, SCALES)
    assert [query.vector_name for query in queries] == ["image"]


def test_no_weight_at_all_is_refused():
    with pytest.raises(InvalidRequestError, match="both are 0; give at least one of them more"):
        combine({"image": IMAGE, "text": TEXT}, {"image": 0.0, "text": 0.0}, SCALES)
