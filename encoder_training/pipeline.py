"""From labelled folders to a checkpoint: what `train` does."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import VisionTextDualEncoderModel

from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part

from .checkpoint import WORD_EMBEDDINGS, write_checkpoint
from .clicks import read_clicks
from .learning import Lesson, facts_of
from .photos import Photo, list_photos
from .prompts import WordEncoder, Words, vocabulary
from .towers import ImageTower, load_image_tower, load_word_tower, remove_gates, tokenizer_file
from .training import TrainingPlan, features_of, measured_classifier, new_head, opened, train_head, train_tower

_logger = logging.getLogger(__name__)

RECORD_FILE = "training.json"


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What to train on and where to write it.

    Attributes:
        folders: Labelled folders.
        out: Folder of the checkpoint.
        parts: Parts of the fixed split that are learned from; None for every photo.
        clicks: JSON Lines of words that photos were chosen for.
        start_from: A checkpoint of this training to go on from, instead of the towers as they come.
        plan: How long and how fast.
    """

    folders: tuple[Path, ...]
    out: Path
    parts: tuple[Part, ...] | None = (Part.TRAIN,)
    clicks: Path | None = None
    start_from: Path | None = None
    plan: TrainingPlan = field(default_factory=TrainingPlan)


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The towers and the head that a training begins with."""

    image: ImageTower
    words: Any
    head: nn.Linear
    tokenizer: Path


def train(request: TrainingRequest) -> dict[str, object]:
    """Train, write the checkpoint, and return the record that is written beside it.

    Raises:
        ConfigError: A folder, the clicks or the checkpoint cannot be read, or no photo is left to learn from.
    """
    started, plan = time.monotonic(), request.plan
    photos = [photo for folder in request.folders for photo in list_photos(folder, request.parts)]
    if not photos:
        raise ConfigError(
            "no photo to learn from: the folders' tables name none of the wanted parts of the split; give "
            "--all-photos to learn from every photo"
        )
    clicked = read_clicks(request.clicks, photos) if request.clicks else ()
    _logger.info("%s photos, %s labels", len(photos), len({photo.label for photo in photos}))
    start = _start(request)
    known = features_of(start.image.model, opened([photo.path for photo in photos]), plan.image_size)
    _logger.info("features of the tower as it comes: %.0f s", time.monotonic() - started)
    lesson, labels = _lesson(start, photos, clicked, known, plan)
    if plan.head_epochs:
        train_head(start.head, lesson, known, labels, plan)
    if plan.tower_epochs:
        train_tower(start.image.model, start.head, lesson, known, photos, labels, plan, _keeper(request, start))
    write_checkpoint(
        request.out, start.image.model, start.words, start.head.weight.detach(), start.tokenizer, plan.image_size
    )
    record = _record(request, photos, time.monotonic() - started)
    (request.out / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def _keeper(request: TrainingRequest, start: _Start) -> Callable[[int], None]:
    """Keep the weights of each epoch beside the checkpoint, so that a stopped run is not lost."""
    work = request.out.with_name(f"{request.out.name}-training")
    work.mkdir(parents=True, exist_ok=True)

    def keep(epoch: int) -> None:
        weights = {"tower": start.image.model.state_dict(), "head": start.head.state_dict()}
        torch.save(weights, work / f"epoch-{epoch + 1}.pt")

    return keep


def _lesson(
    start: _Start, photos: Sequence[Photo], clicked: Sequence[Sequence[str]], known: Tensor, plan: TrainingPlan
) -> tuple[Lesson, Any]:
    texts = vocabulary(photos, more=[text for words in clicked for text in words])
    rows = WordEncoder(start.words, Tokenizer.from_file(str(start.tokenizer)))(texts)
    facts = facts_of(photos, clicked)
    classifier = measured_classifier(start.image.class_weights, start.image.class_biases, known)
    return Lesson(facts, Words(texts, rows), rows.shape[1], classifier, plan.weights), facts.label


def _start(request: TrainingRequest) -> _Start:
    plan = request.plan
    image = load_image_tower(plan.image_size)
    if request.start_from is None:
        words = load_word_tower()
        dimensions = words.config.hidden_size + plan.visual_dim
        head = new_head(image.class_weights.shape[1], dimensions, plan.seed)
        return _Start(image=image, words=words, head=head, tokenizer=tokenizer_file())
    model = _load(request.start_from)
    remove_gates(model.vision_model)
    head = nn.Linear(model.visual_projection.in_features, model.visual_projection.out_features, bias=False)
    head.load_state_dict(model.visual_projection.state_dict())
    start = ImageTower(model=model.vision_model, class_weights=image.class_weights, class_biases=image.class_biases)
    return _Start(image=start, words=model.text_model, head=head, tokenizer=request.start_from / "tokenizer.json")


def _load(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} has no config.json; give a checkpoint that this training wrote")
    model = VisionTextDualEncoderModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    if model.config.vision_config.model_type != "efficientnet" or not hasattr(model.config, "text_pooling"):
        raise ConfigError(f"{folder} was not written by this training: {WORD_EMBEDDINGS} is not pooled by its mean")
    return model


def _record(request: TrainingRequest, photos: Sequence[Photo], seconds: float) -> dict[str, object]:
    import dataclasses
    import platform

    import transformers

    return {
        "photos": len(photos),
        "labels": len({photo.label for photo in photos}),
        "parts": [part.value for part in request.parts] if request.parts else "all",
        "plan": dataclasses.asdict(request.plan),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "seconds": round(seconds),
    }
