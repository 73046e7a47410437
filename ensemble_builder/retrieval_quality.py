"""What a precision costs in retrieval, and how an encoder's cosines map to scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_builder.embeddings import Encoders, Samples
from ensemble_builder.report import BuildReport
from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import PrecisionError

OVERLAP_LIMIT: Final = 0.95
PRECISION_LOSS_LIMIT: Final = 0.01
FLOOR_SHARE: Final = 0.1
"""Of the way from chance to the best. For the 25 labels of the sample chance is 0.06; a random ViT finds 0.13 by
colour, vectors drawn at random 0.07, a CLIP trained from nothing on 4,833 photos 0.49 (photos) and 0.30 (words)."""
LEAST_PHOTOS: Final = 50
"""With fewer photos, ten neighbours are too large a part of the catalogue for their overlap to tell anything."""
BEST_PAIRS: Final = 0.01
"""The share of photos with their own words whose cosine scores above 1."""
LEAST_SPAN: Final = 0.01
"""A measured scale whose ends are closer than this says that the encoder tells nothing apart."""

_ADVICE: Final[Mapping[str, str]] = {
    "embedded": "build FP32 for this model: embedded INT8 takes its scales in each run, so photos change nothing",
    "tensorrt": "build FP16, or calibrate on more photos of your own with --photos and --captions",
}


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Photos and their words after encoding.

    Attributes:
        images: [n, D], rows of length 1.
        words: [n, D], or None where the photos have no words.
        labels: One for each row.
    """

    images: NDArray[np.float32]
    words: NDArray[np.float32] | None
    labels: tuple[str, ...]


def embed(encoders: Encoders, samples: Samples) -> Embedded:
    """Encode the samples."""
    words = encoders.texts(samples) if samples.has_words else None
    return Embedded(images=encoders.images(samples), words=words, labels=samples.labels)


