"""What the labels say of each photo, as class numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .photos import CLOTHING, PhotoSet

HEAD_WEIGHTS = {"label": 1.0, "group": 0.4, "colour": 0.4}
NO_CLASS = -100
LABEL_BALANCE = 0.4
GARMENT_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Class numbers of a photo set; `NO_CLASS` where a photo has none.

    Attributes:
        classes: Head name to the names of its classes.
        numbers: Head name to [n] int64 class numbers.
    """

    classes: dict[str, tuple[str, ...]]
    numbers: dict[str, Tensor]

    @property
    def head_sizes(self) -> dict[str, int]:
        """Classes of each head that has any."""
        return {name: len(classes) for name, classes in self.classes.items() if classes}


def targets_of(photos: PhotoSet) -> Targets:
    """Number the labels, the groceries' groups, and the garments' colours.

    Args:
        photos: Decoded photos.

    Returns:
        The class numbers, with the classes in alphabetical order.
    """
    words = {
        "label": [photo.label for photo in photos.photos],
        "group": ["" if photo.category == CLOTHING else photo.group for photo in photos.photos],
        "colour": list(photos.colours),
    }
    classes = {name: tuple(sorted(set(values) - {""})) for name, values in words.items()}
    numbers = {}
    for name, values in words.items():
        index = {value: number for number, value in enumerate(classes[name])}
        numbers[name] = torch.tensor([index.get(value, NO_CLASS) for value in values])
    return Targets(classes=classes, numbers=numbers)


def balanced_draws(targets: Targets) -> Tensor:
    """Say how often to draw each photo, so that rare labels and garments come up more often than they are.

    Args:
        targets: Class numbers of the photo set.

    Returns:
        [n] float64 that sum to 1. Photos of a label share in proportion to the label's count to the power
        `1 - LABEL_BALANCE`; garments get `GARMENT_SHARE` of all draws when there are groceries too.
    """
    labels = targets.numbers["label"]
    draws = torch.bincount(labels).double()[labels] ** -LABEL_BALANCE
    garments = targets.numbers["colour"] != NO_CLASS
    if garments.any() and not garments.all():
        draws[garments] *= GARMENT_SHARE / draws[garments].sum()
        draws[~garments] *= (1 - GARMENT_SHARE) / draws[~garments].sum()
    return draws / draws.sum()


def label_loss(logits: dict[str, Tensor], targets: Targets, rows: Tensor, smoothing: float = 0.1) -> Tensor:
    """Add up the cross-entropies of all heads.

    Args:
        logits: Head name to [n, classes].
        targets: Class numbers of the whole photo set.
        rows: [n] the photos' rows in the set.
        smoothing: Share of probability spread over all classes.

    Returns:
        A scalar; a head none of whose photos has a class adds nothing.
    """
    total = logits["label"].new_zeros((), dtype=torch.float32)
    for name, values in logits.items():
        wanted = targets.numbers[name][rows].to(values.device)
        known = wanted != NO_CLASS
        if known.any():
            loss = functional.cross_entropy(
                values.float(), wanted, ignore_index=NO_CLASS, label_smoothing=smoothing, reduction="sum"
            )
            total = total + HEAD_WEIGHTS[name] * loss / len(rows)
    return total
