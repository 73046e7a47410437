"""The whole training: photos, teacher, student, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from transformers import CLIPModel

from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part

from .captions import vocabulary_texts
from .learning import STUDENT_SCHEDULE, Lesson, train_student
from .loop import Schedule
from .model import new_model, save_checkpoint
from .photos import Photo, list_photos, load_photos
from .targets import targets_of
from .teaching import TEACHER_SCHEDULE, train_teacher
from .tokenizer import START_TOKEN_ID, build_tokenizer, text_tokenizer, train_merges

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What to train on and how long.

    Attributes:
        folders: Labelled image folders.
        out: Folder of the checkpoint.
        work: Folder of the files that a run resumes from.
        seed: Seed of all randomness.
        teacher: Schedule of stage one.
        student: Schedule of stage two.
        parts: Parts of the split to learn from.
        start_from: Folder of a checkpoint of this training to go on from. Stage one is then left out: the CLIP learns
            from labels and captions alone.
    """

    folders: tuple[Path, ...]
    out: Path
    work: Path
    seed: int = 1
    teacher: Schedule = TEACHER_SCHEDULE
    student: Schedule = STUDENT_SCHEDULE
    parts: tuple[Part, ...] = (Part.TRAIN,)
    start_from: Path | None = None

    def __post_init__(self) -> None:
        if not self.folders:
            raise ConfigError("no image folders to train on; pass --images DIR at least once")


def train(plan: TrainingPlan, *, resume: bool) -> None:
    """Train the demonstration CLIP and write its checkpoint.

    Args:
        plan: What to train on.
        resume: Go on from the files in `plan.work`; without it they are removed first.
    """
    began = time.monotonic()
    stages = {stage: plan.work / f"{stage}.pt" for stage in ("teacher", "student")}
    if not resume:
        for path in stages.values():
            path.unlink(missing_ok=True)
    photos = load_photos(_photos_of(plan.folders, plan.parts))
    targets = targets_of(photos)
    _logger.info("%s photos, classes %s", len(photos), targets.head_sizes)
    merges = caption_merges()
    tokenizer = text_tokenizer(*build_tokenizer(merges))
    teacher, start = None, None
    if plan.start_from is None:
        teacher = train_teacher(photos, targets, seed=plan.seed, checkpoint=stages["teacher"], schedule=plan.teacher)
    else:
        start = earlier_model(plan.start_from, tokenizer)
    lesson = Lesson(photos=photos, targets=targets, tokenizer=tokenizer, teacher=teacher)
    clip = train_student(
        start or new_model(plan.seed), lesson, seed=plan.seed, checkpoint=stages["student"], schedule=plan.student
    )
    save_checkpoint(clip, merges, plan.out)
    _logger.info("wrote %s after %.0f s", plan.out, time.monotonic() - began)


def earlier_model(folder: Path, tokenizer: Tokenizer) -> CLIPModel:
    """Load the weights to go on from.

    Args:
        folder: A checkpoint that this training wrote.
        tokenizer: The tokenizer that the captions will be read with.

    Returns:
        The model in float32, in training mode.

    Raises:
        ConfigError: The folder holds no checkpoint, or one with other tokens.
    """
    missing = [
        name for name in ("config.json", "model.safetensors", "tokenizer.json") if not (folder / name).exists()
    ]
    if missing:
        raise ConfigError(f"{folder} lacks {', '.join(missing)}; --start-from needs a checkpoint that `train` wrote")
    if Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab() != tokenizer.get_vocab():
        raise ConfigError(
            f"the tokens of {folder} are not those of the captions; --start-from needs a checkpoint that this "
            "version of `train` wrote: train it again without --start-from"
        )
    model: CLIPModel = CLIPModel.from_pretrained(folder)
    return model.float().train()


def caption_merges() -> list[tuple[str, str]]:
    """Learn the merges of the shipped tokenizer; the same on every machine."""
    return train_merges(vocabulary_texts(), START_TOKEN_ID - 512)


def _photos_of(folders: Sequence[Path], parts: Sequence[Part]) -> list[Photo]:
    return [photo for folder in folders for photo in list_photos(folder, parts)]
