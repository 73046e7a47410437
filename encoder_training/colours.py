"""The colour of a garment, from the pixels of its photo.

Method: the photo is shrunk to 64 pixels, its pixels are clustered by CIELAB colour (k-means, 10 clusters, a fixed
start), and each cluster gets a weight: its share of the photo's centre, less what its share of the border lets
expect, for a background reaches the border and a garment lies in the middle. The clusters' named colours then vote
with those weights. A pixel colour is named after the nearest of the hand-chosen anchors below, in a
CIELAB whose lightness counts less than its hue and chroma; a dark photo is brightened first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 64
CLUSTERS: Final = 10
LIGHTNESS_WEIGHT: Final = 0.6

# sRGB anchors, as such colours come out in phone photos under indoor light.
ANCHORS: Final[tuple[tuple[str, tuple[int, int, int]], ...]] = (
    ("black", (15, 15, 18)),
    ("black", (35, 33, 36)),
    ("black", (48, 45, 46)),
    ("black", (44, 40, 36)),
    ("white", (250, 250, 250)),
    ("white", (222, 220, 220)),
    ("white", (200, 200, 204)),
    ("white", (228, 222, 212)),
    ("grey", (95, 95, 97)),
    ("grey", (125, 125, 128)),
    ("grey", (155, 155, 158)),
    ("grey", (120, 115, 112)),
    ("grey", (78, 78, 82)),
    ("beige", (215, 195, 165)),
    ("beige", (190, 168, 138)),
    ("beige", (165, 145, 118)),
    ("beige", (228, 208, 180)),
    ("brown", (95, 62, 42)),
    ("brown", (130, 88, 58)),
    ("brown", (70, 48, 36)),
    ("brown", (110, 84, 66)),
    ("red", (190, 25, 35)),
    ("red", (220, 45, 50)),
    ("red", (140, 20, 35)),
    ("red", (105, 22, 34)),
    ("red", (162, 52, 56)),
    ("orange", (235, 110, 40)),
    ("orange", (245, 140, 60)),
    ("orange", (240, 120, 90)),
    ("yellow", (240, 215, 60)),
    ("yellow", (225, 185, 40)),
    ("yellow", (245, 230, 130)),
    ("green", (40, 120, 60)),
    ("green", (95, 150, 80)),
    ("green", (75, 85, 50)),
    ("green", (110, 115, 75)),
    ("green", (30, 75, 50)),
    ("green", (150, 205, 150)),
    ("green", (160, 200, 60)),
    ("green", (55, 60, 42)),
    ("green", (66, 77, 64)),
    ("green", (40, 150, 110)),
    ("green", (28, 72, 64)),
    ("green", (190, 220, 180)),
    ("green", (205, 212, 150)),
    ("green", (88, 100, 84)),
    ("blue", (40, 90, 180)),
    ("blue", (70, 130, 200)),
    ("blue", (130, 170, 215)),
    ("blue", (90, 120, 160)),
    ("blue", (40, 160, 190)),
    ("blue", (110, 200, 210)),
    ("blue", (120, 140, 175)),
    ("blue", (30, 140, 150)),
    ("blue", (65, 90, 130)),
    ("blue", (165, 190, 215)),
    ("blue", (95, 108, 128)),
    ("blue", (150, 163, 192)),
    ("blue", (70, 84, 104)),
    ("navy", (25, 32, 70)),
    ("navy", (38, 45, 75)),
    ("navy", (20, 25, 50)),
    ("navy", (45, 55, 85)),
    ("navy", (36, 42, 60)),
    ("navy", (26, 29, 44)),
    ("navy", (50, 57, 76)),
    ("purple", (95, 50, 130)),
    ("purple", (130, 90, 165)),
    ("purple", (170, 140, 200)),
    ("purple", (85, 35, 80)),
    ("purple", (100, 85, 130)),
    ("purple", (135, 120, 160)),
    ("purple", (182, 165, 186)),
    ("purple", (68, 38, 62)),
    ("pink", (235, 130, 165)),
    ("pink", (225, 50, 120)),
    ("pink", (240, 180, 190)),
    ("pink", (200, 120, 130)),
    ("pink", (215, 40, 95)),
    ("pink", (222, 30, 82)),
)


def lab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert sRGB to CIELAB under D65.

    Args:
        rgb: Pixels [..., 3], uint8.

    Returns:
        [..., 3] float64: lightness 0..100, a and b about -128..127.

    Source: IEC 61966-2-1 for sRGB, CIE 15 for CIELAB.
    """
    value = rgb.astype(np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * root[..., 1] - 16, 500 * (root[..., 0] - root[..., 1]), 200 * (root[..., 1] - root[..., 2])], axis=-1
    )


