"""What is sent: from photos, words and products to the tensors and parameters of one request. No I/O but files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from product_match.contract import limits, models
from product_match.contract.errors import InvalidRequestError
from product_match.contract.feedback import written_feedback
from product_match.contract.options import MATCH_OPTIONS, OptionSpec, OptionType
from product_match.contract.products import IMAGE_OF, CheckedProduct, check_photos, parse_product, product_words
from product_match_client.options import MatchOptions

ImageSource = str | os.PathLike[str] | bytes
ImageSources = ImageSource | Sequence[ImageSource]
"""One photo, or a list or tuple of several."""

ParameterValue = str | int | float | bool
NO_FIELDS: Final = "-"
NOTHING_ELSE_NEEDED: Final = frozenset({"like", "filter", "sort"})
"""Options of which one will do where neither a photo nor words are given."""

_OPTIONS: Final[Mapping[str, OptionSpec]] = {option.name: option for option in MATCH_OPTIONS}


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """One request to one model. Every tensor that clients send or read is BYTES [rows, 1].

    Attributes:
        model: Model or ensemble.
        columns: For each input tensor, its rows.
        output: The output tensor that is read.
        parameters: Request parameters.
    """

    model: str
    columns: Mapping[str, Sequence[bytes]]
    output: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One row of a match request: a photo, words, or both.

    Attributes:
        image: A path, or the bytes of an encoded photo.
        text: Words.
    """

    image: ImageSource | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProductRow:
    """One row of an index request.

    Attributes:
        product: Its fields; `id` is required.
        image: A path, or the bytes of an encoded photo; or several of them, the best one first.
        text: The words it is found by; unless given, its own text fields. Empty for none.
    """

    product: Mapping[str, Any]
    image: ImageSources | None = None
    text: str | None = None

    @property
    def photos(self) -> Sequence[ImageSource]:
        """Its photos, of which it may have none."""
        if self.image is None:
            return ()
        return self.image if isinstance(self.image, list | tuple) else (self.image,)

    @property
    def request_rows(self) -> int:
        """Rows that it takes in a request: one, and one more for each further photo."""
        return max(1, len(self.photos))


@dataclass(frozen=True, kw_only=True)
class FeedbackRow:
    """What a person thought of one product of an answer: a rating or an event.

    Attributes:
        token: The `feedback_token` of the answer.
        product_id: Of a match of that answer.
        rating: From 1 to 10, or
        event: One of `contract.feedback.EVENTS`.
    """

    token: str
    product_id: str
    rating: int | None = None
    event: str | None = None


