"""How many products a second the encoder alone can do: the server's sessions, and nothing around them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, load_encoder
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.contract.products import product_words
from product_match.encoding.session import EncoderSession
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor

BATCHES: Final = (8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class EncoderRate:
    """The best of several batch sizes.

    Attributes:
        products_per_s: Photo and words of one product each, ready as pixels and tokens.
        batch: The batch size that reached it.
    """

    products_per_s: float
    batch: int


def measure(encoder_directory: Path, sample: Path, seconds: float) -> EncoderRate:
    """Encode the sample's products with the session settings of the server, for so long at each batch size."""
    encoder = load_encoder(encoder_directory)
    images = EncoderSession(encoder_directory / IMAGE_ONNX_FILE, composing_model(encoder, IMAGE_ENCODER))
    texts = EncoderSession(encoder_directory / TEXT_ONNX_FILE, composing_model(encoder, TEXT_ENCODER))
    lines = (sample / "products.jsonl").read_text(encoding="utf-8").splitlines()
    products = [json.loads(line) for line in lines[: max(BATCHES)]]
    preprocessor = ImagePreprocessor(encoder)
    pixels = np.stack(
        [
            row
            for row in preprocessor.preprocess([(sample / product["image"]).read_bytes() for product in products])
            if isinstance(row, np.ndarray)
        ]
    )
    preprocessor.close()
    tokenizer = TextPreprocessor(encoder, encoder_directory)
    words = [product_words(product) for product in products]
    rates: list[EncoderRate] = []
    for batch in BATCHES:
        tokens = tokenizer.tokenize(words[:batch])
        text_inputs = {"input_ids": tokens.input_ids, "eot_index": tokens.eot_index}
        image_inputs = {"pixel_values": pixels[:batch]}
        images.encode(image_inputs)
        texts.encode(text_inputs)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            images.encode(image_inputs)
            texts.encode(text_inputs)
            done += batch
        rates.append(EncoderRate(products_per_s=round(done / (time.perf_counter() - started), 1), batch=batch))
    return max(rates, key=lambda rate: rate.products_per_s)
