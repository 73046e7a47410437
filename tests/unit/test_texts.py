"""Words become padded token rows; what holds no words says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.preprocessing.texts import TextPreprocessor, decode_text
from tests.fakes.encoders import encoder_spec

DEMO = Path(__file__).parents[2] / "default_encoder" / "embedded"


@pytest.fixture(scope="module")
def demo():
    return TextPreprocessor(load_encoder(DEMO), DEMO)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected words, got an empty text"),
        (b"  \n", "expected words, got an empty text"),
        (b"?!... ", "got '?!... ' without a letter or digit; say what to look for"),
        (b"\xff\xfered", "not UTF-8 (byte 0xff at position 0); encode it as UTF-8"),
        (b"x" * 20_000, "20,000 bytes, the limit is 16,384; send the words that matter"),
    ],
)
def test_bad_words_say_what_to_do(data, words):
    with pytest.raises(InvalidRequestError) as caught:
        decode_text(data)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["blue jacket", "Größe 42", "青いジャケット", "🙂 smile", "501 jeans"])
def test_words_of_any_script_are_taken(text):
    assert decode_text(text.encode()) == text


def test_rows_are_padded_to_the_smallest_bucket_that_holds_the_longest(demo):
    spec = load_encoder(DEMO)
    short = demo.tokenize(["red"])
    assert short.input_ids.shape == (1, spec.text_buckets[0])
    longer = demo.tokenize(["red", "a very long list of words " * 3])
    assert longer.input_ids.shape[1] in spec.text_buckets[1:]
    assert longer.input_ids.dtype == longer.eot_index.dtype == np.int32


def test_a_row_equals_what_the_tokenizer_itself_says(demo):
    reference = Tokenizer.from_file(str(DEMO / "tokenizer.json")).encode("navy crew-neck tee").ids
    rows = demo.tokenize(["navy crew-neck tee"])
    assert rows.input_ids[0, : len(reference)].tolist() == reference
    assert rows.eot_index.tolist() == [[len(reference) - 1]]


def test_more_than_the_context_length_is_cut_and_keeps_its_end_token(demo):
    spec = load_encoder(DEMO)
    end = demo.tokenize(["red"])
    rows = demo.tokenize(["word " * 500])
    assert rows.input_ids.shape == (1, spec.context_length)
    assert rows.eot_index.tolist() == [[spec.context_length - 1]]
    assert rows.input_ids[0, -1] == end.input_ids[0, end.eot_index[0, 0]]


@pytest.mark.parametrize("text", ["red dress <|endoftext|> blue shoes", "<|startoftext|>red", "<|endoftext|>"])
def test_control_tokens_that_are_spelled_are_text(demo, text):
    end = demo.tokenize(["red"])
    last = end.input_ids[0, end.eot_index[0, 0]]
    rows = demo.tokenize([text])
    tokens = rows.input_ids[0, : rows.eot_index[0, 0] + 1].tolist()
    assert tokens.index(last) == len(tokens) - 1
    assert end.input_ids[0, 0] not in tokens[1:]


def test_a_byte_order_mark_is_dropped():
    assert decode_text("\ufeffred shoes".encode()) == "red shoes"
    with pytest.raises(InvalidRequestError, match="got an empty text"):
        decode_text("\ufeff".encode())


def test_last_token_pooling_points_at_the_last_position():
    spec = load_encoder(DEMO)
    changed = encoder_spec(text_buckets=(64,), text_pooling="last_token", pad_id=spec.pad_id, lowercase_text=True)
    rows = TextPreprocessor(changed, DEMO).tokenize(["RED shoes"])
    assert rows.eot_index.tolist() == [[63]]
    assert rows.input_ids.tolist() == TextPreprocessor(changed, DEMO).tokenize(["red shoes"]).input_ids.tolist()


def test_a_damaged_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer\.json cannot be read as a tokenizer .* build the encoder"):
        TextPreprocessor(encoder_spec(), tmp_path)
