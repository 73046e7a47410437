"""A whole Triton batch is one search and one document query; the ranking is exact and stable."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match.contract.options import FUSIONS
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.service import RetrievalService
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.triton.batches import BatchRequest, bytes_column
from product_match.vectors.vector_index import VectorPoint
from product_match.words.analysis import Analyser
from tests.fakes.catalogues import POINT_MAKER
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import ExactIndex


class Documents:
    """Products by point id, which here is the product's own id."""

    def __init__(self, products, missing=()):
        self.products = {product["id"]: json.dumps(product).encode() for product in products}
        self.missing = set(missing)
        self.calls = []

    def fetch(self, ids):
        self.calls.append(list(ids))
        return {key: StoredProduct(key, self.products[key]) for key in ids if key not in self.missing}


def unit(*values):
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


VECTORS = {
    "a": {"image": unit(1, 0, 0, 0), "text": unit(0, 1, 0, 0)},
    "b": {"image": unit(1, 1, 0, 0)},
    "c": {"text": unit(0, 0, 1, 0)},
    "d": {"image": unit(0, 0, 0, 1), "text": unit(1, 0, 0, 1)},
}


def plain(id_):
    return {"id": id_, "name": f"Product {id_}", "price": 1.5}


def index_of(vectors):
    """An index of points without exact words."""
    return ExactIndex([VectorPoint(id=key, rev=1, vectors=held, payload={}) for key, held in vectors.items()])


class Shop:
    """Products with vectors and exact words, and what is known of them."""

    def __init__(self, products, vectors=VECTORS, image_fit=None):
        self.products = products
        points = []
        for product in products:
            held = {f"{side}_embeds": row.tobytes() for side, row in vectors.get(product["id"], {}).items()}
            made = POINT_MAKER.point({"_id": product["id"], "rev": 1, "product": product, **held})
            points.append(made)
        self.index = ExactIndex(points)
        self.documents = Documents(products)
        self.statistics = CatalogueStatistics(image_fit=image_fit)
        self.statistics.vocabulary.add(Analyser(), products)

    def ask(self, *requests):
        service = RetrievalService(
            encoder_spec(), self.index, self.documents, lambda: self.statistics, language="english"
        )
        return service(requests)

    def row(self, text, vector=None, **parameters):
        (answer,) = self.ask(
            request(text=[unit(0, 0, 0, 1) if vector is None else vector], words=[text], **parameters)
        )
        return rows_of(answer)[0]


def request(image=None, text=None, given=None, request_id="q", words=None, **parameters):
    tensors = {}
    for side, rows in (("image", image), ("text", text)):
        if rows is not None:
            tensors[f"{side}_embeds"] = np.stack(rows)
            flags = given[side] if given else [True] * len(rows)
            tensors[f"{side}_given"] = np.asarray(flags).reshape(-1, 1)
    if words is not None:
        tensors["query_text"] = bytes_column([row.encode() for row in words])
    return BatchRequest(tensors=tensors, parameters=parameters, request_id=request_id)


def serve(*requests, index=None, documents=None):
    index = index or index_of(VECTORS)
    documents = documents or Documents([plain(point.id) for point in getattr(index, "points", ())])
    service = RetrievalService(encoder_spec(), index, documents, CatalogueStatistics, language="english")
    return service(requests)


def rows_of(answer):
    return [json.loads(row) for row in answer["matches"][:, 0]]


def ids(answer, row=0):
    return [match["product_id"] for match in rows_of(answer)[row]["matches"]]


def test_a_batch_is_one_search_and_one_document_query():
    index, documents = index_of(VECTORS), Documents([plain(key) for key in VECTORS])
    photo, words = unit(1, 0, 0, 0), unit(0, 0, 1, 0)
    answers = serve(
        request(image=[photo, words]),
        request(text=[words]),
        request(image=[photo], text=[words]),
        index=index,
        documents=documents,
    )
    assert (len(index.batches), len(documents.calls)) == (1, 1)
    assert [len(rows_of(answer)) for answer in answers] == [2, 1, 1]


def test_a_photo_ranks_photos_and_the_answer_holds_the_details():
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)], request_id="mine"))
    (row,) = rows_of(answer)
    assert (row["query_id"], row["encoder"]) == ("mine", "tiny@0123456789ab")
    assert ids(answer) == ["a", "b", "d"]
    assert row["matches"][0] == {
        "rank": 1,
        "product_id": "a",
        "score": 1.0,
        "confidence": pytest.approx(0.97, abs=0.03),
        "product": {"id": "a", "name": "Product a", "price": 1.5},
    }
    assert row["matches"][1]["score"] == pytest.approx((2**-0.5 - 0.5) / 0.5, abs=1e-5)


