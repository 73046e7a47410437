"""The training loop that both stages share: seeded, resumable at every epoch, with an average of the weights."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from product_match.contract.errors import ConfigError

_logger = logging.getLogger(__name__)

LossOfRows = Callable[[Tensor, torch.Generator, float], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: Passes over the photos.
        batch: Photos in a step.
        peak_rate: Learning rate after the warm-up; it then falls along a cosine to nearly 0.
        warm_up: Epochs of linear warm-up.
        weight_decay: AdamW's decay of matrices; vectors do not decay.
        average_epochs: Time constant of the average of the weights, in epochs.
        shards: Equal parts of a batch whose gradients are taken side by side, one thread each, and then averaged.
            Coarse threads keep two busy cores useful where threads inside each operation would wait for each other.
    """

    epochs: int
    batch: int
    peak_rate: float
    warm_up: float = 3.0
    weight_decay: float = 0.05
    average_epochs: float = 2.0
    shards: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ConfigError(
                f"a schedule needs at least 1 epoch of batches of 2, got {self.epochs} and {self.batch}"
            )

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a moment.

        Args:
            epoch: Epochs done, with a fraction.

        Returns:
            The rate, 1% of the peak at the least once the warm-up is over.
        """
        if epoch < self.warm_up:
            return self.peak_rate * (epoch + 0.01) / (self.warm_up + 0.01)
        progress = min(1.0, (epoch - self.warm_up) / max(1e-9, self.epochs - self.warm_up))
        return self.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def pick_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return an autocast to bfloat16 where the device multiplies it faster, else one that does nothing.

    A processor counts when it has matrix units (AMX) or bfloat16 dot products (AVX512-BF16).

    Args:
        device: Where the model runs.
    """
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast, cache_enabled=False)


def train_epochs(
    model: nn.Module,
    loss_of: LossOfRows,
    count: int,
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Path | None = None,
    draws: Tensor | None = None,
) -> nn.Module:
    """Train a model and return the average of its weights.

    Every epoch draws its order and its views from the seed and its own number, so a run that is stopped and resumed
    gives the same weights as one that is not.

    Args:
        model: Trained in place.
        loss_of: Takes photo rows, a random source and the epoch; returns named losses, of which `total` is descended.
        count: Photos in the set.
        schedule: Length and learning rate.
        seed: Seed of all randomness.
        checkpoint: File that is written after every epoch, and read first when it is there.
        draws: [count] how often each photo is drawn, relative to the others; an epoch then draws `count` photos at
            random with repeats. Without it an epoch takes every photo once.

    Returns:
        A copy of the model with averaged weights, in evaluation mode.
    """
    average = copy.deepcopy(model).eval()
    optimizer = _optimizer(model, schedule)
    first = 0
    if checkpoint is not None and checkpoint.is_file():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
        _logger.info("resumed %s after epoch %s", checkpoint.name, first)
    with _threads_for(schedule.shards):
        for epoch in range(first, schedule.epochs):
            began = time.monotonic()
            random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            torch.manual_seed(seed * 1_000_003 + epoch)
            with ThreadPoolExecutor(schedule.shards) as threads:
                order = _order_of(count, draws, random)
                means = _one_epoch(model, average, optimizer, loss_of, order, schedule, epoch, random, threads)
            words = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            _logger.info("epoch %s of %s: %s, %.0f s", epoch + 1, schedule.epochs, words, time.monotonic() - began)
            if checkpoint is not None:
                _save(checkpoint, model, average, optimizer, epoch + 1)
    return average


@contextmanager
def _threads_for(shards: int) -> Iterator[None]:
    """Share torch's threads out among the shards of a batch, so that they do not wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // shards))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _order_of(count: int, draws: Tensor | None, random: torch.Generator) -> Tensor:
    if draws is None:
        return torch.randperm(count, generator=random)
    return torch.multinomial(draws, count, replacement=True, generator=random)


def _one_epoch(
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: LossOfRows,
    order: Tensor,
    schedule: Schedule,
    epoch: int,
    random: torch.Generator,
    threads: ThreadPoolExecutor,
) -> dict[str, float]:
    model.train()
    steps = max(1, len(order) // schedule.batch)
    decay = math.exp(-1.0 / (schedule.average_epochs * steps))
    sums: dict[str, float] = {}
    for step in range(steps):
        moment = epoch + step / steps
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(moment)
        rows = order[step * schedule.batch : (step + 1) * schedule.batch]
        optimizer.zero_grad(set_to_none=True)
        losses = _descend(model, loss_of, rows, random, moment, schedule.shards, threads)
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        _update_average(average, model, min(decay, (1 + epoch * steps + step) / (10 + epoch * steps + step)))
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss
    return {name: value / steps for name, value in sums.items()}


def _descend(
    model: nn.Module,
    loss_of: LossOfRows,
    rows: Tensor,
    random: torch.Generator,
    moment: float,
    shards: int,
    threads: ThreadPoolExecutor,
) -> dict[str, float]:
    """Leave the gradient of the batch's mean loss in the weights, and return the losses."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sources = [
        torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=random))) for _ in range(shards)
    ]

    def gradients_of(part: Tensor, source: torch.Generator) -> tuple[tuple[Tensor | None, ...], dict[str, float]]:
        losses = loss_of(part, source, moment)
        gradients = torch.autograd.grad(losses["total"], weights, allow_unused=True)
        return gradients, {name: float(loss.detach()) for name, loss in losses.items()}

    answers = list(threads.map(gradients_of, rows.chunk(shards), sources))
    for place, weight in enumerate(weights):
        parts = [gradients[place] for gradients, _ in answers]
        known = [part for part in parts if part is not None]
        if known:
            weight.grad = sum(known[1:], known[0]) / shards
    names = {name for _, losses in answers for name in losses}
    return {name: sum(losses.get(name, 0.0) for _, losses in answers) / shards for name in sorted(names)}


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim >= 2]
    vectors = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": schedule.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=schedule.peak_rate,
        betas=(0.9, 0.98),
    )


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    averaged = [weight for weight in average.state_dict().values() if weight.is_floating_point()]
    current = [weight for weight in model.state_dict().values() if weight.is_floating_point()]
    torch._foreach_lerp_(averaged, current, 1.0 - decay)


def _save(path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(
        {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
        },
        partial,
    )
    partial.replace(path)
