"""Stage two: train the CLIP on labels, captions, and what the teacher sees."""

from __future__ import annotations

import random as python_random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

from .augmentation import ViewOptions, mixed_views, random_views
from .captions import caption_for, colour_prompt, label_prompt
from .loop import Schedule, mixed_precision, pick_device, train_epochs
from .losses import distillation_loss, feature_loss, image_image_loss, image_text_loss
from .photos import PhotoSet
from .student import Student, token_ids
from .targets import NO_CLASS, Targets
from .teacher import Teacher

STUDENT_SCHEDULE = Schedule(
    epochs=44, batch=64, peak_rate=1e-3, warm_up=3.0, weight_decay=0.06, average_epochs=1.5, shards=2
)
SECOND_VIEW_SHARE = 0.25
MIXED_SHARE = 0.5
# Half of the patches are left out until this share of the epochs, then a quarter, and none at the very end.
HALF_UNTIL, QUARTER_UNTIL = 0.8, 0.92


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Everything that stage two learns from.

    Attributes:
        photos: The training photos.
        targets: Their class numbers.
        tokenizer: Makes token ids of captions.
        teacher: The trained teacher, in evaluation mode.
    """

    photos: PhotoSet
    targets: Targets
    tokenizer: Tokenizer
    teacher: Teacher


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
    width = next(iter(lesson.teacher.heads.values())).in_features
    if device.type == "cpu":
        # torch's fused attention is slow backwards on short sequences: a step takes 1.7 times as long with it.
        clip.set_attn_implementation("eager")
    student = Student(clip, int(width)).to(device)
    step = _Step(student, lesson, device, schedule)
    average = train_epochs(student, step, len(lesson.photos), schedule, seed=seed, checkpoint=checkpoint)
    assert isinstance(average, Student)
    return average.clip


class _Step:
    """The losses of one batch."""

    def __init__(self, student: Student, lesson: Lesson, device: torch.device, schedule: Schedule) -> None:
        self._student, self._lesson, self._device, self._schedule = student, lesson, device, schedule
        self._teacher = lesson.teacher.to(device).eval()
        self._pixels = torch.from_numpy(lesson.photos.pixels)
        self._aspects = torch.from_numpy(lesson.photos.aspects)
        self._side = student.clip.config.vision_config.image_size
        self._options = ViewOptions()

    def __call__(self, rows: Tensor, random: torch.Generator, epoch: float) -> dict[str, Tensor]:
        choice = python_random.Random(int(torch.randint(2**40, (1,), generator=random)))
        progress = epoch / self._schedule.epochs
        keep = 0.5 if progress < HALF_UNTIL else 0.75 if progress < QUARTER_UNTIL else 1.0
        if choice.random() < (MIXED_SHARE if progress < 0.9 else 0.2):
            return self._mixed_losses(rows, random, choice, keep)
        return self._plain_losses(rows, random, choice, keep)

    def _views(self, rows: Tensor, random: torch.Generator) -> Tensor:
        return random_views(
            self._pixels[rows].to(self._device), self._aspects[rows], self._side, self._options, random
        )

    def _prompts(self, choice: python_random.Random) -> list[str]:
        classes = self._lesson.targets.classes
        labels = [label_prompt(label, choice) for label in classes["label"]]
        return labels + [colour_prompt(colour, choice) for colour in classes["colour"]]

    def _tokens(self, texts: list[str]) -> Tensor:
        return token_ids(self._lesson.tokenizer, texts).to(self._device)

    @torch.no_grad()
    def _taught(self, views: Tensor) -> tuple[Tensor, Tensor]:
        with mixed_precision(self._device):
            features = self._teacher.features(views)
            return features, self._teacher.heads["label"](features)

    def _prompt_losses(
        self,
        images: Tensor,
        prompts: Tensor,
        taught: tuple[Tensor, Tensor],
        rows: Tensor,
        kept: float,
        partners: Tensor | None,
    ) -> dict[str, Tensor]:
        targets = self._lesson.targets
        count = len(targets.classes["label"])
        label_logits = self._student.label_scale.clamp(max=3.7).exp() * images @ prompts[:count].T
        colour_logits = self._student.colour_scale.clamp(max=3.4).exp() * images @ prompts[count:].T
        losses = {"taught": distillation_loss(label_logits, taught[1])}
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

    def _mixed_losses(
        self, rows: Tensor, random: torch.Generator, choice: python_random.Random, keep: float
    ) -> dict[str, Tensor]:
        mixed = mixed_views(self._views(rows, random), random, share=1.0)
        taught = self._taught(mixed.views)
        with mixed_precision(self._device):
            pooled = self._student.pooled(mixed.views, keep, random)
            guessed = self._student.feature_head(pooled)
            images = self._student.image_rows(pooled)
            prompts = self._student.text_rows(self._tokens(self._prompts(choice)))
        losses = self._prompt_losses(images.float(), prompts.float(), taught, rows, mixed.kept, mixed.partners)
        losses["features"] = feature_loss(guessed, taught[0])
        losses["total"] = losses["taught"] + 0.6 * losses["label"] + losses["features"]
        return losses

    def _plain_losses(
        self, rows: Tensor, random: torch.Generator, choice: python_random.Random, keep: float
    ) -> dict[str, Tensor]:
        rows = torch.cat([rows, rows[: int(SECOND_VIEW_SHARE * len(rows))]])
        views = self._views(rows, random)
        taught = self._taught(views)
        photos, colours = self._lesson.photos.photos, self._lesson.photos.colours
        captions = [caption_for(photos[row], colours[row], choice) for row in rows.tolist()]
        texts = [caption.text for caption in captions] + self._prompts(choice)
        with mixed_precision(self._device):
            pooled = self._student.pooled(views, keep, random)
            guessed = self._student.feature_head(pooled)
            images = self._student.image_rows(pooled)
            words = self._student.text_rows(self._tokens(texts))
        images, words = images.float(), words.float()
        losses = self._prompt_losses(images, words[len(captions) :], taught, rows, 1.0, None)
        losses["features"] = feature_loss(guessed, taught[0])
        positives = torch.tensor(
            [[caption.true_of(photos[row], colours[row]) for caption in captions] for row in rows.tolist()],
            device=self._device,
        )
        scale = self._student.clip.logit_scale.clamp(max=3.4).exp()
        losses["captions"] = image_text_loss(images, words[: len(captions)], positives, scale)
        labels = self._lesson.targets.numbers["label"][rows].to(self._device)
        same_photo = (rows[:, None] == rows[None]).to(self._device)
        losses["images"] = image_image_loss(images, same_photo, labels[:, None] == labels[None])
        losses["total"] = (
            losses["taught"]
            + 0.6 * losses["label"]
            + losses["features"]
            + 0.15 * losses.get("colour", 0.0)
            + losses["captions"]
            + losses["images"]
        )
        return losses
