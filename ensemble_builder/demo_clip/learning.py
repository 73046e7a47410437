"""Stage two: train the CLIP on labels, captions, and what a teacher sees if there is one."""

from __future__ import annotations

import random as python_random
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

from .augmentation import ViewOptions, mixed_views, random_views, recoloured
from .captions import caption_for, colour_prompt, label_prompt
from .loop import Schedule, mixed_precision, pick_device, train_epochs
from .losses import distillation_loss, feature_loss, image_image_loss, image_text_loss
from .photos import GROCERIES, PhotoSet
from .student import Student, token_ids
from .targets import NO_CLASS, Targets, balanced_draws
from .teacher import Teacher

STUDENT_SCHEDULE = Schedule(
    epochs=44, batch=64, peak_rate=1e-3, warm_up=3.0, weight_decay=0.06, average_epochs=1.5, shards=2
)
# For a CLIP that has learned before and goes on without a teacher.
CONTINUED_SCHEDULE = Schedule(
    epochs=36, batch=64, peak_rate=4e-4, warm_up=0.5, weight_decay=0.06, average_epochs=1.5, shards=2
)
SECOND_VIEW_SHARE = 0.25
# Half of the patches are left out until this share of the epochs, then a quarter, and none at the very end.
HALF_UNTIL, QUARTER_UNTIL = 0.8, 0.92


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Everything that stage two learns from.

    Attributes:
        photos: The training photos.
        targets: Their class numbers.
        tokenizer: Makes token ids of captions.
        teacher: The trained teacher, in evaluation mode; None to learn from labels and captions alone.
    """

    photos: PhotoSet
    targets: Targets
    tokenizer: Tokenizer
    teacher: Teacher | None


@dataclass(frozen=True, kw_only=True)
class Emphasis:
    """What the losses and the views stress.

    Attributes:
        views: Strength of the random views.
        mixed_share: Share of batches whose views are mixed with each other.
        label_weight: Weight of the label prompts' loss.
        colour_weight: Weight of the colour prompts' loss.
        caption_weight: Weight of the captions' loss.
        image_weight: Weight of the image-image loss.
        view_share: Share of the image-image loss that tells photos apart; the rest brings labels together.
        neighbours: Whether every second grocery of a batch is the next photo of the shelf, the hardest to tell apart.
        recoloured_share: Share of the garments among mixed views that lose or exchange their colours.
    """

    views: ViewOptions = field(default_factory=ViewOptions)
    mixed_share: float = 0.5
    label_weight: float = 0.6
    colour_weight: float = 0.15
    caption_weight: float = 1.0
    image_weight: float = 1.0
    view_share: float = 0.3
    neighbours: bool = False
    recoloured_share: float = 0.0


TAUGHT = Emphasis()
UNTAUGHT = Emphasis(
    views=ViewOptions(smallest_area=0.4, erase=0.25),
    mixed_share=0.4,
    label_weight=1.0,
    colour_weight=0.1,
    caption_weight=0.6,
    image_weight=1.5,
    view_share=0.4,
    neighbours=True,
    recoloured_share=0.35,
)


def train_student(
    clip: CLIPModel, lesson: Lesson, *, seed: int, checkpoint: Path | None, schedule: Schedule = STUDENT_SCHEDULE
) -> CLIPModel:
    """Train the CLIP.

    Args:
        clip: The model with its starting weights; trained in place.
        lesson: Photos, targets, tokenizer and teacher.
        seed: Seed of order, views and captions.
        checkpoint: File to resume from and to write after each epoch.
        schedule: Length and learning rate.

    Returns:
        The CLIP with averaged weights, in evaluation mode.
    """
    device = pick_device()
    torch.manual_seed(seed)
    if device.type == "cpu":
        # torch's fused attention is slow backwards on short sequences: a step takes 1.7 times as long with it.
        clip.set_attn_implementation("eager")
    teacher = lesson.teacher
    student = Student(clip, None if teacher is None else teacher.width).to(device)
    step = _Step(student, lesson, device, schedule)
    draws = balanced_draws(lesson.targets) if teacher is None else None
    average = train_epochs(student, step, len(lesson.photos), schedule, seed=seed, checkpoint=checkpoint, draws=draws)
    assert isinstance(average, Student)
    return average.clip


class _Step:
    """The losses of one batch."""

    def __init__(self, student: Student, lesson: Lesson, device: torch.device, schedule: Schedule) -> None:
        self._student, self._lesson, self._device, self._schedule = student, lesson, device, schedule
        self._teacher = None if lesson.teacher is None else lesson.teacher.to(device).eval()
        self._emphasis = UNTAUGHT if lesson.teacher is None else TAUGHT
        self._pixels = torch.from_numpy(lesson.photos.pixels)
        self._aspects = torch.from_numpy(lesson.photos.aspects)
        self._side = student.clip.config.vision_config.image_size

    def __call__(self, rows: Tensor, random: torch.Generator, epoch: float) -> dict[str, Tensor]:
        choice = python_random.Random(int(torch.randint(2**40, (1,), generator=random)))
        progress = epoch / self._schedule.epochs
        keep = 0.5 if progress < HALF_UNTIL else 0.75 if progress < QUARTER_UNTIL else 1.0
        if choice.random() < (self._emphasis.mixed_share if progress < 0.9 else 0.2):
            return self._mixed_losses(rows, random, choice, keep)
        return self._plain_losses(rows, random, choice, keep)

    def _views(self, rows: Tensor, random: torch.Generator) -> Tensor:
        return random_views(
            self._pixels[rows].to(self._device), self._aspects[rows], self._side, self._emphasis.views, random
        )

    def _prompts(self, choice: python_random.Random) -> list[str]:
        classes = self._lesson.targets.classes
        labels = [label_prompt(label, choice) for label in classes["label"]]
        return labels + [colour_prompt(colour, choice) for colour in classes["colour"]]

    def _tokens(self, texts: list[str]) -> Tensor:
        return token_ids(self._lesson.tokenizer, texts).to(self._device)

    @torch.no_grad()
    def _taught(self, views: Tensor) -> tuple[Tensor, Tensor] | None:
        if self._teacher is None:
            return None
        with mixed_precision(self._device):
            features = self._teacher.features(views)
            return features, self._teacher.heads["label"](features)

    def _prompt_losses(
        self,
        images: Tensor,
        prompts: Tensor,
        taught: tuple[Tensor, Tensor] | None,
        rows: Tensor,
        kept: float,
        partners: Tensor | None,
    ) -> dict[str, Tensor]:
        targets = self._lesson.targets
        count = len(targets.classes["label"])
        label_logits = self._student.label_scale.clamp(max=3.7).exp() * images @ prompts[:count].T
        colour_logits = self._student.colour_scale.clamp(max=3.4).exp() * images @ prompts[count:].T
        losses = {} if taught is None else {"taught": distillation_loss(label_logits, taught[1])}
        garments = targets.numbers["colour"][rows] != NO_CLASS
        if partners is None:
            wanted = targets.numbers["label"][rows].to(self._device)
            losses["label"] = functional.cross_entropy(label_logits, wanted, label_smoothing=0.1)
            if garments.any():
                named = targets.numbers["colour"][rows][garments].to(self._device)
                losses["colour"] = (
                    functional.cross_entropy(colour_logits[garments], named, label_smoothing=0.1)
                    * garments.float().mean()
                )
        else:
            for share, who in ((kept, rows), (1 - kept, rows[partners])):
                wanted = targets.numbers["label"][who].to(self._device)
                loss = share * functional.cross_entropy(label_logits, wanted, label_smoothing=0.1)
                losses["label"] = losses["label"] + loss if "label" in losses else loss
        return losses

    def _teaching(
        self, pooled: Tensor, taught: tuple[Tensor, Tensor] | None, losses: dict[str, Tensor]
    ) -> Tensor | float:
        if taught is None:
            return 0.0
        with mixed_precision(self._device):
            guessed = self._student.feature_head(pooled)
        losses["features"] = feature_loss(guessed, taught[0])
        return losses["taught"] + losses["features"]

    def _beside_neighbours(self, rows: Tensor) -> Tensor:
        """Put groceries first, and replace every second one by the photo after the one before it."""
        photos = self._lesson.photos.photos
        rows = torch.tensor(sorted(rows.tolist(), key=lambda row: photos[row].area != GROCERIES))
        for place in range(1, len(rows), 2):
            before, following = int(rows[place - 1]), int(rows[place - 1]) + 1
            if photos[int(rows[place])].area != GROCERIES:
                break
            if following < len(photos) and photos[following].label == photos[before].label:
                rows[place] = following
        return rows

    def _mixed_losses(
        self, rows: Tensor, random: torch.Generator, choice: python_random.Random, keep: float
    ) -> dict[str, Tensor]:
        views = self._views(rows, random)
        if self._emphasis.recoloured_share > 0.0:
            garments = self._lesson.targets.numbers["colour"][rows] != NO_CLASS
            drawn = torch.rand(len(rows), generator=random) < self._emphasis.recoloured_share
            views = recoloured(views, garments & drawn, random)
        mixed = mixed_views(views, random, share=1.0)
        taught = self._taught(mixed.views)
        with mixed_precision(self._device):
            pooled = self._student.pooled(mixed.views, keep, random)
            images = self._student.image_rows(pooled)
            prompts = self._student.text_rows(self._tokens(self._prompts(choice)))
        losses = self._prompt_losses(images.float(), prompts.float(), taught, rows, mixed.kept, mixed.partners)
        losses["total"] = self._emphasis.label_weight * losses["label"] + self._teaching(pooled, taught, losses)
        return losses

    def _plain_losses(
        self, rows: Tensor, random: torch.Generator, choice: python_random.Random, keep: float
    ) -> dict[str, Tensor]:
        rows = self._beside_neighbours(rows) if self._emphasis.neighbours else rows
        rows = torch.cat([rows, rows[: int(SECOND_VIEW_SHARE * len(rows))]])
        views = self._views(rows, random)
        taught = self._taught(views)
        photos, colours = self._lesson.photos.photos, self._lesson.photos.colours
        captions = [caption_for(photos[row], colours[row], choice) for row in rows.tolist()]
        texts = [caption.text for caption in captions] + self._prompts(choice)
        with mixed_precision(self._device):
            pooled = self._student.pooled(views, keep, random)
            images = self._student.image_rows(pooled)
            words = self._student.text_rows(self._tokens(texts))
        images, words = images.float(), words.float()
        losses = self._prompt_losses(images, words[len(captions) :], taught, rows, 1.0, None)
        positives = torch.tensor(
            [[caption.true_of(photos[row], colours[row]) for caption in captions] for row in rows.tolist()],
            device=self._device,
        )
        scale = self._student.clip.logit_scale.clamp(max=3.4).exp()
        losses["captions"] = image_text_loss(images, words[: len(captions)], positives, scale)
        labels = self._lesson.targets.numbers["label"][rows].to(self._device)
        same_photo = (rows[:, None] == rows[None]).to(self._device)
        losses["images"] = image_image_loss(
            images, same_photo, labels[:, None] == labels[None], view_share=self._emphasis.view_share
        )
        losses["total"] = (
            self._teaching(pooled, taught, losses)
            + self._emphasis.label_weight * losses["label"]
            + self._emphasis.colour_weight * losses.get("colour", 0.0)
            + self._emphasis.caption_weight * losses["captions"]
            + self._emphasis.image_weight * losses["images"]
        )
        return losses