def test_words_find_products_without_a_photo():
    (answer,) = serve(request(text=[unit(0, 0, 1, 0)]))
    assert ids(answer)[0] == "c"


def test_a_product_is_compared_by_its_words_and_by_its_photo_where_it_has_none():
    (answer,) = serve(request(text=[unit(1, 0, 0, 1)]))
    scores = {match["product_id"]: match["score"] for match in rows_of(answer)[0]["matches"]}
    # d: by its words (1 - 0.4) / 0.5; b has no words: by its photo (0.5 - 0.2) / 0.2; a and c: (0 - 0.4) / 0.5.
    assert scores == pytest.approx({"b": 1.5, "d": 1.2, "a": -0.8, "c": -0.8}, abs=1e-4)


def test_a_row_whose_photo_is_empty_is_answered_by_its_words():
    photo, words = unit(1, 0, 0, 0), unit(0, 0, 1, 0)
    (mixed,) = serve(
        request(image=[photo, photo], text=[words, words], given={"image": [False, True], "text": [True, False]})
    )
    (by_words,), (by_photo,) = serve(request(text=[words])), serve(request(image=[photo]))
    assert [rows_of(mixed)[row]["matches"] for row in (0, 1)] == [
        rows_of(by_words)[0]["matches"],
        rows_of(by_photo)[0]["matches"],
    ]


def test_top_k_fields_and_min_score_belong_to_each_request():
    photo = unit(1, 0, 0, 0)
    first, second, third = serve(
        request(image=[photo], top_k=1, fields=("name", "nothing")),
        request(image=[photo], min_score=0.3, fields=()),
        request(image=[photo]),
    )
    assert rows_of(first)[0]["matches"][0]["product"] == {"name": "Product a"}
    assert ids(second) == ["a", "b"]
    assert rows_of(second)[0]["matches"][0]["product"] == {}
    assert set(rows_of(third)[0]["matches"][0]["product"]) == {"id", "name", "price"}


def test_a_hit_without_a_document_is_left_out_and_replaced_by_the_next():
    (answer,) = serve(
        request(image=[unit(1, 0, 0, 0)], top_k=1), documents=Documents(map(plain, VECTORS), missing="a")
    )
    (match,) = rows_of(answer)[0]["matches"]
    assert (match["rank"], match["product_id"]) == (1, "b")


def test_an_empty_index_answers_with_no_matches_and_asks_for_no_documents():
    documents = Documents([])
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)]), index=index_of({}), documents=documents)
    assert rows_of(answer)[0] == {
        "query_id": "q",
        "encoder": "tiny@0123456789ab",
        "outcome": "not_stocked",
        "matches": [],
    }
    assert documents.calls == []


def test_equal_scores_are_ordered_by_id():
    same = {key: {"image": unit(1, 0, 0, 0)} for key in ("z", "y", "x")}
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)]), index=index_of(same))
    assert ids(answer) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            request(image=[unit(1, 0, 0, 0)], given={"image": [False]}),
            "row 0: no photo and no words came (0 bytes); send `image_bytes`, `query_text`, or both",
        ),
        (request(image=[unit(1, 0, 0, 0) * np.nan]), "image_embeds: row 0 holds NaN or infinity"),
        (request(image=[unit(1, 0, 0, 0)], text=[unit(1, 0, 0, 0)], image_weight=0.0, text_weight=0.0), "both are 0"),
        (request(image=[unit(1, 0, 0, 0)], filter={"colour": "x"}), "colour"),
    ],
)
def test_a_bad_request_fails_alone(bad, words):
    good, failed, other = serve(request(image=[unit(1, 0, 0, 0)]), bad, request(text=[unit(1, 0, 0, 0)]))
    assert isinstance(failed, InvalidRequestError)
    assert words in str(failed)
    assert ids(good)
    assert ids(other)


def test_a_request_without_a_name_gets_one_and_rows_are_numbered():
    (unnamed, named) = serve(
        request(image=[unit(1, 0, 0, 0)], request_id=""), request(image=[unit(1, 0, 0, 0)] * 2, request_id="n")
    )
    assert len(rows_of(unnamed)[0]["query_id"]) == 32
    assert [row["query_id"] for row in rows_of(named)] == ["n/0", "n/1"]


def test_a_dead_index_is_passed_on():
    class Dead:
        def search(self, queries):
            raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        serve(request(image=[unit(1, 0, 0, 0)]), index=Dead())