def read_image(image: ImageSource | None) -> bytes:
    """Return the bytes of a photo; empty for none.

    Raises:
        InvalidRequestError: The file cannot be read, or is larger than a server takes.
    """
    if image is None:
        return b""
    if isinstance(image, bytes):
        return within_limit("photo", image)
    path = Path(image)
    try:
        with path.open("rb") as file:
            data = file.read(limits.MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise InvalidRequestError(
            f"photo {path} cannot be read ({error.strerror}); give the path of an image file"
        ) from error
    if not data:
        raise InvalidRequestError(f"photo {path} is empty; give the path of an image file")
    return within_limit(f"photo {path}", data)


def within_limit(what: str, data: bytes) -> bytes:
    """Return a photo's bytes if a server takes that many.

    Raises:
        InvalidRequestError: There are more.
    """
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InvalidRequestError(
            f"{what}: more than {limits.MAX_IMAGE_BYTES:,} bytes, the most that a server takes; send a smaller one"
        )
    return data


def match_parameters(options: MatchOptions) -> dict[str, ParameterValue]:
    """Return the request parameters for the options that were given.

    Raises:
        InvalidRequestError: An option is unknown, a number outside its range, or the filter is not JSON.
    """
    parameters: dict[str, ParameterValue] = {}
    for name, value in options.items():
        if name not in _OPTIONS:
            raise InvalidRequestError(f"{name} is no option of a match; known are {', '.join(_OPTIONS)}")
        if value is not None:
            parameters[name] = _parameter(_OPTIONS[name], value)
    return parameters


def _parameter(option: OptionSpec, value: Any) -> ParameterValue:
    """Return an option as it travels.

    Raises:
        InvalidRequestError: It is not what the option holds.
    """
    if option.type in (OptionType.INTEGER, OptionType.NUMBER):
        return _number(option, value)
    if option.type is OptionType.NAMES:
        names = [value] if isinstance(value, str) else list(value)
        return ",".join(names) or NO_FIELDS
    if option.type is OptionType.NUMBERS:
        return ",".join(str(_number(option, number)) for number in value)
    if option.type is OptionType.IDS:
        ids = [value] if isinstance(value, str) else list(value)
        if not ids or not all(isinstance(id_, str) and id_.strip() for id_ in ids):
            raise InvalidRequestError(f"{option.name} must be product ids, none of them empty, got {value!r:.80}")
        return _json(ids, option.name)
    if option.type is OptionType.TEXT and not (isinstance(value, str) and value.strip()):
        raise InvalidRequestError(f"{option.name} must be a text that is not empty, got {value!r:.80}")
    if option.type in (OptionType.JSON, OptionType.JSON_LIST):
        return _json(value, option.name)
    if option.choices and value not in option.choices:
        raise InvalidRequestError(f"{option.name} must be one of {', '.join(option.choices)}, got {value!r}")
    if option.type is OptionType.BOOLEAN and not isinstance(value, bool):
        raise InvalidRequestError(f"{option.name} must be true or false, got {value!r}")
    plain: ParameterValue = value
    return plain


def _number(option: OptionSpec, value: float) -> ParameterValue:
    wanted = "an integer" if option.type is OptionType.INTEGER else "a number"
    kinds = (int,) if option.type is OptionType.INTEGER else (int, float)
    low, high = option.minimum, option.maximum
    inside = (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
    if not inside:
        raise InvalidRequestError(f"{option.name} must be {wanted} from {low:g} to {high:g}, got {value!r}")
    return value


def _json(value: object, what: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{what}: cannot be written as JSON ({error}); use plain JSON values") from error


def match_request(queries: Sequence[Query], parameters: Mapping[str, ParameterValue]) -> InferRequest:
    """Return the request for rows of queries, to the smallest ensemble that serves all of them.

    Raises:
        InvalidRequestError: No rows, too many, a row with neither photo nor words, or a file that cannot be read.
    """
    _check_rows(len(queries), "queries")
    images = [read_image(query.image) for query in queries]
    texts = [(query.text or "").encode("utf-8", "surrogatepass") for query in queries]
    for number, (query, image, text) in enumerate(zip(queries, images, texts, strict=True)):
        if not image and not text and not parameters.keys() & NOTHING_ELSE_NEEDED:
            given = "an empty one" if query.image is not None or query.text is not None else "neither"
            raise InvalidRequestError(
                f"query {number}: needs a photo, words, or both, got {given}; give one, or `like`, or a filter"
            )
    columns: dict[str, Sequence[bytes]] = {}
    if any(images):
        columns[models.IMAGE_BYTES.name] = images
    if any(texts) or not any(images):
        columns[models.QUERY_TEXT.name] = texts
    only: Mapping[tuple[str, ...], str] = {
        (models.IMAGE_BYTES.name,): models.PRODUCT_MATCH_IMAGE,
        (models.QUERY_TEXT.name,): models.PRODUCT_MATCH_TEXT,
    }
    model = only.get(tuple(columns), models.PRODUCT_MATCH)
    return InferRequest(model=model, columns=columns, output=models.MATCHES.name, parameters=parameters)


def index_request(rows: Sequence[ProductRow], *, wait: bool) -> InferRequest:
    """Return the request that adds or updates products.

    Raises:
        InvalidRequestError: No rows, too many rows, or a product or photo that cannot be sent.
    """
    _check_rows(sum(row.request_rows for row in rows), "products")
    products: list[bytes] = []
    images: list[bytes] = []
    texts: list[bytes] = []
    for row in rows:
        product = checked_product(row.product)
        photos = [read_image(photo) for photo in row.photos] or [b""]
        check_photos(product["id"], [len(photo) for photo in photos])
        further = json.dumps({IMAGE_OF: product["id"]}).encode()
        products += [json.dumps(product).encode(), *[further] * (len(photos) - 1)]
        images += photos
        texts += [row_words(product, row.text).encode("utf-8", "surrogatepass"), *[b""] * (len(photos) - 1)]
    return InferRequest(
        model=models.PRODUCT_INDEX,
        columns={
            models.PRODUCT.name: products,
            models.IMAGE_BYTES.name: images,
            models.QUERY_TEXT.name: texts,
        },
        output=models.RECEIPT.name,
        parameters={"wait": True} if wait else {},
    )


def checked_product(product: Mapping[str, Any]) -> CheckedProduct:
    """Return a product as it will be sent; one that was checked before is returned as it is.

    Raises:
        InvalidRequestError: It cannot be written as JSON, or is no product.
    """
    if isinstance(product, CheckedProduct):
        return product
    return parse_product(_json(product, "product").encode())


def row_words(product: Mapping[str, Any], text: str | None) -> str:
    """Return the words that a product is found by: those given, else its own."""
    return product_words(product) if text is None else text


def catalogue_request(command: Mapping[str, Any]) -> InferRequest:
    """Return the request that carries one catalogue command.

    Raises:
        InvalidRequestError: The command is not JSON, or too long.
    """
    data = _json(command, "command").encode()
    if len(data) > limits.MAX_COMMAND_BYTES:
        raise InvalidRequestError(
            f"command: {len(data):,} bytes of JSON, the limit is {limits.MAX_COMMAND_BYTES:,}; send it in parts"
        )
    return InferRequest(model=models.CATALOGUE, columns={models.COMMAND.name: [data]}, output=models.RESULT.name)


def feedback_request(rows: Sequence[FeedbackRow]) -> InferRequest:
    """Return the request that carries feedback.

    Raises:
        InvalidRequestError: No rows, too many rows, or a row that is no feedback.
    """
    _check_rows(len(rows), "feedback")
    columns: dict[str, Sequence[bytes]] = {
        models.FEEDBACK_TOKEN.name: [_given(row.token, "token", "feedback_token") for row in rows],
        models.PRODUCT_ID.name: [_given(row.product_id, "product_id", "product_id") for row in rows],
        models.FEEDBACK_SAID.name: [written_feedback(row.rating, row.event).encode() for row in rows],
    }
    return InferRequest(model=models.FEEDBACK, columns=columns, output=models.RECEIPT.name)


def _given(value: str | None, name: str, field_name: str) -> bytes:
    if not value:
        raise InvalidRequestError(
            f"feedback: `{name}` is {value!r}; give the `{field_name}` of an answer; "
            "a server without keys gives no token"
        )
    return value.encode("utf-8", "surrogatepass")


def _check_rows(count: int, what: str) -> None:
    if not 1 <= count <= limits.MAX_BATCH_SIZE:
        raise InvalidRequestError(
            f"{what}: one request takes 1 to {limits.MAX_BATCH_SIZE} rows, got {count}; send several requests"
        )