def colour_votes(image: NDArray[np.uint8]) -> dict[str, float]:
    """Weigh the named colours of the garment in the middle of a photo.

    Args:
        image: RGB pixels [64, 64, 3], uint8 (the whole photo, squeezed to a square).

    Returns:
        Colour name to share; the shares add up to 1, the largest first.
    """
    pixels = lab_of(_evenly_lit(image)).reshape(-1, 3)
    centres, member = _cluster(pixels * [LIGHTNESS_WEIGHT, 1.0, 1.0])
    weights = _cluster_weights(member)
    names = [_nearest_name(centre) for centre in centres]
    votes: dict[str, float] = {}
    for name, weight in zip(names, weights, strict=True):
        votes[name] = votes.get(name, 0.0) + float(weight)
    return dict(sorted(votes.items(), key=lambda vote: -vote[1]))


def garment_colour(image: NDArray[np.uint8]) -> str:
    """Name the main colour of the garment in a photo.

    Args:
        image: RGB pixels [64, 64, 3], uint8.

    Returns:
        One of the names in `ANCHORS`.
    """
    return next(iter(colour_votes(image)))


def _evenly_lit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brighten a dark photo until its brightest pixels are light, by at most a quarter."""
    bright = float(np.percentile(image.max(axis=2), 97))
    gain = min(1.25, max(1.0, 225.0 / max(bright, 1.0)))
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def _cluster(points: NDArray[np.float64], rounds: int = 12) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    # Farthest-point start: deterministic, and it finds small vivid areas that a random start misses.
    chosen = [points[len(points) // 2 + SIDE // 2]]
    distance = np.full(len(points), np.inf)
    for _ in range(CLUSTERS - 1):
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
        chosen.append(points[int(distance.argmax())])
    centres = np.array(chosen)
    for _ in range(rounds):
        square = (centres**2).sum(axis=1)[None] - 2 * points @ centres.T
        member = square.argmin(axis=1)
        for cluster in range(CLUSTERS):
            inside = member == cluster
            if inside.any():
                centres[cluster] = points[inside].mean(axis=0)
    return centres, member


def _cluster_weights(member: NDArray[np.int64]) -> NDArray[np.float64]:
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    down, across = np.meshgrid(axis, axis, indexing="ij")
    middle = np.exp(-((down / 0.55) ** 2 + (across / 0.42) ** 2)).ravel()
    edge = (np.maximum(np.abs(down) * 0.97, np.abs(across)) > 0.88).astype(np.float64).ravel()
    in_middle = np.bincount(member, weights=middle / middle.sum(), minlength=CLUSTERS)
    on_edge = np.bincount(member, weights=edge / edge.sum(), minlength=CLUSTERS)
    weights = np.maximum(in_middle - on_edge, 0.0) * in_middle / (in_middle + on_edge + 1e-9)
    if weights.sum() <= 0.02:  # one colour from edge to edge: the garment fills the photo
        weights = in_middle
    return weights / weights.sum()


def _nearest_name(centre: NDArray[np.float64]) -> str:
    distance = ((_ANCHOR_POINTS - centre) ** 2).sum(axis=1)
    return ANCHORS[int(distance.argmin())][0]


_ANCHOR_POINTS: Final = lab_of(np.array([rgb for _, rgb in ANCHORS], dtype=np.uint8)) * [LIGHTNESS_WEIGHT, 1.0, 1.0]
