"""The kinds of inputs: how each is made, and what takes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from product_match.contract import products
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ProductMatchError
from product_match.contract.filters import OPERATORS, parse_filter
from product_match.contract.options import ALL_OPTIONS, OptionSpec, OptionType
from product_match.contract.products import FILTER_FIELDS, FieldType
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor, decode_text
from product_match.triton.parameters import parse_parameters
from tests.fakes.encoders import encoder_spec
from tests.fuzzing.feeds import feeds, read_feed
from tests.fuzzing.photos import photo_files

DEMO = Path(__file__).parents[2] / "default_encoder" / "embedded"


@dataclass(frozen=True)
class Kind:
    """One kind of inputs."""

    inputs: st.SearchStrategy[Any]
    target: Callable[[], Any]


class Photos:
    """Takes photos as the model does; those with a process of their own included."""

    def __init__(self) -> None:
        self._preprocessor = ImagePreprocessor(encoder_spec(), threads=1)

    def take(self, data: bytes) -> None:
        (found,) = self._preprocessor.preprocess([data])
        if isinstance(found, ProductMatchError):
            raise found
        if found.shape != (32, 32, 3) or found.dtype != np.uint8:
            raise AssertionError(f"pixels of {found.shape}, {found.dtype}")

    def close(self) -> None:
        self._preprocessor.close()


class Words:
    """Takes words as the model does."""

    def __init__(self) -> None:
        self._encoder = load_encoder(DEMO)
        self._preprocessor = TextPreprocessor(self._encoder, DEMO)

    def take(self, data: bytes) -> None:
        tokens = self._preprocessor.tokenize([decode_text(data)])
        if not 0 <= tokens.eot_index[0, 0] < tokens.input_ids.shape[1] <= self._encoder.context_length:
            raise AssertionError(f"tokens of {tokens.input_ids.shape}, pooled at {tokens.eot_index}")

    def close(self) -> None:
        """Nothing to end."""


class Plain:
    """Takes what a function reads."""

    def __init__(self, read: Callable[[Any], object]) -> None:
        self.take = read

    def close(self) -> None:
        """Nothing to end."""


def _read_product(data: bytes) -> None:
    product = products.parse_row(data)
    if isinstance(product, dict):
        products.product_words(product)
        json.dumps(product)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["NaN", "1e999", "", " ", "\0", "\ud800", "19,90", "-1", "0"]),
)
_json = st.one_of(
    _scalars,
    st.lists(_scalars, max_size=4),
    st.dictionaries(st.text(max_size=6), _scalars, max_size=3),
    st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
)
_words = st.text(min_size=1, max_size=20)
_numbers = st.one_of(st.integers(-10, 2000), st.floats(allow_nan=False, allow_infinity=False, width=32))
_likely = {
    FieldType.KEYWORD: st.one_of(_words, _json),
    FieldType.NUMBER: st.one_of(_numbers, _json),
}
_fields = {field.name: _likely.get(field.type, _json) for field in FILTER_FIELDS}
_product_objects = st.fixed_dictionaries(
    {"id": st.one_of(_words, st.integers(0, 99), _json)},
    optional={**_fields, "name": st.one_of(_words, _json), "description": _words, "x": _json},
)
_conditions = {
    name: st.one_of(
        values,
        st.lists(values, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(OPERATORS), st.text(max_size=4)), values, max_size=3),
    )
    for name, values in _fields.items()
}
_filters = st.one_of(
    st.fixed_dictionaries({}, optional=_conditions),
    st.fixed_dictionaries({}, optional={**_conditions, "x": _json}),
)
_option_values = {
    OptionType.INTEGER: st.integers(0, 1100),
    OptionType.NUMBER: _numbers,
    OptionType.BOOLEAN: st.sampled_from([True, False, "true", "0", "yes"]),
    OptionType.TEXT: st.sampled_from(["customer-7", "", "x" * 300, "\u00fc"]),
    OptionType.NAMES: st.sampled_from(["name", "name,price", "-", "a,,b"]),
    OptionType.IDS: st.sampled_from(["1001", "1001,1002", '["1001", "\\ud800"]', "[]", "nobody", ","]),
    OptionType.NUMBERS: st.sampled_from(["1", "1,-0.5", "0,0", "nan", "1,,2", "1e999"]),
    OptionType.JSON: _filters.map(json.dumps),
    OptionType.JSON_LIST: st.lists(
        st.fixed_dictionaries({}, optional={"filter": _filters, "by": _numbers, "field": _words, "x": _json}),
        max_size=3,
    ).map(json.dumps),
}


def _value(option: OptionSpec) -> st.SearchStrategy[Any]:
    return st.sampled_from(option.choices) if option.choices else _option_values[option.type]


_options = st.fixed_dictionaries(
    {},
    optional={
        **{option.name: st.one_of(_value(option), _json) for option in ALL_OPTIONS},
        **{option.name.upper().replace("_", "-"): _value(option).map(str) for option in ALL_OPTIONS[:3]},
    },
)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _damaged(draw: st.DrawFn, text: st.SearchStrategy[str]) -> bytes:
    """Bytes of a text, some of them changed."""
    data = bytearray(_utf8(draw(text)))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=3)):
        if data:
            data[place % len(data)] = value
    return bytes(data)


_nested = st.integers(1, 3000)
_product_texts = st.one_of(
    _product_objects.map(json.dumps),
    _product_objects.map(json.dumps),
    _json.map(json.dumps),
    _nested.map(lambda depth: "[" * depth + "]" * depth),
    _nested.map(lambda depth: '{"a":' * depth + "1" + "}" * depth),
)
_texts = st.text(max_size=60)

KINDS: dict[str, Kind] = {
    "photos": Kind(photo_files(), Photos),
    "words": Kind(st.one_of(_texts.map(_utf8), _texts.map(_utf8), _damaged(_texts), st.binary(max_size=60)), Words),
    "products": Kind(
        st.one_of(_product_texts.map(str.encode), _damaged(_product_texts)), lambda: Plain(_read_product)
    ),
    "filters": Kind(st.one_of(_filters.map(json.dumps), _json.map(json.dumps), _texts), lambda: Plain(parse_filter)),
    "options": Kind(
        st.one_of(_options.map(json.dumps), st.dictionaries(_texts, _json, max_size=2).map(json.dumps)),
        lambda: Plain(parse_parameters),
    ),
    "feeds": Kind(feeds(), lambda: Plain(read_feed)),
}
