from __future__ import annotations

import json

import pytest

from product_match.contract import limits, models
from product_match.contract.errors import InvalidRequestError
from product_match.contract.options import MATCH_OPTIONS, OptionSpec, OptionType
from product_match_client import MatchOptions, requests
from product_match_client.requests import FeedbackRow, ProductRow, Query


def parameters(**options):
    return requests.match_parameters(options)


@pytest.mark.parametrize(
    ("queries", "model", "columns"),
    [
        ([Query(image=b"i")], models.PRODUCT_MATCH_IMAGE, {"image_bytes": [b"i"]}),
        ([Query(text="t")], models.PRODUCT_MATCH_TEXT, {"query_text": [b"t"]}),
        ([Query(image=b"i", text="t")], models.PRODUCT_MATCH, {"image_bytes": [b"i"], "query_text": [b"t"]}),
        (
            [Query(image=b"i"), Query(text="t")],
            models.PRODUCT_MATCH,
            {"image_bytes": [b"i", b""], "query_text": [b"", b"t"]},
        ),
        ([Query(image=b"i", text=""), Query(image=b"j")], models.PRODUCT_MATCH_IMAGE, {"image_bytes": [b"i", b"j"]}),
    ],
)
def test_the_smallest_ensemble_that_serves_every_row_is_chosen(queries, model, columns):
    request = requests.match_request(queries, {})
    assert (request.model, request.columns, request.output) == (model, columns, "matches")


def test_options_that_are_not_given_are_not_sent():
    assert parameters() == {}
    assert parameters(**dict.fromkeys(option.name for option in MATCH_OPTIONS)) == {}


def test_an_option_that_is_not_declared_is_refused():
    with pytest.raises(InvalidRequestError, match=r"topk is no option of a match; known are top_k, offset, "):
        parameters(topk=5)


@pytest.mark.parametrize(
    ("kind", "more", "value", "sent", "wrong"),
    [
        (OptionType.BOOLEAN, {}, True, True, "yes"),
        (OptionType.CHOICE, {"choices": ("a", "b")}, "b", "b", "c"),
        (OptionType.INTEGER, {"minimum": 0, "maximum": 9}, 3, 3, 10),
        (OptionType.NUMBER, {"minimum": 0, "maximum": 9}, 0.5, 0.5, "0.5"),
        (OptionType.NAMES, {}, ["a", "b"], "a,b", None),
        (OptionType.JSON, {}, {"a": 1}, '{"a": 1}', object()),
    ],
)
def test_an_option_that_is_declared_is_taken_with_no_more_to_do(monkeypatch, kind, more, value, sent, wrong):
    new = OptionSpec(name="new", type=kind, default="none", meaning="New.", **more)
    monkeypatch.setitem(requests._OPTIONS, "new", new)
    assert parameters(new=value) == {"new": sent}
    if wrong is not None:
        with pytest.raises(InvalidRequestError, match=r"^new(: cannot be written| must be )"):
            parameters(new=wrong)


def test_the_types_are_those_of_the_contract():
    assert list(MatchOptions.__annotations__) == [option.name for option in MATCH_OPTIONS]


def test_options_travel_in_types_that_triton_takes():
    sent = parameters(
        top_k=5,
        fields=["name", "price"],
        filter={"price": {"lte": 50}},
        min_score=-1,
        image_weight=0.25,
        text_weight=1,
    )
    assert sent == {
        "top_k": 5,
        "fields": "name,price",
        "filter": '{"price": {"lte": 50}}',
        "min_score": -1,
        "image_weight": 0.25,
        "text_weight": 1,
    }


def test_one_field_may_be_given_as_a_string():
    assert parameters(fields="name") == {"fields": "name"}


def test_products_travel_as_a_list_and_one_may_be_given_as_a_string():
    assert parameters(like="1042", unlike=["a,b", "7"]) == {"like": '["1042"]', "unlike": '["a,b", "7"]'}


@pytest.mark.parametrize("value", [[], "", [" "], [7]])
def test_products_that_cannot_be_named_are_refused_before_they_are_sent(value):
    with pytest.raises(InvalidRequestError, match="like must be product ids, none of them empty, got "):
        parameters(like=value)


