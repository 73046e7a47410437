"""The declarations check themselves, and products are checked and hashed alike on both sides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from product_match.contract import errors, limits, models, products
from product_match.contract.encoder import ENCODER_FILE, EncoderSpec, SimilarityScale, load_encoder, parse_encoder
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.contract.tensors import Dtype, TensorSpec
from tests.fakes.encoders import encoder_spec


def test_an_encoder_declaration_survives_a_round_trip(tmp_path):
    spec = encoder_spec()
    (tmp_path / ENCODER_FILE).write_text(spec.to_json())
    assert load_encoder(tmp_path) == spec
    assert spec.identity == "tiny@0123456789ab"
    assert spec.context_length == 16


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("name"),
        lambda fields: fields.update(surprise=1),
        lambda fields: fields["scales"].pop("image_to_image"),
        lambda fields: fields.update(text_buckets=3),
    ],
)
def test_a_damaged_encoder_declaration_is_named(change):
    fields = json.loads(encoder_spec().to_json())
    change(fields)
    with pytest.raises(
        ConfigError, match=r"here\.json is not an encoder declaration of this version .* build it again"
    ):
        parse_encoder(json.dumps(fields), "here.json")


def test_a_missing_encoder_directory_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"is not an encoder directory.*ensemble-builder build"):
        load_encoder(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_buckets": (16, 8)}, "text_buckets must ascend and start at 2 or more, got (16, 8)"),
        ({"text_buckets": ()}, "text_buckets must ascend"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, got 0"),
    ],
)
def test_an_impossible_encoder_cannot_exist(change, words):
    with pytest.raises(ConfigError) as caught:
        encoder_spec(**change)
    assert words in str(caught.value)


@pytest.mark.parametrize(("background", "match"), [(0.5, 0.5), (0.9, 0.1), (float("nan"), 1.0)])
def test_a_similarity_scale_must_rise(background, match):
    with pytest.raises(ConfigError, match="match must be finite and above background"):
        SimilarityScale(background=background, match=match)


@pytest.mark.parametrize("dims", [(), (0,), (-2,)])
def test_a_tensor_needs_real_dims(dims):
    with pytest.raises(ValueError, match="dims must be positive or -1 and not empty"):
        TensorSpec(name="x", dtype=Dtype.FP32, dims=dims, meaning="")


def test_bytes_are_spelled_string_in_a_configuration():
    assert Dtype.BYTES.config_name == "TYPE_STRING"
    assert Dtype.FP32.config_name == "TYPE_FP32"
    assert Dtype.BYTES.numpy == np.dtype(object)


def test_every_ensemble_finds_its_tensors():
    encoder = encoder_spec()
    by_name = {model.name: model for model in models.composing_models(encoder)}
    for ensemble in models.ensembles(encoder):
        there = {tensor.name for tensor in ensemble.inputs}
        for step in ensemble.steps:
            needed = {tensor.name for tensor in by_name[step].inputs if not tensor.optional}
            assert needed <= there, f"{ensemble.name}: {step} misses {needed - there}"
            there |= {tensor.name for tensor in by_name[step].outputs}
        assert {tensor.name for tensor in ensemble.outputs} <= there
        assert all(ensemble.max_batch_size <= by_name[step].max_batch_size for step in ensemble.steps)


def test_a_name_means_one_shape_everywhere():
    seen: dict[str, tuple[Dtype, tuple[int, ...]]] = {}
    encoder = encoder_spec()
    for model in models.composing_models(encoder):
        for tensor in (*model.inputs, *model.outputs):
            assert seen.setdefault(tensor.name, (tensor.dtype, tensor.dims)) == (tensor.dtype, tensor.dims)


def test_an_encoder_with_one_bucket_has_fixed_token_rows():
    assert models.input_ids(encoder_spec(text_buckets=(64,))).dims == (64,)
    assert models.input_ids(encoder_spec()).dims == (-1,)


def test_every_error_names_a_triton_code_and_has_a_docstring():
    for error in errors.error_classes():
        assert error.triton_code in {"INVALID_ARG", "NOT_FOUND", "UNAVAILABLE", "INTERNAL"}
        assert error.__doc__
        assert error.__name__ in str(errors.__doc__)


def parse(**fields):
    return products.parse_product(json.dumps(fields).encode())


def test_a_product_keeps_free_fields_and_gets_a_string_id():
    assert parse(id=7, name="Tee", attributes={"fit": ["slim"]}) == {
        "id": "7",
        "name": "Tee",
        "attributes": {"fit": ["slim"]},
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON in UTF-8"),
        (b"\xff{}", "not valid JSON in UTF-8"),
        (b"[1]", "expected a JSON object, got list"),
        (b"{}", "`id` must be a non-empty string, got None; give each product its own id"),
        (b'{"id": "  "}', "`id` must be a non-empty string"),
        (b'{"id": true}', "`id` must be a non-empty string, got True"),
        (b'{"id": "a\\u0000b"}', "`id` holds a NUL"),
        (b'{"id": "\\ud800"}', "half a surrogate pair"),
        (json.dumps({"id": "x" * 201}).encode(), "`id` has 201 characters, the limit is 200; shorten it"),
        (b'{"id": "1", "price": NaN}', "NaN is not JSON"),
        (
            b'{"id": "1", "price": "12 EUR"}',
            "price must be a finite number, got '12 EUR'; send it without a currency",
        ),
        (b'{"id": "1", "price": 1e999}', "price must be a finite number, got inf"),
        (b'{"id": "1", "name": 5}', "name must be a string, got int; quote it or leave it out"),
        (b'{"id": "1", "sku": 5}', "sku must be a string"),
        (b"[" * 100_000, "not valid JSON"),
        (
            json.dumps({"id": "1", "description": "x" * 20_000_000}).encode(),
            "bytes of JSON, the limit is 1,048,576; shorten the description",
        ),
    ],
)
def test_bad_products_say_what_to_do(data, words):
    with pytest.raises(InvalidRequestError) as caught:
        products.parse_product(data)
    assert words in str(caught.value)


def test_the_words_of_a_product_are_its_text_fields():
    assert products.product_words({"id": "1", "color": "navy", "name": " Tee ", "price": 3}) == "Tee. navy"
    assert products.product_words({"id": "1"}) == ""


def test_the_content_hash_sees_every_part_and_no_order():
    one = products.content_hash({"id": "1", "name": "Tee"}, [b"photo"], "words")
    assert one == products.content_hash({"name": "Tee", "id": "1"}, [b"photo"], "words")
    assert len(one) == 64
    others = {
        products.content_hash({"id": "1", "name": "Tees"}, [b"photo"], "words"),
        products.content_hash({"id": "1", "name": "Tee"}, [b"Photo"], "words"),
        products.content_hash({"id": "1", "name": "Tee"}, [b"photo"], "word"),
        products.content_hash({"id": "1", "name": "Tee"}, [], "photowords"),
    }
    assert one not in others
    assert len(others) == 4


def test_point_ids_are_stable_and_distinct():
    # Computed with `uuid.uuid5` of another implementation's namespace rules: SHA-1, version 5.
    assert products.point_id("1042") == products.point_id("1042")
    assert products.point_id("1042")[14] == "5"
    assert len({products.point_id(str(n)) for n in range(1000)}) == 1000


def test_limits_fit_each_other():
    assert limits.DEFAULT_TOP_K <= limits.MAX_TOP_K
    assert isinstance(encoder_spec(), EncoderSpec)
