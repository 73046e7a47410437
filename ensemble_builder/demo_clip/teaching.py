"""Stage one: train the convolutional teacher on the labels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .augmentation import ViewOptions, mixed_views, random_views
from .loop import Schedule, mixed_precision, pick_device, train_epochs
from .model import IMAGE_SIZE
from .photos import PhotoSet
from .targets import Targets, label_loss
from .teacher import Teacher

TEACHER_SCHEDULE = Schedule(epochs=28, batch=64, peak_rate=1.5e-3, warm_up=3.0, weight_decay=0.08)


def train_teacher(
    photos: PhotoSet, targets: Targets, *, seed: int, checkpoint: Path | None, schedule: Schedule = TEACHER_SCHEDULE
) -> Teacher:
    """Train the teacher on labels, groups and colours, with crops, recolouring and mixtures.

    Args:
        photos: The training photos.
        targets: Their class numbers.
        seed: Seed of weights, order and views.
        checkpoint: File to resume from and to write after each epoch.
        schedule: Length and learning rate.

    Returns:
        The teacher with averaged weights, in evaluation mode.
    """
    device = pick_device()
    torch.manual_seed(seed)
    teacher = Teacher(targets.head_sizes).to(device).to(memory_format=torch.channels_last)
    pixels, aspects = torch.from_numpy(photos.pixels), torch.from_numpy(photos.aspects)
    options = ViewOptions()

    def loss_of(rows: Tensor, random: torch.Generator, epoch: float) -> dict[str, Tensor]:
        views = random_views(pixels[rows].to(device), aspects[rows], IMAGE_SIZE, options, random)
        mixed = mixed_views(views, random, share=0.6 if epoch < 0.85 * schedule.epochs else 0.0)
        with mixed_precision(device):
            logits = teacher(mixed.views)
        loss = mixed.kept * label_loss(logits, targets, rows)
        if mixed.kept < 1.0:
            loss = loss + (1.0 - mixed.kept) * label_loss(logits, targets, rows[mixed.partners])
        return {"total": loss}

    average = train_epochs(teacher, loss_of, len(photos), schedule, seed=seed, checkpoint=checkpoint)
    assert isinstance(average, Teacher)
    return average
