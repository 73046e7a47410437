"""Texts for what photos show, and their embeddings by the frozen word tower."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from .photos import Photo
from .words import COLOUR_NAMES, GARMENT_NAMES, GROUP_NAMES, PRODUCT_NAMES

LONGEST: Final = 128
"""Tokens; more than any product's words, and what MiniLM was mostly trained on."""
NAMES_WITH_COLOURS: Final = 3
CLASS_NAMES: Final = 3


def names_of(label: str) -> tuple[str, ...]:
    """Return the words for a label, its own name in lower case first."""
    known = GARMENT_NAMES.get(label) or PRODUCT_NAMES.get(label) or GROUP_NAMES.get(label) or ()
    plain = label.lower()
    return (plain, *(name for name in known if name != plain))


def coloured(label: str) -> tuple[str, ...]:
    """Return the names of a label that colours are put before."""
    return names_of(label)[:NAMES_WITH_COLOURS]


def class_names() -> list[tuple[str, ...]]:
    """Return ImageNet's 1,000 classes, each with its WordNet names."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return [tuple(line.split(", "))[:CLASS_NAMES] for line in text.splitlines()]


def vocabulary(photos: Sequence[Photo], more: Iterable[str] = ()) -> list[str]:
    """Return every text that the training of these photos can ask for."""
    texts = set(more) | {"photo", *COLOUR_NAMES}
    for names in class_names():
        texts.update(names)
    for photo in photos:
        texts.update(names_of(photo.label))
        texts.update(names_of(photo.group))
    for label in {photo.label for photo in photos if photo.colour}:
        texts.update(f"{colour} {name}" for colour in COLOUR_NAMES for name in coloured(label))
    return sorted(texts)


class Words:
    """Texts and their embeddings of length 1, made once."""

    def __init__(self, texts: Sequence[str], rows: Tensor) -> None:
        self._rows = rows
        self._numbers = {text: number for number, text in enumerate(texts)}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the rows [n, d] of known texts."""
        return self._rows[[self._numbers[text] for text in texts]]


class WordEncoder:
    """The word tower with its tokenizer: mean over the tokens, length 1."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.enable_padding()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], batch: int = 128) -> Tensor:
        """Embed texts, [n, d]."""
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        rows: list[Tensor] = []
        for start in range(0, len(order), batch):
            found = self._tokenizer.encode_batch([texts[number] for number in order[start : start + batch]])
            ids = torch.tensor([encoding.ids for encoding in found])
            seen = torch.tensor([encoding.attention_mask for encoding in found])
            hidden = self._model(input_ids=ids, attention_mask=seen).last_hidden_state
            weights = seen[:, :, None].float()
            rows.append(functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1))
        result = torch.cat(rows)
        return result[torch.from_numpy(np.argsort(order))].clone()
