"""The handlers of the preprocessing and encoder models: whole batches in, an answer for each request out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import (
    InvalidRequestError,
    ProductMatchError,
    UnavailableError,
    in_row,
    unforeseen,
)
from product_match.contract.models import EOT_INDEX, IMAGE_BYTES, IMAGE_GIVEN, QUERY_TEXT, TEXT_GIVEN, ModelSpec
from product_match.encoding.session import EncoderSession
from product_match.preprocessing.images import ImagePreprocessor, Pixels
from product_match.preprocessing.texts import TextPreprocessor, TokenRows, decode_text
from product_match.telemetry.stages import Stage
from product_match.triton.admission import Admission
from product_match.triton.batches import Answer, BatchRequest, joined_rows, split_rows

LOGGER = logging.getLogger(__name__)


class ImagePreprocessService:
    """Answers `image_preprocess`: photos of all requests are decoded side by side."""

    def __init__(
        self, encoder: EncoderSpec, preprocessor: ImagePreprocessor, admission: Admission | None = None
    ) -> None:
        """Use `preprocessor`; a row without a photo becomes constant grey pixels, marked as not given."""
        self._admission = admission
        side = encoder.image_size_px
        self._dummy: NDArray[np.uint8] = np.full((side, side, 3), 127, np.uint8)
        self._preprocessor = preprocessor

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer | Future[Answer]]:
        """Preprocess the photos of all requests; those with a large one are answered when it is decoded.

        Raises:
            UnavailableError: Too many requests wait.
        """
        if self._admission is not None:
            self._admission.admit(len(requests))
        rows: list[bytes] = [row for request in requests for row in request.tensors[IMAGE_BYTES.name][:, 0]]
        begun = iter(self._preprocessor.begin([row for row in rows if row], limits.MAX_LARGE_IMAGE_WAIT_S))
        pixels = [next(begun) if row else self._dummy for row in rows]
        given = np.asarray([bool(row) for row in rows]).reshape(-1, 1)
        answers: list[Answer | Future[Answer]] = []
        start = 0
        for request in requests:
            part = slice(start, start + request.rows)
            answers.append(_answer_of(pixels[part], given[part]))
            start += request.rows
        return answers


def _answer_of(rows: Sequence[Pixels | Future[Pixels]], given: NDArray[np.bool_]) -> Answer | Future[Answer]:
    """Return a request's answer, or what will be its answer when its large photos are decoded."""
    waiting = [row for row in rows if isinstance(row, Future)]
    if not waiting:
        return _stacked([row for row in rows if not isinstance(row, Future)], given)
    answer: Future[Answer] = Future()
    left = itertools.count(len(waiting) - 1, -1)

    def count(_: Future[Pixels]) -> None:
        # `next` of a count is one step of the interpreter: two threads never get the same number.
        if next(left) == 0:
            answer.set_result(_stacked([row.result() if isinstance(row, Future) else row for row in rows], given))

    for row in waiting:
        row.add_done_callback(count)
    return answer


def _stacked(pixels: Sequence[Pixels], given: NDArray[np.bool_]) -> Answer:
    good = [row for row in pixels if not isinstance(row, ProductMatchError)]
    if len(good) < len(pixels):
        return _first_error(pixels)
    return {"pixel_values": np.stack(good), IMAGE_GIVEN.name: given}


def _first_error(rows: Sequence[object]) -> ProductMatchError:
    place, error = next((n, row) for n, row in enumerate(rows) if isinstance(row, ProductMatchError))
    return in_row(error, place, len(rows))


class TextPreprocessService:
    """Answers `text_preprocess`."""

    def __init__(self, preprocessor: TextPreprocessor, admission: Admission | None = None) -> None:
        """Use `preprocessor`; a row without words becomes one constant word, marked as not given."""
        self._preprocessor = preprocessor
        self._admission = admission
        self._stage = Stage("tokenise")

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Tokenise the words of all requests; where too many wait, those that were not let in yet are refused."""
        refusal = self._refusal(sum(_is_first(request) for request in requests))
        with self._stage.timed():
            return [
                refusal if refusal is not None and _is_first(request) else self._answer(request)
                for request in requests
            ]

    def _refusal(self, requests: int) -> UnavailableError | None:
        if self._admission is None or not requests:
            return None
        try:
            self._admission.admit(requests)
        except UnavailableError as error:
            return error
        return None

    def _answer(self, request: BatchRequest) -> Answer:
        rows: list[bytes] = list(request.tensors[QUERY_TEXT.name][:, 0])
        texts = [_attempt(row) if row else "a" for row in rows]
        good = [text for text in texts if isinstance(text, str)]
        if len(good) < len(texts):
            return _first_error(texts)
        tokens = self._tokenized(good)
        if isinstance(tokens, ProductMatchError):
            return tokens
        given = np.asarray([bool(row) for row in rows]).reshape(-1, 1)
        return {"input_ids": tokens.input_ids, EOT_INDEX.name: tokens.eot_index, TEXT_GIVEN.name: given}

    def _tokenized(self, texts: Sequence[str]) -> TokenRows | ProductMatchError:
        try:
            return self._preprocessor.tokenize(texts)
        except Exception:
            failure = unforeseen(LOGGER, "words could not be tokenised")
        # One row fails the request, and its number is told.
        for row, text in enumerate(texts):
            try:
                self._preprocessor.tokenize([text])
            except Exception:
                return in_row(failure, row, len(texts))
        return failure


def _is_first(request: BatchRequest) -> bool:
    """Say whether no other model has seen the request; what comes with a photo was let in with it."""
    return IMAGE_GIVEN.name not in request.tensors


def _attempt(data: bytes) -> str | ProductMatchError:
    try:
        return decode_text(data)
    except InvalidRequestError as error:
        return error
    except Exception:
        return unforeseen(LOGGER, "words could not be read")


class EncoderService:
    """Answers `image_encoder` and `text_encoder`: all requests of the batch that have the same shape together."""

    def __init__(self, spec: ModelSpec, session: EncoderSession) -> None:
        """Run `session`, which fits `spec`."""
        self._spec = spec
        self._session = session

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Encode the rows of all requests; words come padded to different lengths, and each length is a batch."""
        first = self._spec.inputs[0].name
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(request.tensors[first].shape[1:], []).append(place)
        alike = [[requests[place] for place in places] for places in groups.values()]
        encoded = self._session.encode_groups(
            [{tensor.name: joined_rows(group, tensor.name) for tensor in self._spec.inputs} for group in alike]
        )
        answers: list[Answer] = [{}] * len(requests)
        for places, group, embeds in zip(groups.values(), alike, encoded, strict=True):
            for place, part in zip(places, split_rows(embeds, group), strict=True):
                answers[place] = {self._spec.outputs[0].name: part}
        return answers