SHOES = {"category": "Shoes"}
GOODS = [
    {"id": "1", "sku": "AB-12-345", "name": "Navy suede sneakers", "price": 59.0, "color": "navy", **SHOES},
    {"id": "2", "name": "White canvas sneakers", "price": 39.0, "color": "white", **SHOES},
    {"id": "3", "name": "Navy wool beanie", "price": 19.9, "color": "navy", "category": "Hats"},
    {"id": "4", "name": "Olive soap, 500 ml", "price": 4.5, "category": "Care"},
    {"id": "5", "name": "Bag for AB-12-345", "price": 9.0, "category": "Bags"},
]


@pytest.fixture
def shop():
    return Shop(GOODS, {})


def test_words_are_found_exactly_and_the_best_named_product_is_first(shop):
    row = shop.row("navy sneakers")
    assert ids_of(row)[0] == "1"
    assert set(ids_of(row)) == {"1", "2", "3"}
    assert row["outcome"] == "matched"
    assert "repaired" not in row


def ids_of(row):
    return [match["product_id"] for match in row["matches"]]


def test_an_identifier_comes_before_a_product_that_only_mentions_it(shop):
    for typed in ("ab-12-345", "AB12345", "ab 12 345", "buy AB-12-345"):
        row = shop.row(typed)
        assert ids_of(row)[0] == "1", typed
        assert row["matches"][0]["confidence"] > 0.9
        assert row["outcome"] == "matched"


def test_one_wrong_letter_is_repaired_and_told(shop):
    row = shop.row("snaekers")
    assert row["repaired"] == {"snaekers": "sneakers"}
    assert set(ids_of(row)) == {"1", "2"}


def test_words_that_no_product_has_are_not_stocked(shop):
    row = shop.row("leather sofa")
    assert row["outcome"] == "not_stocked"
    assert row["matches"] == []


def test_the_least_confidence_cuts_matches_and_leaves_the_outcome(shop):
    every = shop.row("navy sneakers")["matches"]
    confidences = [match["confidence"] for match in every]
    least = (max(confidences) + min(confidences)) / 2
    row = shop.row("navy sneakers", min_confidence=least)
    assert row["matches"] == [match for match in every if match["confidence"] >= least]
    assert 0 < len(row["matches"]) < len(every)
    assert [match["rank"] for match in row["matches"]] == list(range(1, len(row["matches"]) + 1))
    assert row["outcome"] == "matched"


def test_an_explained_answer_says_of_what_each_match_is_made_and_how_long_each_stage_took(shop):
    shop.index.points[0] = dataclasses.replace(shop.index.points[0], vectors={"text": unit(0, 0, 0, 1)})
    row = shop.row("navy sneakers", explain=True)
    first, *others = row["matches"]
    assert set(first["explain"]) == {"similarity", "ranks", "words"}
    assert first["explain"]["similarity"]["text"] == pytest.approx(1.2, abs=1e-4)
    assert first["explain"]["ranks"] == {"words": 1, "texts": 1}
    assert first["explain"]["words"]["held"] == 1.0
    assert first["explain"]["words"]["missing"] == 0.0
    assert set(others[0]["explain"]["similarity"]) == {"exact_words"}
    assert set(row["milliseconds"]) == {"search", "rank", "join", "assess", "wider", "shape"}
    assert all(spent >= 0 for spent in row["milliseconds"].values())
    plain_row = shop.row("navy sneakers")
    assert "milliseconds" not in plain_row
    assert "explain" not in plain_row["matches"][0]


def test_a_photo_explains_no_words():
    (answer,) = serve(request(image=[unit(1, 0, 0, 0)], explain=True))
    explained = rows_of(answer)[0]["matches"][0]["explain"]
    assert explained == {"similarity": {"photo": 1.0}, "ranks": {"photos": 1}}


def test_filters_that_leave_nothing_are_told_with_what_would_match_without_them(shop):
    conditions = {"category": "Hats", "price": {"lte": 70}}
    row = shop.row("suede sneakers", filter=conditions, fields=("name",))
    assert row["outcome"] == "filters_too_narrow"
    assert [(entry["without"], entry["product_id"]) for entry in row["would_match"]] == [
        (["category"], "1"),
        (["category", "price"], "1"),
    ]
    entry = row["would_match"][0]
    assert entry["product"] == {"name": "Navy suede sneakers"}
    assert entry["rank"] == 1
    assert entry["confidence"] > 0.5


def test_one_filter_is_loosened_once(shop):
    row = shop.row("suede sneakers", filter={"category": "Hats"})
    assert [entry["without"] for entry in row["would_match"]] == [["category"]]


