"""What a training step asks of the embeddings of one batch of photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each part counts; a part of weight 0 is left out.

    Attributes:
        label: A photo's own label among all labels, and back.
        group: The same for the wider kind.
        colour: A photo's colour among all colours of its kind.
        alike: Photos of one label near each other (supervised contrastive, arXiv 2004.11362).
        classes: ImageNet's classes, by the classifier's own weights, beside their names.
        beliefs: What the classifier sees in a photo, in words.
        relations: Photos stand to each other as they do for the tower as it came.
        clicks: A photo beside the words that it was chosen for.
    """

    label: float = 1.0
    group: float = 0.5
    colour: float = 0.3
    alike: float = 1.0
    classes: float = 0.5
    beliefs: float = 0.3
    relations: float = 0.3
    clicks: float = 0.5


def among(images: Tensor, texts: Tensor, right: Tensor, scale: float) -> Tensor:
    """Cross entropy of each photo's right text among all texts.

    Args:
        images: [n, d].
        texts: [t, d], length 1.
        right: [n] number of the right text.
        scale: What cosines are multiplied by.
    """
    return functional.cross_entropy(scale * images @ texts.T, right)


def matched(left: Tensor, right: Tensor, same: Tensor, scale: float) -> Tensor:
    """Cross entropy of every match of each left row among the right rows; rows without a match are left out.

    Args:
        left: [n, d].
        right: [m, d].
        same: [n, m] True where they match.
        scale: What cosines are multiplied by.
    """
    return _spread(scale * left @ right.T, same)


def alike(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss among the photos of a batch."""
    same = (labels[:, None] == labels[None, :]) & ~_diagonal(len(labels))
    return _spread(_without_self(embeddings @ embeddings.T / temperature), same)


def relations(embeddings: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Divergence of the neighbours that photos have from those that they have by `teacher`, both of length 1."""
    wanted = functional.softmax(_without_self(teacher @ teacher.T / temperature), dim=1)
    found = functional.log_softmax(_without_self(embeddings @ embeddings.T / temperature), dim=1)
    return functional.kl_div(found, wanted, reduction="batchmean")


def beliefs(images: Tensor, texts: Tensor, wanted: Tensor, scale: float) -> Tensor:
    """Divergence of a photo's cosines with the classes' names from the classifier's beliefs `wanted` [n, t]."""
    return functional.kl_div(functional.log_softmax(scale * images @ texts.T, dim=1), wanted, reduction="batchmean")


def _diagonal(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.bool)


def _without_self(scores: Tensor) -> Tensor:
    return scores.masked_fill(_diagonal(len(scores)), -1e4)


def _spread(scores: Tensor, same: Tensor) -> Tensor:
    asked = same.any(dim=1)
    if not bool(asked.any()):
        return scores.new_zeros(())
    shares = functional.log_softmax(scores[asked], dim=1)
    right = same[asked].to(shares.dtype)
    return -((shares * right).sum(1) / right.sum(1)).mean()
