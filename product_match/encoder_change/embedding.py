"""Embeds photos and words with a new encoder, without Triton: the same preprocessing and the same sessions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec
from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.contract.models import EOT_INDEX, IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.encoding.processors import processor_name
from product_match.encoding.reference import check
from product_match.encoding.session import EncoderSession
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor, decode_text

Embedding = NDArray[np.float32] | ProductMatchError
"""A unit vector, float32 [D], or what is wrong with the photo or the words."""


class Embedder:
    """One encoder directory, ready to embed."""

    def __init__(self, encoder: EncoderSpec, directory: Path, threads: int = 0) -> None:
        """Load both towers, and compare them with FP32.

        Raises:
            ConfigError: A file is missing or does not fit, or an encoder gives other embeddings on this processor.
        """
        self._images = ImagePreprocessor(encoder)
        self._texts = TextPreprocessor(encoder, directory)
        image, text = composing_model(encoder, IMAGE_ENCODER), composing_model(encoder, TEXT_ENCODER)
        self._image_session = EncoderSession(directory / IMAGE_ONNX_FILE, image, threads)
        self._text_session = EncoderSession(directory / TEXT_ONNX_FILE, text, threads)
        for model, session in ((image, self._image_session), (text, self._text_session)):
            check(directory, model, encoder, session.encode, processor_name())

    def photos(self, rows: Sequence[bytes]) -> list[Embedding]:
        """Embed encoded photos."""
        pixels = self._images.preprocess(rows)
        good = [row for row in pixels if not isinstance(row, ProductMatchError)]
        embeds = iter(self._image_session.encode({"pixel_values": np.stack(good)}) if good else ())
        return [row if isinstance(row, ProductMatchError) else next(embeds) for row in pixels]

    def words(self, rows: Sequence[str]) -> list[Embedding]:
        """Embed words."""
        checked = [_checked(row) for row in rows]
        good = [row for row in checked if isinstance(row, str)]
        embeds = iter(self._encode(good) if good else ())
        return [next(embeds) if isinstance(row, str) else row for row in checked]

    def close(self) -> None:
        """End the decoding threads."""
        self._images.close()

    def _encode(self, rows: list[str]) -> NDArray[np.float32]:
        tokens = self._texts.tokenize(rows)
        return self._text_session.encode({"input_ids": tokens.input_ids, EOT_INDEX.name: tokens.eot_index})


def _checked(text: str) -> str | InvalidRequestError:
    try:
        return decode_text(text.encode("utf-8"))
    except InvalidRequestError as error:
        return error
