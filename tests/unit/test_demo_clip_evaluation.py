"""The fixed split, the metrics, and the re-encoded copies."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from product_match.contract.errors import InvalidRequestError
from product_match.evaluation.copies import encoded_copies
from product_match.evaluation.metrics import average_precision, ceiling_at, estimate, precision_at
from product_match.evaluation.rankings import Ranking, report_of
from product_match.evaluation.split import Part, Role, part_of, role_of, run_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train-Banana_005.jpg", "train-Banana_0"),
        ("train-Banana_006.jpg", "train-Banana_1"),
        ("train-Banana_042.jpg", "train-Banana_7"),
        ("ea2ffd4d-9b25.jpg", "ea2ffd4d-9b25"),
        ("shoe_12.jpg", "shoe_12"),
        ("noextension", "noextension"),
        ("a.b_012.png", "a.b_2"),
    ],
)
def test_runs_are_named_by_six_consecutive_numbers(name, key):
    assert run_key(name) == key


@pytest.mark.parametrize(
    ("name", "part", "role"),
    [
        # By `printf '%s' KEY | sha256sum`, first eight digits, modulo 100.
        ("train-Banana_005.jpg", "test", "index"),
        ("train-Banana_006.jpg", "train", "query"),
        ("ea2ffd4d.jpg", "test", "index"),
    ],
)
def test_the_split_never_changes(name, part, role):
    assert (part_of(name).value, role_of(name).value) == (part, role)


def test_a_run_stays_in_one_part():
    assert len({part_of(f"train-Pink-Lady_{number:03}.jpg") for number in range(6, 12)}) == 1


def test_the_shares_are_near_their_targets():
    parts = [part_of(f"photo-{number}.jpg") for number in range(4000)]
    roles = [role_of(f"photo-{number}.jpg") for number in range(4000)]
    assert parts.count(Part.TRAIN) / 4000 == pytest.approx(0.62, abs=0.03)
    assert parts.count(Part.VALIDATION) / 4000 == pytest.approx(0.08, abs=0.02)
    assert roles.count(Role.INDEX) / 4000 == pytest.approx(0.75, abs=0.03)


def test_precision_counts_missing_answers_as_wrong():
    assert precision_at([True, False, True, True, False, True], 5) == pytest.approx(3 / 5)
    assert precision_at([True], 5) == pytest.approx(1 / 5)


def test_average_precision_follows_the_textbook_example():
    # Right answers at ranks 1, 3 and 6 of 4 that exist: (1/1 + 2/3 + 3/6) / 4.
    assert average_precision([True, False, True, False, False, True], 4) == pytest.approx((1 + 2 / 3 + 0.5) / 4)
    assert average_precision([False, False], 0) == 0.0
    assert average_precision([], 3) == 0.0


def test_ceilings_follow_the_number_of_right_answers():
    assert [ceiling_at(count, 5) for count in (0, 2, 9)] == [0.0, 0.4, 1.0]


def test_an_estimate_covers_its_mean_and_widens_with_groups():
    values = [1.0, 1.0, 0.0, 0.0] * 100
    alone = estimate(values)
    grouped = estimate(values, groups=[str(row // 2) for row in range(400)])
    assert alone.mean == grouped.mean == pytest.approx(0.5)
    assert alone.low < 0.5 < alone.high
    # Standard errors by hand: sqrt(.25 / 400) = 0.025 alone, sqrt(.25 / 200) = 0.0354 in pairs that agree.
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.025, abs=0.02)
    assert grouped.high - grouped.low == pytest.approx(2 * 1.96 * 0.0354, abs=0.02)
    assert estimate(values) == alone


def test_a_report_gives_hand_counted_figures():
    rankings = [
        Ranking(label="hat", answers=("hat", "shoe", "hat"), relevant=2, group="a"),
        Ranking(label="shoe", answers=("hat", "shoe", "hat"), relevant=1, group="b"),
        Ranking(label="gone", answers=("hat", "shoe", "hat"), relevant=0, group="c"),
    ]
    report = report_of(rankings)
    assert report.precision[1].mean == pytest.approx(1 / 2)
    assert report.precision[5].mean == pytest.approx((2 / 5 + 1 / 5) / 2)
    assert report.ceiling[5] == pytest.approx((2 / 5 + 1 / 5) / 2)
    assert report.mean_average_precision.mean == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert report.labels["shoe"][1] == 0.0
    assert report.label_counts == {"hat": 1, "shoe": 1}
    values = report.as_json()
    assert values["ceiling@5"] == pytest.approx(0.3)
    assert values["labels"]["hat"] == {"queries": 1, "precision@1": 1.0, "precision@5": 0.4, "precision@10": 0.2}


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: precision_at([True], 0), "needs k of at least 1, got 0"),
        (lambda: ceiling_at(-1, 5), "cannot be negative, got -1"),
        (lambda: average_precision([True, True], 1), "holds 2 right answers, but only 1"),
        (lambda: estimate([]), "expected at least one query"),
        (lambda: estimate([1.0], groups=["a", "b"]), "got 2 groups for 1 figures"),
        (lambda: report_of([]), "expected at least one query"),
    ],
)
def test_figures_that_mean_nothing_are_refused(act, words):
    with pytest.raises(InvalidRequestError, match=words):
        act()


def test_copies_are_changed_as_they_say_and_the_same_every_time():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((300, 200)).save(stream, "JPEG")
    copies = encoded_copies(stream.getvalue(), "a.jpg")
    sizes = {kind: Image.open(io.BytesIO(data)).size for kind, data in copies.items()}
    assert sizes == {"crop": (270, 180), "flip": (300, 200), "recompress": (300, 200), "rescale": (180, 120)}
    original = np.asarray(Image.open(io.BytesIO(stream.getvalue())), dtype=float)
    flipped = np.asarray(Image.open(io.BytesIO(copies["flip"])), dtype=float)
    assert np.abs(flipped[:, ::-1] - original).mean() < 8
    assert encoded_copies(stream.getvalue(), "a.jpg") == copies
    assert len(copies["recompress"]) < len(stream.getvalue())
