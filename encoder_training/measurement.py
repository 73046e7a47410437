"""Measures a checkpoint on labelled folders by the fixed split, without a server."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from transformers import VisionTextDualEncoderModel

from product_match.contract.errors import ConfigError
from product_match.evaluation.copies import encoded_copies
from product_match.evaluation.metrics import estimate
from product_match.evaluation.rankings import Ranking, report_of
from product_match.evaluation.split import Part, Role, role_of, run_key

from .photos import Photo, centre_square, list_photos
from .prompts import WordEncoder
from .towers import remove_gates
from .training import normalised, unit

Rows = NDArray[np.float32]
LEAST_OF_COLOUR = 5


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Turns images and texts into unit rows.

    Attributes:
        images: Takes RGB images, returns [n, d].
        texts: Takes texts, returns [n, d]; None for a model without texts.
    """

    images: Callable[[Sequence[Image.Image]], Rows]
    texts: Callable[[Sequence[str]], Rows] | None


def checkpoint_encoders(folder: Path) -> Encoders:
    """Load a checkpoint of this training for measuring.

    Args:
        folder: A `VisionTextDualEncoderModel` folder with `tokenizer.json`.

    Returns:
        Its encoders in float32.

    Raises:
        ConfigError: There is no checkpoint in the folder.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} has no config.json; give a checkpoint that this training wrote")
    model = VisionTextDualEncoderModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    return model_encoders(model, Tokenizer.from_file(str(folder / "tokenizer.json")))


def model_encoders(model: VisionTextDualEncoderModel, tokenizer: Tokenizer) -> Encoders:
    """Wrap a model for measuring.

    Args:
        model: In evaluation mode; its gates are left out, which changes nothing but the time.
        tokenizer: Its tokenizer.
    """
    side = model.config.vision_config.image_size
    remove_gates(model.vision_model)
    words = WordEncoder(model.text_model, tokenizer)

    @torch.inference_mode()
    def images(pictures: Sequence[Image.Image]) -> Rows:
        rows = []
        for start in range(0, len(pictures), 32):
            batch = np.stack([centre_square(picture, side) for picture in pictures[start : start + 32]])
            features = model.vision_model(pixel_values=normalised(batch)).pooler_output
            rows.append(unit(model.visual_projection(features)).numpy())
        return np.concatenate(rows)

    @torch.inference_mode()
    def texts(lines: Sequence[str]) -> Rows:
        found: Rows = unit(model.text_projection(words(lines))).numpy()
        return found

    return Encoders(images=images, texts=texts)


def measure_folder(encoders: Encoders, folder: Path, part: Part, copies: bool = True) -> dict[str, object]:
    """Measure one labelled folder on one part of the split.

    Args:
        encoders: The model.
        folder: Holds `images.csv` and `images/`.
        part: Validation while tuning, test once.
        copies: Whether to measure re-encoded copies too, which takes four more encodings per photo.

    Returns:
        JSON values: one report per kind of query.
    """
    photos = list_photos(folder, [part])
    pictures = [_opened(photo.path) for photo in photos]
    rows = encoders.images(pictures)
    indexed = [row for row, photo in enumerate(photos) if role_of(photo.path.name) is Role.INDEX]
    asked = [row for row, photo in enumerate(photos) if role_of(photo.path.name) is Role.QUERY]
    index = [photos[row] for row in indexed]
    scores = rows[asked] @ rows[indexed].T
    report: dict[str, object] = {
        "photos": {"indexed": len(indexed), "queries": len(asked)},
        "image_to_image": _by_photo(scores, [photos[row] for row in asked], index, strict=False),
    }
    if any(run_key(photo.path.name) != photo.path.stem for photo in photos):
        report["image_to_image_other_runs"] = _by_photo(scores, [photos[row] for row in asked], index, strict=True)
    if encoders.texts is not None:
        report["text_to_image"] = _by_text(encoders.texts, rows[indexed], index)
        if any(photo.colour for photo in index):
            report["colour_and_kind"] = _by_colour(encoders.texts, rows[indexed], index)
    if copies:
        report["copies_found_first"] = _copies_first(encoders, rows[indexed], index)
    return report


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _by_photo(scores: Rows, queries: Sequence[Photo], index: Sequence[Photo], strict: bool) -> dict[str, object]:
    runs = [run_key(photo.path.name) for photo in index]
    rankings = []
    for query, row in zip(queries, scores, strict=True):
        run = run_key(query.path.name)
        order = [int(column) for column in np.argsort(-row, kind="stable") if not strict or runs[column] != run]
        answers = tuple(index[column].label for column in order)
        rankings.append(Ranking(label=query.label, answers=answers, relevant=answers.count(query.label), group=run))
    return report_of(rankings).as_json()


def _by_text(texts: Callable[[Sequence[str]], Rows], rows: Rows, index: Sequence[Photo]) -> dict[str, object]:
    counts = Counter(photo.label for photo in index)
    labels = sorted(counts)
    scores = texts([label.lower() for label in labels]) @ rows.T
    rankings = [
        Ranking(
            label=label,
            answers=tuple(index[int(column)].label for column in np.argsort(-row, kind="stable")),
            relevant=counts[label],
            group=label,
        )
        for label, row in zip(labels, scores, strict=True)
    ]
    weighted = sum(counts[ranking.label] * sum(ranking.hits[:5]) / 5 for ranking in rankings) / sum(counts.values())
    return {**report_of(rankings).as_json(), "precision@5_weighted_by_photos": round(weighted, 4)}


def _by_colour(texts: Callable[[Sequence[str]], Rows], rows: Rows, index: Sequence[Photo]) -> dict[str, object]:
    """Ask "COLOUR KIND" for every pair that at least `LEAST_OF_COLOUR` indexed photos show."""
    shown = [photo.colour for photo in index]
    pairs = Counter(zip(shown, (photo.label for photo in index), strict=True))
    asked = sorted(pair for pair, count in pairs.items() if pair[0] and count >= LEAST_OF_COLOUR)
    if not asked:
        return {"queries": 0}
    scores = texts([f"{colour} {label.lower()}" for colour, label in asked]) @ rows.T
    right_colour, right_label, both = [], [], []
    for (colour, label), row in zip(asked, scores, strict=True):
        top = [int(column) for column in np.argsort(-row, kind="stable")[:5]]
        right_colour.append(sum(shown[column] == colour for column in top) / 5)
        right_label.append(sum(index[column].label == label for column in top) / 5)
        both.append(sum(shown[column] == colour and index[column].label == label for column in top) / 5)
    return {
        "queries": len(asked),
        "colour_right@5": estimate(right_colour).as_json(),
        "label_right@5": estimate(right_label).as_json(),
        "both_right@5": estimate(both).as_json(),
    }


def _copies_first(encoders: Encoders, rows: Rows, index: Sequence[Photo]) -> dict[str, object]:
    changed = [encoded_copies(photo.path.read_bytes(), photo.path.name) for photo in index]
    first: dict[str, list[float]] = {}
    for kind in changed[0]:
        pictures = [Image.open(io.BytesIO(copies[kind])).convert("RGB") for copies in changed]
        best = (encoders.images(pictures) @ rows.T).argmax(axis=1)
        first[kind] = [float(column == row) for row, column in enumerate(best)]
    every = [value for values in first.values() for value in values]
    groups = [photo.path.name for _ in first for photo in index]
    return {
        "all": estimate(every, groups=groups).as_json(),
        **{kind: estimate(values).as_json() for kind, values in first.items()},
    }