def neighbours(
    queries: NDArray[np.float32], catalogue: NDArray[np.float32], count: int, *, leave_out_self: bool
) -> NDArray[np.int64]:
    """Return the places of the `count` rows of `catalogue` nearest to each query, best first."""
    scores = queries.astype(np.float64) @ catalogue.astype(np.float64).T
    if leave_out_self:
        np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def overlap(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """Return the mean share of neighbours that both have."""
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return float(np.mean(shares))


def precision(found: NDArray[np.int64], labels: Sequence[str]) -> float:
    """Return the mean share of the found rows that have the query's label."""
    names = np.asarray(labels)
    return float((names[found] == names[:, None]).mean())


def check_retrieval(full: Embedded, lower: Embedded, report: BuildReport, precision_name: str, target: str) -> None:
    """Compare the answers of lower-precision encoders with those of the FP32 ones.

    Args:
        full: From the FP32 encoders.
        lower: From the others, of the same samples.
        report: Takes the figures.
        precision_name: "int8" or another, for messages.
        target: "embedded" or "tensorrt", for advice.

    Raises:
        PrecisionError: Too few photos to tell, or too much quality is lost.
    """
    name = precision_name.upper()
    if len(full.images) < LEAST_PHOTOS:
        raise PrecisionError(
            f"{name}: its quality is measured on at least {LEAST_PHOTOS} photos, got {len(full.images)}; give a "
            "folder with --photos"
        )
    checks = []
    for kind, left, right in (("photos", full.images, lower.images), ("words", full.words, lower.words)):
        if left is not None and right is not None:
            report.note_figure(
                f"{kind} against FP32, mean cosine", float((left * right).sum(axis=1).mean()), len(left)
            )
    labelled = len(set(full.labels)) > 1
    for direction, queries, lower_queries, alone in (
        ("photo to photos", full.images, lower.images, True),
        ("words to photos", full.words, lower.words, False),
    ):
        if queries is None or lower_queries is None:
            continue
        before = neighbours(queries, full.images, 10, leave_out_self=alone)
        after = neighbours(lower_queries, lower.images, 10, leave_out_self=alone)
        count = len(queries)
        checks.append(report.at_least(f"{direction}, overlap@10", overlap(before, after), OVERLAP_LIMIT, count))
        if labelled:
            loss = precision(before[:, :5], full.labels) - precision(after[:, :5], full.labels)
            what = f"{direction}, loss in precision@5"
            checks.append(report.at_most(what, loss, PRECISION_LOSS_LIMIT, count))
    failed = [check for check in checks if not check.passed]
    if failed:
        raise PrecisionError(
            f"{name} loses too much on {len(full.images)} photos: "
            + "; ".join(f"{check.name} is {check.value:.4f}, must be {check.limit}" for check in failed)
            + f"; {_ADVICE[target]}"
        )


def check_floor(embedded: Embedded, report: BuildReport, *, untrained: bool) -> None:
    """Hold encoders to finding more than chance would: a destroyed model loses nothing against itself.

    The floor lies `FLOOR_SHARE` of the way from chance to the best that labels allow.

    Args:
        embedded: From the encoders that are served.
        report: Takes the figures, which are there beside the losses of a lower precision.
        untrained: Record the figures and refuse nothing.

    Raises:
        PrecisionError: Photos or words find hardly more than chance would.
    """
    if len(embedded.images) < LEAST_PHOTOS:
        report.notes.append(f"what the encoders find is not judged on fewer than {LEAST_PHOTOS} photos")
        return
    judge = _labels_found if len(set(embedded.labels)) > 1 else _own_photos_found
    failed = []
    for name, value, chance, best in judge(embedded):
        if untrained:
            report.note_figure(name, value, len(embedded.images))
            continue
        floor = round(chance + FLOOR_SHARE * (best - chance), 3)
        check = report.at_least(name, value, floor, len(embedded.images))
        if not check.passed:
            failed.append(f"{check.name} is {value:.3f}, must be {check.limit} (chance gives {chance:.3f})")
    if failed:
        raise PrecisionError(
            f"the encoders tell too little apart on {len(embedded.images)} photos: {'; '.join(failed)}; the weights "
            "are damaged, not trained, or know nothing of such photos. To try out a model that knows nothing yet, "
            "build with --untrained"
        )


_Figure = tuple[str, float, float, float]
"""A figure's name, its value, what chance would give, and the best there can be."""


def _labels_found(embedded: Embedded) -> Iterator[_Figure]:
    """Yield precision@5: how many of the photos found have the query's label."""
    names = np.asarray(embedded.labels)
    alike = (names[:, None] == names[None, :]).sum(axis=1)
    for kind, queries, left_out in (("photo", embedded.images, 1), ("words", embedded.words, 0)):
        if queries is not None:
            found = neighbours(queries, embedded.images, 5, leave_out_self=bool(left_out))
            right = alike - left_out
            yield (
                f"{kind} to photos, precision@5",
                precision(found, embedded.labels),
                float(right.mean()) / (len(names) - left_out),
                float(np.minimum(right, 5).mean()) / 5,
            )


def _own_photos_found(embedded: Embedded) -> Iterator[_Figure]:
    """Yield how often words find their own photo among ten, where there are no labels."""
    if embedded.words is not None:
        found = neighbours(embedded.words, embedded.images, 10, leave_out_self=False)
        own = (found == np.arange(len(found))[:, None]).any(axis=1)
        yield "words to their own photo, recall@10", float(own.mean()), 10 / len(found), 1.0


def measure_scales(embedded: Embedded, defaults: SimilarityScales, report: BuildReport) -> SimilarityScales:
    """Measure how this encoder's cosines map to scores.

    An unrelated pair has two labels (or is any pair, without labels): its mean cosine is the background. A match is
    the best there can be: cosine 1 for a photo with the same photo and words with the same words, and for a photo
    with its own words what only `BEST_PAIRS` of such pairs exceed. With the mean of such pairs instead, common pairs
    of photo and words would score above the same words, and outrank them.

    Returns:
        Measured scales; the family's default for a pair that the samples cannot tell.
    """
    found = {
        "image_to_image": _scale_within(embedded.images, embedded.labels),
        "text_to_text": None if embedded.words is None else _scale_within(embedded.words, embedded.labels),
        "image_to_text": None if embedded.words is None else _scale_across(embedded),
    }
    found["text_to_image"] = found["image_to_text"]
    measured: dict[str, SimilarityScale] = {}
    for name, ends in found.items():
        if ends is None or ends[1] - ends[0] < LEAST_SPAN:
            measured[name] = getattr(defaults, name)
            told = "no words" if ends is None else f"background {ends[0]:.3f}, match {ends[1]:.3f}"
            report.notes.append(f"similarity scale {name}: the family's default, as the photos do not tell ({told})")
        else:
            measured[name] = SimilarityScale(background=round(ends[0], 4), match=round(ends[1], 4))
    report.facts["scales_measured_on"] = {"photos": len(embedded.images), "labels": len(set(embedded.labels))}
    return SimilarityScales(**measured)


def _scale_within(rows: NDArray[np.float32], labels: Sequence[str]) -> tuple[float, float] | None:
    if len(rows) < 2:
        return None
    scores = rows.astype(np.float64) @ rows.astype(np.float64).T
    return float(scores[_unrelated(labels)].mean()), 1.0


def _scale_across(embedded: Embedded) -> tuple[float, float] | None:
    if embedded.words is None or len(embedded.images) < 2:
        return None
    scores = embedded.words.astype(np.float64) @ embedded.images.astype(np.float64).T
    match = np.quantile(np.diag(scores), 1 - BEST_PAIRS)
    return float(scores[_unrelated(embedded.labels)].mean()), float(match)


def _unrelated(labels: Sequence[str]) -> NDArray[np.bool_]:
    names = np.asarray(labels)
    if len(set(labels)) < 2:
        return ~np.eye(len(names), dtype=bool)
    unrelated: NDArray[np.bool_] = names[:, None] != names[None, :]
    return unrelated
