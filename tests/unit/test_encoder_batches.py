"""Encoders: words of different lengths and many photos in one batch give what each gives alone."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from product_match.contract.encoder import load_encoder
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.encoding.session import PHOTOS_PER_RUN, WORDS_PER_RUN, EncoderSession
from product_match.triton.batches import BatchRequest
from product_match.triton.services import EncoderService
from tests.fakes.encoders import encoder_spec

DEMO = Path(__file__).parents[2] / "default_encoder" / "embedded"


class Session:
    """Stands for ONNX Runtime: a row's embedding is the sum of its tokens."""

    def __init__(self):
        self.shapes = []

    def encode_groups(self, groups):
        self.shapes += [inputs["input_ids"].shape for inputs in groups]
        sums = [inputs["input_ids"].sum(axis=1, keepdims=True) for inputs in groups]
        return [np.repeat(column, 4, axis=1).astype(np.float32) for column in sums]


def words(*rows):
    ids = np.asarray(rows, np.int32)
    return BatchRequest(tensors={"input_ids": ids, "eot_index": np.zeros((len(rows), 1), np.int32)})


def test_words_of_each_length_are_encoded_together_and_answered_in_order():
    session = Session()
    service = EncoderService(composing_model(encoder_spec(), TEXT_ENCODER), session)
    answers = service([words([1, 1]), words([2, 2, 2]), words([3, 3], [4, 4]), words([5, 5, 5])])
    assert session.shapes == [(3, 2), (2, 3)]
    assert [answer["text_embeds"][:, 0].tolist() for answer in answers] == [[2.0], [6.0], [6.0, 8.0], [15.0]]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [2, PHOTOS_PER_RUN + 3])
def test_photos_that_several_runs_share_come_back_in_order(threads, rows):
    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "image_encoder.onnx", composing_model(encoder, IMAGE_ENCODER), threads)
    side = encoder.image_size_px
    pixels = np.random.default_rng(3).integers(0, 256, (rows, side, side, 3), dtype=np.uint8)
    together = session.encode({"pixel_values": pixels})
    alone = np.concatenate([session.encode({"pixel_values": pixels[row : row + 1]}) for row in range(rows)])
    assert together.shape == (rows, encoder.embedding_dim)
    assert np.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_words_that_several_runs_share_come_back_in_order(threads):
    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "text_encoder.onnx", composing_model(encoder, TEXT_ENCODER), threads)
    rows = 2 * WORDS_PER_RUN + 5
    ids = np.random.default_rng(4).integers(5, 2000, (rows, 8), dtype=np.int32)
    place = np.full((rows, 1), 7, np.int32)
    together = session.encode({"input_ids": ids, "eot_index": place})
    alone = [session.encode({"input_ids": ids[n : n + 1], "eot_index": place[n : n + 1]}) for n in range(rows)]
    assert together.shape == (rows, encoder.embedding_dim)
    assert np.allclose(together, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_words_of_two_lengths_are_encoded_side_by_side(threads):
    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "text_encoder.onnx", composing_model(encoder, TEXT_ENCODER), threads)
    chance = np.random.default_rng(5)
    groups = [
        {
            "input_ids": chance.integers(5, 2000, (rows, length), dtype=np.int32),
            "eot_index": np.full((rows, 1), 6, np.int32),
        }
        for rows, length in ((3, 8), (2, 16))
    ]
    together = session.encode_groups(groups)
    assert [embeds.shape for embeds in together] == [(3, encoder.embedding_dim), (2, encoder.embedding_dim)]
    for embeds, group in zip(together, groups, strict=True):
        assert np.allclose(embeds, session.encode(group), atol=1e-5)


def test_the_longest_run_is_begun_first():
    class InTurn:
        """One thread: what is begun first ends first."""

        def __init__(self):
            self.begun = []

        def submit(self, run, session, inputs):
            self.begun.append(inputs["input_ids"].shape)
            done = Future()
            done.set_result(run(session, inputs))
            return done

    encoder = load_encoder(DEMO)
    session = EncoderSession(DEMO / "text_encoder.onnx", composing_model(encoder, TEXT_ENCODER), 2)
    session._pool = InTurn()
    groups = [
        {"input_ids": np.full((rows, length), 5, np.int32), "eot_index": np.full((rows, 1), 6, np.int32)}
        for rows, length in ((3, 8), (2, 16), (4, 8))
    ]
    together = session.encode_groups(groups)
    assert session._pool.begun == [(2, 16), (4, 8), (3, 8)]
    assert [len(embeds) for embeds in together] == [3, 2, 4]
