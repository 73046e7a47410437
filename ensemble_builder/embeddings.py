"""Photos and words through the serving side's own preprocessing and a pair of encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ensemble_builder.photos import Photo
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec
from product_match.contract.errors import BuildError, ProductMatchError
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Photos and words as the encoders take them.

    Attributes:
        pixels: [n, H, W, 3], UINT8.
        texts: One dictionary of `input_ids` [1, S] and `eot_index` [1, 1] for each photo that has words.
        labels: One for each photo.
    """

    pixels: NDArray[np.uint8]
    texts: tuple[Mapping[str, NDArray[np.int32]], ...]
    labels: tuple[str, ...]

    @property
    def has_words(self) -> bool:
        """Whether every photo has words."""
        return len(self.texts) == len(self.labels)

    def image_batches(self, size: int = 16) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield inputs of the image encoder."""
        for start in range(0, len(self.pixels), size):
            yield {"pixel_values": self.pixels[start : start + size]}


def load_samples(photos: Sequence[Photo], spec: EncoderSpec, directory: Path) -> Samples:
    """Preprocess photos and words as serving does.

    Raises:
        BuildError: A photo cannot be read.
    """
    images, texts = ImagePreprocessor(spec), TextPreprocessor(spec, directory)
    rows = images.preprocess([photo.path.read_bytes() for photo in photos])
    images.close()
    for photo, row in zip(photos, rows, strict=True):
        if isinstance(row, ProductMatchError):
            raise BuildError(f"{photo.path}: {row}; take it out of the photos")
    tokens = []
    for photo in photos:
        if photo.words:
            found = texts.tokenize([photo.words])
            tokens.append({"input_ids": found.input_ids, "eot_index": found.eot_index})
    return Samples(
        pixels=np.stack([row for row in rows if not isinstance(row, ProductMatchError)]),
        texts=tuple(tokens),
        labels=tuple(photo.label for photo in photos),
    )


def onnx_runner(path: Path, *, optimised: bool = True) -> Run:
    """Return a function that runs the single output of an ONNX file on the CPU.

    Args:
        path: The file.
        optimised: False keeps every cast and every Q/DQ where the graph has it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run(None, dict(tensors))[0]
        return result

    return run


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Both towers, ready to run."""

    image: Run
    text: Run

    @classmethod
    def load(cls, directory: Path, *, optimised: bool = True) -> Encoders:
        """Load the ONNX files of an encoder directory."""
        return cls(
            image=onnx_runner(directory / IMAGE_ONNX_FILE, optimised=optimised),
            text=onnx_runner(directory / TEXT_ONNX_FILE, optimised=optimised),
        )

    def images(self, samples: Samples) -> NDArray[np.float32]:
        """Return the embeddings of the photos, [n, D]."""
        return np.concatenate([self.image(batch) for batch in samples.image_batches()])

    def texts(self, samples: Samples) -> NDArray[np.float32]:
        """Return the embeddings of the words, [n, D]."""
        return np.concatenate([self.text(tokens) for tokens in samples.texts])
