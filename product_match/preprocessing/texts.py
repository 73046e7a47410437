"""Words: from UTF-8 bytes to the padded token ids that the text encoder takes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from product_match.contract import limits
from product_match.contract.encoder import TOKENIZER_FILE, EncoderSpec
from product_match.contract.errors import ConfigError, InvalidRequestError

BYTE_ORDER_MARK: Final = "\ufeff"
"""What some editors and spreadsheets write before the first word; to a tokenizer it is a part of that word."""


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Token rows of one request.

    Attributes:
        input_ids: [n, S] int32, S the smallest bucket that holds the longest row.
        eot_index: [n, 1] int32, where the encoder pools.
    """

    input_ids: NDArray[np.int32]
    eot_index: NDArray[np.int32]


def decode_text(data: bytes) -> str:
    """Check and decode one text.

    Args:
        data: UTF-8, at most `limits.MAX_TEXT_BYTES`, with at least one letter or digit.

    Raises:
        InvalidRequestError: Empty, too long, not UTF-8, or without a letter or digit.
    """
    if len(data) > limits.MAX_TEXT_BYTES:
        raise InvalidRequestError(
            f"text: {len(data):,} bytes, the limit is {limits.MAX_TEXT_BYTES:,}; send the words that matter"
        )
    try:
        text = data.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"text: not UTF-8 (byte 0x{data[error.start]:02x} at position {error.start}); encode it as UTF-8"
        ) from error
    if not text.strip():
        raise InvalidRequestError(
            "text: expected words, got an empty text; say what to look for, such as `red shoes`"
        )
    if not any(character.isalnum() for character in text):
        raise InvalidRequestError(
            f"text: expected words, got {text[:40]!r} without a letter or digit; "
            "say what to look for, such as `red shoes`"
        )
    return text


class TextPreprocessor:
    """Tokenises and pads words for one encoder."""

    def __init__(self, encoder: EncoderSpec, directory: Path) -> None:
        """Read the tokenizer of an encoder directory.

        Raises:
            ConfigError: The tokenizer's file is missing or damaged.
        """
        path = directory / TOKENIZER_FILE
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ConfigError(
                f"{path} cannot be read as a tokenizer ({error}); build the encoder directory again"
            ) from error
        # Truncation keeps the end-of-text token, which the encoder pools at.
        self._tokenizer.enable_truncation(encoder.context_length)
        self._tokenizer.no_padding()
        # A control token that is spelled in a text is text: as a token it would end the text for the encoder.
        self._tokenizer.encode_special_tokens = True
        self._encoder = encoder

    def tokenize(self, texts: Sequence[str]) -> TokenRows:
        """Tokenise the texts of one request.

        Args:
            texts: At least one text, checked by `decode_text`.

        Returns:
            Rows of one length. The length depends on this request alone, never on its batch neighbours: the response
            cache on the encoder would otherwise miss, as the same words would come padded differently.
        """
        if self._encoder.lowercase_text:
            texts = [text.lower() for text in texts]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        buckets = self._encoder.text_buckets
        length = buckets[bisect.bisect_left(buckets, max(len(row) for row in rows))]
        ids = np.full((len(rows), length), self._encoder.pad_id, np.int32)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = tokens
        if self._encoder.text_pooling == "last_token":
            pooled = [length - 1] * len(rows)
        else:
            pooled = [len(row) - 1 for row in rows]
        return TokenRows(input_ids=ids, eot_index=np.asarray(pooled, np.int32).reshape(-1, 1))
