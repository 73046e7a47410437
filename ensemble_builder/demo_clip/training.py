"""The whole training: photos, teacher, taught and untaught CLIP, sharpening, checkpoint."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from transformers import CLIPModel

from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part

from .captions import vocabulary_texts
from .learning import CONTINUED_SCHEDULE, STUDENT_SCHEDULE, Lesson, train_student
from .loop import Schedule
from .model import new_model, save_checkpoint
from .photos import Photo, list_photos, load_photos
from .sharpening import sharpen
from .targets import targets_of
from .teaching import TEACHER_SCHEDULE, train_teacher
from .tokenizer import START_TOKEN_ID, build_tokenizer, text_tokenizer, train_merges

STAGES = ("teacher", "student", "further")

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
        student: Schedule of stage two, the CLIP with the teacher.
        further: Schedule of stage three, the CLIP on labels and captions alone; None to leave it out.
        parts: Parts of the split to learn from; never the test part.
        start_from: Folder of a checkpoint of this training to go on from. Stages one and two are then left out.
    """

    folders: tuple[Path, ...]
    out: Path
    work: Path
    seed: int = 1
    teacher: Schedule = TEACHER_SCHEDULE
    student: Schedule = STUDENT_SCHEDULE
    further: Schedule | None = CONTINUED_SCHEDULE
    parts: tuple[Part, ...] = (Part.TRAIN,)
    start_from: Path | None = None

    def __post_init__(self) -> None:
        if not self.folders:
            raise ConfigError("no image folders to train on; pass --images DIR at least once")
        if not self.parts or Part.TEST in self.parts:
            raise ConfigError(
                f"cannot train on the parts {[part.value for part in self.parts]}; name train, and validation "
                "at will: the test part is for measuring alone"
            )


def train(plan: TrainingPlan, *, resume: bool) -> None:
    """Train the demonstration CLIP and write its checkpoint.

    Args:
        plan: What to train on.
        resume: Go on from the files in `plan.work`; without it they are removed first.
    """
    began = time.monotonic()
    stages = {stage: plan.work / f"{stage}.pt" for stage in STAGES}
    if not resume:
        for path in stages.values():
            path.unlink(missing_ok=True)
    photos = load_photos(_photos_of(plan.folders, plan.parts))
    targets = targets_of(photos)
    _logger.info("%s photos, classes %s", len(photos), targets.head_sizes)
    merges = caption_merges()
    lesson = Lesson(photos=photos, targets=targets, tokenizer=text_tokenizer(*build_tokenizer(merges)), teacher=None)
    if plan.start_from is None:
        clip = _taught(plan, lesson, stages)
    else:
        clip = earlier_model(plan.start_from, lesson.tokenizer)
    if plan.further is not None:
        _logger.info("stage three: the CLIP on labels and captions alone, %s epochs", plan.further.epochs)
        # Another seed than that of stage two, so that its orders and views do not come again.
        clip = train_student(
            clip.train(), lesson, seed=plan.seed + 1, checkpoint=stages["further"], schedule=plan.further
        )
    sharpen(clip.eval(), photos, lesson.tokenizer, seed=plan.seed)
    save_checkpoint(clip, merges, plan.out)
    _logger.info("wrote %s after %.0f s", plan.out, time.monotonic() - began)


def _taught(plan: TrainingPlan, lesson: Lesson, stages: Mapping[str, Path]) -> CLIPModel:
    """Train the teacher, then a CLIP with it."""
    _logger.info("stage one: the teacher, %s epochs", plan.teacher.epochs)
    teacher = train_teacher(
        lesson.photos, lesson.targets, seed=plan.seed, checkpoint=stages["teacher"], schedule=plan.teacher
    )
    _logger.info("stage two: the CLIP with the teacher, %s epochs", plan.student.epochs)
    return train_student(
        new_model(plan.seed),
        dataclasses.replace(lesson, teacher=teacher),
        seed=plan.seed,
        checkpoint=stages["student"],
        schedule=plan.student,
    )


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
