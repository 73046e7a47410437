"""The whole training: features of the towers as they come, the head alone, then head and tower together."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from .learning import Classifier, Lesson
from .losses import LossWeights
from .photos import Photo, centre_square, random_view
from .towers import MEAN, STD, pooled

BALANCE: Final = 0.5
"""A label of n photos is drawn n ** -BALANCE times as often a photo; rare kinds would be missed otherwise."""
WARM_UP: Final = 50
WEIGHT_DECAY: Final = 0.02

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long and how fast to train.

    Attributes:
        image_size: Side of the photos in pixels.
        visual_dim: Dimensions of the embedding that photos alone use, beside those of the words.
        head_epochs: Passes over stored features.
        tower_epochs: Passes over random views, head and tower together; 0 leaves the tower as it came.
        batch: Photos a step.
        head_rate: Peak learning rate of the head alone.
        tower_rate: Peak learning rate of head and tower together.
        first_block: The tower's blocks before it stay as they came.
        seed: Decides starting weights, order, views and texts.
        threads: Parts of a batch that are computed at once.
        weights: How much each part of the loss counts.
    """

    image_size: int = 192
    visual_dim: int = 128
    head_epochs: int = 12
    tower_epochs: int = 6
    batch: int = 96
    head_rate: float = 2e-3
    tower_rate: float = 1e-3
    first_block: int = 5
    seed: int = 1
    threads: int = 2
    weights: LossWeights = field(default_factory=LossWeights)


def fast_arithmetic() -> Any:
    """Return an autocast to bfloat16 where the processor multiplies it faster, else one that does nothing."""
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast, cache_enabled=False)


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn [n, H, W, 3] bytes into [n, 3, H, W] as EfficientNet-Lite takes them."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
    return ((values - MEAN) / STD).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def features_of(model: nn.Module, pictures: Iterator[Image.Image], image_size: int, batch: int = 32) -> Tensor:
    """Return the pooled features [n, f] of the centre squares of pictures."""
    rows: list[Tensor] = []
    waiting: list[NDArray[np.uint8]] = []

    def encode() -> None:
        with fast_arithmetic():
            rows.append(pooled(model, normalised(np.stack(waiting))))
        waiting.clear()

    for picture in pictures:
        waiting.append(centre_square(picture, image_size))
        if len(waiting) == batch:
            encode()
    if waiting:
        encode()
    return torch.cat(rows)


def opened(paths: Sequence[Path]) -> Iterator[Image.Image]:
    """Decode photos one by one."""
    for path in paths:
        with Image.open(path) as image:
            yield image.convert("RGB")


def new_head(features: int, dimensions: int, seed: int) -> nn.Linear:
    """Return a linear head without bias, as VisionTextDualEncoderModel has it."""
    torch.manual_seed(seed)
    head = nn.Linear(features, dimensions, bias=False)
    nn.init.normal_(head.weight, std=0.02)
    return head


def measured_classifier(weights: Tensor, biases: Tensor, known: Tensor) -> Classifier:
    """Set ImageNet's classifier beside the features of the photos at hand."""
    centre = known.mean(0)
    return Classifier(
        weights=weights, biases=biases, centre=centre, length=float((known - centre).norm(dim=1).mean())
    )