def test_what_is_like_a_product_needs_no_photo_and_no_words():
    sent = requests.match_request([Query(), Query(text="red")], parameters(like="1042"))
    assert (sent.model, sent.columns) == ("product_match_text", {"query_text": [b"", b"red"]})
    sent = requests.match_request([Query(), Query(image=b"photo")], parameters(like="1042"))
    assert (sent.model, sent.columns) == ("product_match_image", {"image_bytes": [b"", b"photo"]})


def test_no_fields_are_asked_for_with_a_dash():
    assert parameters(fields=[]) == {"fields": "-"}


@pytest.mark.parametrize("value", [0, -1, limits.MAX_TOP_K + 1, "five", 2.5, True])
def test_a_top_k_that_cannot_be_is_refused_before_it_is_sent(value):
    with pytest.raises(InvalidRequestError, match=r"top_k must be an integer from 1 to 1000, got "):
        parameters(top_k=value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, "much"])
def test_a_weight_that_cannot_be_is_refused_before_it_is_sent(value):
    with pytest.raises(InvalidRequestError, match=r"text_weight must be a number from 0 to 1000, got "):
        parameters(text_weight=value)


@pytest.mark.parametrize("value", [{"price": float("nan")}, {"price": object()}])
def test_a_filter_that_is_not_json_is_refused(value):
    with pytest.raises(InvalidRequestError, match="filter: cannot be written as JSON"):
        parameters(filter=value)


@pytest.mark.parametrize(
    ("query", "given"), [(Query(), "neither"), (Query(text=""), "an empty one"), (Query(image=b""), "an empty one")]
)
def test_a_query_needs_a_photo_or_words(query, given):
    with pytest.raises(InvalidRequestError, match=f"query 1: needs a photo, words, or both, got {given}; give "):
        requests.match_request([Query(text="x"), query], {})


@pytest.mark.parametrize("count", [0, limits.MAX_BATCH_SIZE + 1])
def test_a_request_takes_one_to_sixty_four_rows(count):
    with pytest.raises(
        InvalidRequestError, match=f"queries: one request takes 1 to 64 rows, got {count}; send several"
    ):
        requests.match_request([Query(text="x")] * count, {})
    with pytest.raises(InvalidRequestError, match=f"products: one request takes 1 to 64 rows, got {count}"):
        requests.index_request([ProductRow(product={"id": "1"})] * count, wait=False)


def test_a_product_is_checked_once():
    checked = requests.checked_product({"id": 7, "name": "Coat"})
    assert checked == {"id": "7", "name": "Coat"}
    assert requests.checked_product(checked) is checked
    sent = requests.index_request([ProductRow(product=checked)], wait=False).columns["product"]
    assert [json.loads(row) for row in sent] == [checked]


def test_a_photo_may_be_a_path_or_bytes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"photo")
    assert requests.read_image(tmp_path / "a.jpg") == b"photo"
    assert requests.read_image(str(tmp_path / "a.jpg")) == b"photo"
    assert requests.read_image(b"photo") == b"photo"
    assert requests.read_image(None) == b""


def test_a_photo_that_is_not_there_is_told(tmp_path):
    with pytest.raises(
        InvalidRequestError, match=r"photo .*a\.jpg cannot be read \(No such file or directory\); give"
    ):
        requests.read_image(tmp_path / "a.jpg")


def test_an_empty_photo_is_told(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InvalidRequestError, match=r"photo .*a\.jpg is empty; give the path of an image file"):
        requests.read_image(tmp_path / "a.jpg")


