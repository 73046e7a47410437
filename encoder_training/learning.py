"""The loss of a batch: which texts and photos it sets beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from . import losses
from .losses import LossWeights
from .photos import Photo
from .prompts import Words, class_names, coloured, names_of
from .words import COLOUR_NAMES

SCALE = 20.0
"""What cosines of photos and words are multiplied by; the cosines of MiniLM's short texts spread over about 0.6."""
SHARPER = 1.5
"""Among ImageNet's thousand classes."""
COLOUR_SHARPER = 2.0
"""Among the colours of one garment, whose texts are near each other."""
TEMPERATURE = 0.1
CLASSES_A_STEP = 256
BLUR = 0.4
"""How much of a real photo's features goes into a class's imagined ones."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Numbers for what is known of the photos.

    Attributes:
        labels: Names of the labels, by number.
        groups: Names of the wider kinds.
        label: [n] number of each photo's label.
        group: [n] number of each photo's wider kind.
        colour: [n] number of each photo's colour, -1 without.
        clicked: For each photo the words that it was chosen for.
    """

    labels: tuple[str, ...]
    groups: tuple[str, ...]
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    colour: NDArray[np.int64]
    clicked: Sequence[Sequence[str]] = field(default_factory=tuple)


def facts_of(photos: Sequence[Photo], clicked: Sequence[Sequence[str]] = ()) -> Facts:
    """Number what is known of the photos."""
    labels = tuple(sorted({photo.label for photo in photos}))
    groups = tuple(sorted({photo.group for photo in photos}))
    colours = tuple(COLOUR_NAMES)
    return Facts(
        labels=labels,
        groups=groups,
        label=np.array([labels.index(photo.label) for photo in photos]),
        group=np.array([groups.index(photo.group) for photo in photos]),
        colour=np.array([colours.index(photo.colour) if photo.colour in colours else -1 for photo in photos]),
        clicked=clicked,
    )


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """ImageNet's classifier, which says what the image tower knows.

    Attributes:
        weights: [1000, f].
        biases: [1000].
        centre: [f] mean of the features of the photos at hand.
        length: Mean distance of the features from the centre.
    """

    weights: Tensor
    biases: Tensor
    centre: Tensor
    length: float

    def beliefs(self, features: Tensor) -> Tensor:
        """Return the probabilities [n, 1000] of the classes."""
        return functional.softmax(features @ self.weights.T + self.biases, dim=1)

    def imagined(self, numbers: Tensor, features: Tensor) -> Tensor:
        """Return features that photos of some classes could have: from the centre towards a class's weights."""
        towards = functional.normalize(self.weights[numbers] - self.weights.mean(0), dim=1)
        return self.centre + self.length * towards + BLUR * (features - self.centre)


class Lesson:
    """The loss, with all that stays the same from batch to batch."""

    def __init__(
        self, facts: Facts, words: Words, word_dim: int, classifier: Classifier, weights: LossWeights
    ) -> None:
        self._facts = facts
        self._words = words
        self._dim = word_dim
        self._classifier = classifier
        self._weights = weights
        self._classes = class_names()
        self._class_rows = words([names[0] for names in self._classes])

    def loss(
        self, head: nn.Module, features: Tensor, known: Tensor, batch: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        """Add up the parts.

        Args:
            head: Features to embeddings of any length.
            features: [n, f] of random views.
            known: [n, f] of the same photos by the tower as it came.
            batch: [n] numbers of the photos.
            rng: Source of all randomness.
        """
        weights, facts = self._weights, self._facts
        embeddings = functional.normalize(head(features), dim=1)
        images = embeddings[:, : self._dim]
        total = images.new_zeros(())
        if weights.label:
            total = total + weights.label * self._named(images, facts.labels, facts.label[batch], rng)
        if weights.group and len(facts.groups) > 1:
            total = total + weights.group * self._named(images, facts.groups, facts.group[batch], rng)
        if weights.colour:
            total = total + weights.colour * self._coloured(images, batch, rng)
        if weights.alike:
            labels = torch.from_numpy(facts.label[batch])
            total = total + weights.alike * losses.alike(embeddings, labels, TEMPERATURE)
        if weights.relations:
            seen = functional.normalize(known - self._classifier.centre, dim=1)
            total = total + weights.relations * losses.relations(embeddings, seen, TEMPERATURE)
        if weights.classes:
            total = total + weights.classes * self._imagined(head, known, rng)
        if weights.beliefs:
            wanted = self._classifier.beliefs(known)
            total = total + weights.beliefs * losses.beliefs(images, self._class_rows, wanted, SCALE * SHARPER)
        if weights.clicks and facts.clicked:
            total = total + weights.clicks * self._clicked(images, batch, rng)
        return total

    def _named(
        self, images: Tensor, names: Sequence[str], right: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        texts = self._words([_one_of(names_of(name), rng) for name in names])
        numbers = torch.from_numpy(right)
        same = torch.arange(len(names))[:, None] == numbers[None, :]
        back = losses.matched(texts, images, same, SCALE)
        return losses.among(images, texts, numbers, SCALE) + 0.5 * back

    def _coloured(self, images: Tensor, batch: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        facts = self._facts
        rows = np.flatnonzero(facts.colour[batch] >= 0)
        if not len(rows):
            return images.new_zeros(())
        names = [_one_of(coloured(facts.labels[facts.label[batch[row]]]), rng) for row in rows]
        texts = self._words([f"{colour} {name}" for name in names for colour in COLOUR_NAMES])
        texts = texts.view(len(rows), len(COLOUR_NAMES), -1)
        scores = COLOUR_SHARPER * SCALE * (texts * images[rows][:, None]).sum(-1)
        return functional.cross_entropy(scores, torch.from_numpy(facts.colour[batch[rows]]))

    def _imagined(self, head: nn.Module, known: Tensor, rng: np.random.Generator) -> Tensor:
        numbers = torch.from_numpy(rng.choice(len(self._classes), CLASSES_A_STEP, replace=False))
        drawn = torch.from_numpy(rng.integers(len(known), size=CLASSES_A_STEP))
        features = self._classifier.imagined(numbers, known[drawn])
        images = functional.normalize(head(features), dim=1)
        texts = self._words([_one_of(self._classes[number], rng) for number in numbers.tolist()])
        own = torch.arange(CLASSES_A_STEP)
        scores = SCALE * SHARPER * images[:, : self._dim] @ texts.T
        return 0.5 * (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own))

    def _clicked(self, images: Tensor, batch: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        rows = [row for row, number in enumerate(batch) if self._facts.clicked[number]]
        if len(rows) < 2:
            return images.new_zeros(())
        chosen = [_one_of(self._facts.clicked[batch[row]], rng) for row in rows]
        texts = self._words(chosen)
        same = torch.tensor([[left == right for right in chosen] for left in chosen])
        return 0.5 * (
            losses.matched(texts, images[rows], same, SCALE) + losses.matched(images[rows], texts, same, SCALE)
        )


def _one_of(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