def test_a_filter_that_fits_or_would_not_help_is_not_loosened_in_the_answer(shop):
    row = shop.row("suede sneakers", filter=SHOES)
    assert row["outcome"] == "matched"
    assert "would_match" not in row
    row = shop.row("leather sofa", filter=SHOES)
    assert row["outcome"] == "not_stocked"
    assert "would_match" not in row


def test_all_rows_whose_filters_leave_nothing_are_searched_once_more_together(shop):
    narrow = request(text=[unit(0, 0, 0, 1)] * 2, words=["suede sneakers", "soap"], filter={"category": "Hats"})
    fine = request(text=[unit(0, 0, 0, 1)], words=["beanie"], filter={"category": "Hats"}, request_id="fine")
    first, second = shop.ask(narrow, fine)
    assert [row["outcome"] for row in rows_of(first)] == ["filters_too_narrow"] * 2
    assert [row["would_match"][0]["product_id"] for row in rows_of(first)] == ["1", "4"]
    assert "would_match" not in rows_of(second)[0]
    assert len(shop.index.batches) == 2
    assert len(shop.documents.calls) == 2


def test_a_batch_without_narrow_filters_is_searched_once(shop):
    shop.ask(
        request(text=[unit(0, 0, 0, 1)] * 2, words=["suede sneakers", "sofa"]),
        request(image=[unit(0, 0, 0, 1)], text=[unit(0, 0, 0, 1)], words=["soap"]),
    )
    assert (len(shop.index.batches), len(shop.documents.calls)) == (1, 1)


def test_words_beside_a_photo_are_those_of_their_row():
    shop = Shop(
        [{**plain(key), "name": name} for key, name in zip("abcd", ("Tee", "Cap", "Mug", "Pan"), strict=True)]
    )
    photo, words = unit(1, 0, 0, 0), unit(0, 0, 0, 1)
    given = {"image": [True, False, True], "text": [True, True, False]}
    (answer,) = shop.ask(
        request(image=[photo] * 3, text=[words] * 3, words=["mug", "cap", ""], given=given, explain=True, top_k=4)
    )
    both, by_words, by_photo = rows_of(answer)
    assert {m["product_id"]: m["explain"]["words"]["held"] for m in both["matches"]} == {
        "a": 0.0, "b": 0.0, "c": 1.0, "d": 0.0,
    }  # fmt: skip
    assert ids_of(by_words)[0] == "b"
    assert ids_of(by_photo)[0] == "a"
    assert "words" not in by_photo["matches"][0]["explain"]


def test_words_that_weigh_nothing_are_not_read():
    shop = Shop([plain(key) for key in "abcd"])
    (answer,) = shop.ask(
        request(
            image=[unit(1, 0, 0, 0)], text=[unit(0, 0, 0, 1)], words=["produkt"], image_weight=1.0, text_weight=0.0
        )
    )
    row = rows_of(answer)[0]
    assert "repaired" not in row
    assert ids_of(row)[0] == "a"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_each_way_of_fusing_answers(shop, fusion):
    row = shop.row("navy sneakers", fusion=fusion)
    if fusion == "vector":
        assert row["matches"] == []
    else:
        assert ids_of(row)[0] == "1"


def test_the_newest_statistics_are_used_for_each_batch(shop):
    assert shop.row("beenie")["repaired"] == {"beenie": "beanie"}
    shop.statistics = CatalogueStatistics()
    assert "repaired" not in shop.row("beenie")


def test_answers_are_noted_together_and_each_carries_its_own_token(shop):
    noted = []

    def recorder(encoder, answered, timings):
        noted.append((encoder, [(one.row.query_id, one.outcome, len(one.matches)) for one in answered]))
        assert set(timings.milliseconds) == {"search", "rank", "join", "assess", "wider", "shape"}
        return [f"token of {one.row.query_id}" if one.row.top_k > 1 else None for one in answered]

    service = RetrievalService(
        encoder_spec(), shop.index, shop.documents, lambda: shop.statistics, "english", recorder
    )
    text = [unit(0, 0, 0, 1)]
    first, past, last = service(
        [
            request(text=text * 2, words=["beanie", "soap"], request_id="a", top_k=2),
            request(text=text, words=["soap"], request_id="b", offset=900),
            request(text=text, words=["soap"], request_id="c", top_k=1),
        ]
    )
    assert [row.get("feedback_token") for row in rows_of(first)] == ["token of a/0", "token of a/1"]
    assert "feedback_token" not in rows_of(last)[0]
    assert isinstance(past, InvalidRequestError)
    ((encoder, answers),) = noted
    assert encoder == encoder_spec().identity
    assert [(name, matches) for name, _, matches in answers] == [("a/0", 1), ("a/1", 1), ("c", 1)]