def train_head(head: nn.Module, lesson: Lesson, known: Tensor, labels: NDArray[np.int64], plan: TrainingPlan) -> None:
    """Train the head on stored features."""
    rng = np.random.default_rng(plan.seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=plan.head_rate, weight_decay=WEIGHT_DECAY)
    for step in _steps(optimizer, labels, plan.head_epochs, plan.batch, rng):
        features = known[torch.from_numpy(step.batch)]
        loss = lesson.loss(head, features, features, step.batch, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step.ends_epoch:
            _logger.info("head: epoch %s, loss %.3f", step.epoch + 1, float(loss.detach()))


def train_tower(
    model: Any,
    head: nn.Module,
    lesson: Lesson,
    known: Tensor,
    photos: Sequence[Photo],
    labels: NDArray[np.int64],
    plan: TrainingPlan,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> None:
    """Train the head and the tower's later blocks on random views.

    The batch is cut in `plan.threads` parts, each computed by one thread: threads inside operations wait for each
    other where other work shares the cores. Batch normalisation keeps ImageNet's statistics.
    """
    rng = np.random.default_rng(plan.seed + 1)
    data = [photo.path.read_bytes() for photo in photos]
    learned = _unfreeze(model, plan.first_block)
    optimizer = torch.optim.AdamW(
        [
            {"params": list(head.parameters()), "weight_decay": WEIGHT_DECAY},
            {"params": learned, "weight_decay": 0.0},
        ],
        lr=plan.tower_rate,
    )
    torch.set_num_threads(1)
    started = time.monotonic()
    with ThreadPoolExecutor(plan.threads) as pool:
        for step in _steps(optimizer, labels, plan.tower_epochs, plan.batch, rng):
            seeds = rng.integers(2**32, size=len(step.batch))
            parts = np.array_split(np.arange(len(step.batch)), plan.threads)

            def forward(part: NDArray[np.int64], batch: NDArray[np.int64] = step.batch, seeds: Any = seeds) -> Tensor:
                views = [
                    random_view(data[batch[row]], plan.image_size, np.random.default_rng(seeds[row])) for row in part
                ]
                return _tower_features(model, normalised(np.stack(views)), plan.first_block)

            outputs = list(pool.map(forward, parts))
            features = torch.cat([output.detach() for output in outputs]).requires_grad_()
            loss = lesson.loss(head, features, known[torch.from_numpy(step.batch)], step.batch, rng)
            optimizer.zero_grad()
            loss.backward()
            gradients = torch.split(features.grad, [len(part) for part in parts])  # type: ignore[arg-type]
            list(pool.map(torch.autograd.backward, outputs, gradients))
            optimizer.step()
            if step.number % 10 == 0:
                _logger.info(
                    "tower: epoch %s, step %s, loss %.3f, %.0f s",
                    step.epoch + 1,
                    step.number,
                    float(loss.detach()),
                    time.monotonic() - started,
                )
            if step.ends_epoch:
                after_epoch(step.epoch)
    model.requires_grad_(False)


def _tower_features(model: Any, pixels: Tensor, first_block: int) -> Tensor:
    with fast_arithmetic():
        with torch.no_grad():
            hidden = model.embeddings(pixels)
            for block in model.encoder.blocks[:first_block]:
                hidden = block(hidden)
        for block in model.encoder.blocks[first_block:]:
            hidden = block(hidden)
        top = model.encoder
        features: Tensor = top.top_activation(top.top_bn(top.top_conv(hidden))).float().mean((2, 3))
        return features


def _unfreeze(model: Any, first_block: int) -> list[nn.Parameter]:
    model.requires_grad_(False)
    parts = [*model.encoder.blocks[first_block:], model.encoder.top_conv, model.encoder.top_bn]
    learned = [parameter for part in parts for parameter in part.parameters()]
    for parameter in learned:
        parameter.requires_grad_(True)
    return learned


@dataclass(frozen=True, kw_only=True)
class _Step:
    number: int
    epoch: int
    batch: NDArray[np.int64]
    ends_epoch: bool


def _steps(
    optimizer: torch.optim.Optimizer, labels: NDArray[np.int64], epochs: int, batch: int, rng: np.random.Generator
) -> Iterator[_Step]:
    """Draw batches, rare labels more often, and set the rate: up for `WARM_UP` steps, then down along a cosine."""
    share = np.bincount(labels)[labels].astype(float) ** -BALANCE
    share /= share.sum()
    in_epoch = max(1, len(labels) // batch)
    total = epochs * in_epoch
    peaks = [group["lr"] for group in optimizer.param_groups]
    for number in range(total):
        factor = min(1.0, (number + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * number / total))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        drawn = rng.choice(len(labels), size=min(batch, len(labels)), p=share, replace=False)
        yield _Step(number=number, epoch=number // in_epoch, batch=drawn, ends_epoch=(number + 1) % in_epoch == 0)


def unit(rows: Tensor) -> Tensor:
    """Scale rows to length 1."""
    return functional.normalize(rows, dim=1)