def test_a_photo_over_the_limit_is_not_sent(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(limits.MAX_IMAGE_BYTES + 1)
    for image in (tmp_path / "a.jpg", bytes(limits.MAX_IMAGE_BYTES + 1)):
        with pytest.raises(InvalidRequestError, match=r"photo.*: more than 20,971,520 bytes.* send a smaller one"):
            requests.read_image(image)


def test_a_product_is_found_by_its_own_words_unless_others_are_given():
    product = {"id": 7, "name": "Coat", "color": "navy", "attributes": {"lining": "wool"}}
    rows = [ProductRow(product=product), ProductRow(product=product, text="x"), ProductRow(product=product, text="")]
    request = requests.index_request(rows, wait=False)
    assert request.columns["query_text"] == [b"Coat. navy", b"x", b""]
    assert request.columns["image_bytes"] == [b"", b"", b""]
    assert json.loads(request.columns["product"][0]) == {**product, "id": "7"}
    assert (request.model, request.output, request.parameters) == ("product_index", "receipt", {})


def test_further_photos_travel_in_rows_behind_their_product(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"back")
    rows = [
        ProductRow(product={"id": 7, "name": "Coat"}, image=[b"front", tmp_path / "b.jpg"]),
        ProductRow(product={"id": "8", "name": "Hat"}, image=(b"hat",)),
        ProductRow(product={"id": "9", "name": "Cap"}, image=[]),
    ]
    request = requests.index_request(rows, wait=False)
    assert [json.loads(row) for row in request.columns["product"]] == [
        {"id": "7", "name": "Coat"},
        {"image_of": "7"},
        {"id": "8", "name": "Hat"},
        {"id": "9", "name": "Cap"},
    ]
    assert request.columns["image_bytes"] == [b"front", b"back", b"hat", b""]
    assert request.columns["query_text"] == [b"Coat", b"", b"Hat", b"Cap"]


def test_photos_count_as_rows_and_too_many_of_a_product_are_not_sent():
    with pytest.raises(InvalidRequestError, match="products: one request takes 1 to 64 rows, got 65"):
        requests.index_request([ProductRow(product={"id": "1"}, image=[b"x"] * 13)] * 5, wait=False)
    with pytest.raises(InvalidRequestError, match="product 1: 17 photos, the limit is 16; leave out those"):
        requests.index_request([ProductRow(product={"id": "1"}, image=[b"x"] * 17)], wait=False)


def test_waiting_is_a_parameter():
    assert requests.index_request([ProductRow(product={"id": "1"})], wait=True).parameters == {"wait": True}


def test_the_key_of_a_person_is_a_text():
    assert requests.match_parameters({"person": "customer-7"}) == {"person": "customer-7"}
    with pytest.raises(InvalidRequestError, match="person must be a text that is not empty, got ''"):
        requests.match_parameters({"person": ""})
    with pytest.raises(InvalidRequestError, match="person must be a text that is not empty, got 7"):
        requests.match_parameters({"person": 7})


@pytest.mark.parametrize("product", [{}, {"id": ""}, {"id": "1", "price": "cheap"}, {"id": "1", "x": float("nan")}])
def test_a_product_that_cannot_be_is_refused_before_it_is_sent(product):
    with pytest.raises(InvalidRequestError, match="product"):
        requests.index_request([ProductRow(product=product)], wait=False)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"token": None, "product_id": "1"},
            "feedback: `token` is None; give the `feedback_token` of an answer; a server",
        ),
        ({"token": "t", "product_id": ""}, "feedback: `product_id` is ''; give the `product_id` of an answer"),
        ({"token": "t", "product_id": "1", "event": None}, "got neither of `rating` and `event`; give one"),
    ],
)
def test_feedback_that_lacks_something_is_not_sent(row, words):
    with pytest.raises(InvalidRequestError) as caught:
        requests.feedback_request([FeedbackRow(**{"event": "click", **row})])
    assert words in str(caught.value)


def test_a_command_is_one_row_of_json():
    request = requests.catalogue_request({"operation": "count"})
    assert (request.model, request.output) == ("catalogue", "result")
    assert [json.loads(row) for row in request.columns["command"]] == [{"operation": "count"}]


def test_a_command_over_the_limit_is_not_sent():
    with pytest.raises(
        InvalidRequestError, match=r"command: .* bytes of JSON, the limit is 16,777,216; send it in parts"
    ):
        requests.catalogue_request({"ids": "x" * limits.MAX_COMMAND_BYTES})
