"""Encoders: words of different lengths and many photos in one batch give what each gives alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from product_match.contract.encoder import load_encoder
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.encoding.session import PHOTOS_PER_RUN, EncoderSession
from product_match.triton.batches import BatchRequest
from product_match.triton.services import EncoderService
from tests.fakes.encoders import encoder_spec

DEMO = Path(__file__).parents[2] / "demo_clip" / "embedded"


class Session:
    """Stands for ONNX Runtime: a row's embedding is the sum of its tokens."""

    def __init__(self):
        self.shapes = []

    def encode(self, inputs):
        ids = inputs["input_ids"]
        self.shapes.append(ids.shape)
        return np.repeat(ids.sum(axis=1, keepdims=True), 4, axis=1).astype(np.float32)


def words(*rows):
    ids = np.asarray(rows, np.int32)
    return BatchRequest(tensors={"input_ids": ids, "eot_index": np.zeros((len(rows), 1), np.int32)})


def test_words_of_each_length_are_encoded_in_one_run_and_answered_in_order():
    session = Session()
    service = EncoderService(composing_model(encoder_spec(), TEXT_ENCODER), session)
    answers = service([words([1, 1]), words([2, 2, 2]), words([3, 3], [4, 4]), words([5, 5, 5])])
    assert session.shapes == [(3, 2), (2, 3)]
    assert [answer["text_embeds"][:, 0].tolist() for answer in answers] == [[2.0], [6.0], [6.0, 8.0], [15.0]]


def test_more_photos_than_one_run_takes_are_encoded_in_several():
    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "image_encoder.onnx", composing_model(encoder, IMAGE_ENCODER))
    side = encoder.image_size_px
    pixels = np.random.default_rng(3).integers(0, 256, (PHOTOS_PER_RUN + 3, side, side, 3), dtype=np.uint8)
    together = session.encode({"pixel_values": pixels})
    alone = np.concatenate([session.encode({"pixel_values": pixels[row : row + 1]}) for row in range(len(pixels))])
    assert together.shape == (len(pixels), encoder.embedding_dim)
    assert np.allclose(together, alone, atol=1e-5)


def test_many_words_are_one_run():
    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "text_encoder.onnx", composing_model(encoder, TEXT_ENCODER))
    rows = np.full((70, 8), encoder.pad_id, np.int32)
    embeds = session.encode({"input_ids": rows, "eot_index": np.full((70, 1), 2, np.int32)})
    assert embeds.shape == (70, encoder.embedding_dim)
