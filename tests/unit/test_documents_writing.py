"""Writing products: receipts, order, neighbours, concurrent writers, photos, and a store that is away."""

from __future__ import annotations

import threading
import time

import pytest
from pymongo.errors import BulkWriteError

from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError
from product_match.contract.products import content_hash, point_id
from product_match.documents import conditional_writes as changes
from product_match.documents import writing
from product_match.documents.images import KEEP_S, PART_BYTES, load_images
from product_match.documents.records import Outcome, ProductWrite, Receipt, unpack_vector
from product_match.documents.removal import remove_products
from product_match.documents.store import open_documents
from product_match.documents.writing import write_products
from tests.fakes.catalogues import POINT_MAKER, image_digest, photo_bytes, photo_vector, product_write, unit_vector
from tests.fakes.encoders import encoder_spec

IDENTITY = encoder_spec().identity


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, IDENTITY)
    yield opened
    opened.close()


def write_one(documents, write):
    (result,) = write_products(documents, [write])
    return result


def stored(documents, number):
    return documents.products.find_one({"_id": point_id(f"p{number}")})


def test_a_new_product_is_created_with_everything_that_was_given(documents):
    write = product_write(1, color="red")
    receipt = write_one(documents, write)
    assert receipt == Receipt(product_id="p1", point_id=point_id("p1"), rev=1, outcome=Outcome.CREATED)
    document = stored(documents, 1)
    assert document["product"] == write.product
    assert document["product_id"] == "p1"
    assert document["encoder"] == IDENTITY
    assert document["pending"]
    assert document["vectors"] == ["image", "text"]
    assert document["query_text"] == "words 1"
    assert document["content_hash"] == content_hash(write.product, write.photos, write.query_text)
    assert unpack_vector(document["image_embeds"]).tolist() == write.image_embeds[0].tolist()
    assert unpack_vector(document["text_embeds"]).tolist() == write.text_embeds.tolist()
    assert load_images(documents.images, document["image_sha256"]) == write.photos


def test_the_same_product_again_writes_nothing(documents):
    write_one(documents, product_write(1))
    before = stored(documents, 1)
    receipt = write_one(documents, product_write(1))
    assert (receipt.rev, receipt.outcome) == (1, Outcome.UNCHANGED)
    assert stored(documents, 1) == before


@pytest.mark.parametrize(
    "changed",
    [
        product_write(1, color="red"),
        product_write(1, text=False),
        ProductWrite(**{**vars(product_write(1)), "photos": [b"another photo"]}),
        ProductWrite(**{**vars(product_write(1)), "query_text": "other words"}),
    ],
    ids=["field", "no words", "photo", "words"],
)
def test_a_changed_product_is_an_update_of_the_whole_document(documents, changed):
    write_one(documents, product_write(1))
    receipt = write_one(documents, changed)
    assert (receipt.rev, receipt.outcome) == (2, Outcome.UPDATED)
    document = stored(documents, 1)
    assert document["rev"] == 2
    assert document["product"] == changed.product
    assert document.get("query_text", "") == changed.query_text
    assert ("text_embeds" in document) == (changed.text_embeds is not None)


def test_a_product_of_another_encoder_is_written_again(documents, catalogue_settings):
    write_one(documents, product_write(1))
    documents.products.update_one({"_id": point_id("p1")}, {"$set": {"encoder": "older@1"}})
    assert write_one(documents, product_write(1)).outcome is Outcome.UPDATED


def test_a_batch_is_one_read_and_one_write_whatever_its_size(documents, monkeypatch):
    calls = []
    collection = type(documents.products)
    for name in ("find", "find_one", "bulk_write", "update_one", "insert_one", "update_many"):
        original = getattr(collection, name)

        def counted(self, *args, _name=name, _original=original, **kwargs):
            calls.append((_name, self.name.endswith("_images")))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(collection, name, counted)
    results = write_products(documents, [product_write(n) for n in range(64)])
    assert all(result.outcome is Outcome.CREATED for result in results)
    assert calls == [("find", False), ("find", True), ("bulk_write", True), ("bulk_write", False)]
    calls.clear()
    write_products(documents, [product_write(n) for n in range(64)])
    assert calls == [("find", False)]


def test_the_same_id_twice_in_a_batch_is_written_in_order(documents):
    results = write_products(
        documents,
        [
            product_write(1, color="red"),
            product_write(1, color="red"),
            product_write(2),
            product_write(1, color="blue"),
        ],
    )
    assert [(r.rev, r.outcome.value) for r in results] == [
        (1, "created"),
        (1, "unchanged"),
        (1, "created"),
        (2, "updated"),
    ]
    document = stored(documents, 1)
    assert (document["rev"], document["product"]["color"]) == (2, "blue")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stock": 2**70}, "numbers must fit 64 bits"),
        ({"note": "half \ud800"}, "text must be plain Unicode"),
        ({"attributes": {"a\x00b": 1}}, "names must be without NUL"),
    ],
)
def test_a_product_that_cannot_be_stored_harms_no_neighbour(documents, fields, words):
    results = write_products(documents, [product_write(1), product_write(2, **fields), product_write(3)])
    assert [type(result) for result in results] == [Receipt, InvalidRequestError, Receipt]
    assert str(results[1]).startswith("product p2: cannot be stored")
    assert words in str(results[1])
    assert documents.count() == 2


def test_a_product_with_neither_photo_nor_words_is_refused(documents):
    result = write_one(documents, product_write(1, image=False, text=False))
    assert isinstance(result, InvalidRequestError)
    assert "has neither a photo nor words; give it a photo, a query_text, or at least a name" in str(result)


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {"a.b": 1, "$set": {"x": [1, None, 2.5, True]}, "": "empty"}},
        {"in_stock": True, "tags": [], "nothing": {}, "big": 2**53 + 1, "note": "ünï \x00 ✓ '\" `$.a`"},
    ],
)
def test_free_attributes_come_back_as_they_went_in(documents, fields):
    write_one(documents, product_write(1))
    write_one(documents, product_write(1, **fields))
    product = documents.fetch([point_id("p1")])[point_id("p1")]
    assert {name: product[name] for name in fields} == fields


def test_a_removed_product_is_created_again_over_its_tombstone(documents):
    write_one(documents, product_write(1))
    documents.products.update_one(
        {"_id": point_id("p1")}, {"$set": {"deleted": True, "rev": 2}, "$unset": {"content_hash": ""}}
    )
    receipt = write_one(documents, product_write(1))
    assert (receipt.rev, receipt.outcome) == (3, Outcome.CREATED)
    assert "deleted" not in stored(documents, 1)


def test_writers_at_the_same_time_lose_no_update(documents):
    """Eight writers add to a product what they wrote; revisions are all different and the last one is the highest."""
    receipts, errors = [], []

    def writing_often(writer):
        for round_ in range(6):
            result = write_one(documents, product_write(1, writer=f"{writer}/{round_}"))
            (receipts if isinstance(result, Receipt) else errors).append(result)

    threads = [threading.Thread(target=writing_often, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    revs = [receipt.rev for receipt in receipts]
    assert len(set(revs)) == len(revs)
    assert stored(documents, 1)["rev"] == len(revs) == 48 - len(errors)
    assert all(isinstance(error, UnavailableError) for error in errors)
    assert sum(receipt.outcome is Outcome.CREATED for receipt in receipts) == 1


def overtaking(documents, monkeypatch, times):
    """Have another writer change product 1 just before each of the next `times` bulk writes."""
    left = [times]
    original = changes.write_changes

    def overtaken(store, planned):
        if left[0] and planned:
            left[0] -= 1
            monkeypatch.setattr(writing, "write_changes", original)
            write_one(store, product_write(1, writer=f"other {left[0]}"))
            monkeypatch.setattr(writing, "write_changes", overtaken)
        return original(store, planned)

    monkeypatch.setattr(writing, "write_changes", overtaken)


@pytest.mark.parametrize("there_before", [False, True])
def test_a_product_that_another_writer_changes_meanwhile_is_read_and_written_again(
    documents, monkeypatch, there_before
):
    if there_before:
        write_one(documents, product_write(1))
    overtaking(documents, monkeypatch, 2)
    mine, neighbour = write_products(documents, [product_write(1, color="mine"), product_write(2)])
    assert mine.rev == 3 + there_before
    assert mine.outcome is Outcome.UPDATED
    assert neighbour.outcome is Outcome.CREATED
    assert stored(documents, 1)["product"]["color"] == "mine"


def test_a_product_that_is_overtaken_again_and_again_is_given_up_alone(documents, monkeypatch):
    overtaking(documents, monkeypatch, 100)
    lost, neighbour = write_products(documents, [product_write(1, color="mine"), product_write(2)])
    assert isinstance(lost, UnavailableError)
    assert "product p1: other writers changed it 5 times while it was being written; send it again" in str(lost)
    assert isinstance(neighbour, Receipt)


def test_an_error_of_the_store_that_is_no_lost_race_is_raised(documents, monkeypatch):
    def failing(*_, **__):
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": 8, "errmsg": "disk full"}]})

    monkeypatch.setattr(type(documents.products), "bulk_write", failing)
    with pytest.raises(ProductMatchError, match="document store: writing products failed"):
        write_one(documents, product_write(1, image=False))
    with pytest.raises(ProductMatchError, match="document store: writing products failed"):
        write_one(documents, product_write(1))


LARGE = bytes(range(256)) * (PART_BYTES // 256) + b"the rest"


def with_photo(number, data):
    return ProductWrite(**{**vars(product_write(number)), "photos": [data]})


def test_several_photos_are_kept_together_in_order_with_their_vectors(documents):
    write = product_write(1, photos=3)
    write_products(documents, [write, product_write(2)])
    held = stored(documents, 1)
    assert held["image_count"] == 3
    assert held["image_sha256"] == image_digest(*(photo_bytes(1, place) for place in range(3)))
    assert load_images(documents.images, held["image_sha256"]) == write.photos
    point = POINT_MAKER.point(held)
    assert point.vectors["image"].tolist() == [photo_vector(1, place).tolist() for place in range(3)]
    assert POINT_MAKER.point(stored(documents, 2)).vectors["image"].shape == (4,)
    assert "image_count" not in stored(documents, 2)


def test_another_number_or_order_of_photos_is_a_change(documents):
    first, second = product_write(1, photos=3), product_write(1, photos=2)
    turned = ProductWrite(**{**vars(first), "photos": first.photos[::-1]})
    outcomes = [write_one(documents, write).outcome for write in (first, first, turned, second, product_write(1))]
    assert [outcome.value for outcome in outcomes] == ["created", "unchanged", "updated", "updated", "updated"]
    assert "image_count" not in stored(documents, 1)
    assert POINT_MAKER.point(stored(documents, 1)).vectors["image"].shape == (4,)


def test_large_photos_of_one_product_are_told_apart(documents):
    photos = [LARGE, b"small", LARGE[::-1]]
    write_one(documents, ProductWrite(**{**vars(product_write(1)), "photos": photos}))
    (mark,) = documents.images.find({"digest": image_digest(*photos)})
    assert mark["sizes"] == [len(photo) for photo in photos]
    assert load_images(documents.images, image_digest(*photos)) == photos


def test_photos_are_kept_once_and_large_ones_in_parts(documents):
    write_products(documents, [with_photo(n, LARGE) for n in range(3)])
    write_one(documents, with_photo(4, LARGE))
    (mark,) = documents.images.find({"digest": image_digest(LARGE)})
    assert mark["size"] == len(LARGE)
    assert len(mark["parts"]) == 2
    assert documents.images.count_documents({}) == 3
    assert load_images(documents.images, image_digest(LARGE)) == [LARGE]


def test_a_photo_that_is_not_whole_is_not_there(documents):
    write_one(documents, with_photo(1, LARGE))
    part = documents.images.find_one({"digest": image_digest(LARGE)})["parts"][1]
    documents.images.delete_one({"_id": part})
    assert load_images(documents.images, image_digest(LARGE)) is None
    assert load_images(documents.images, "0" * 64) is None


def test_two_writers_that_keep_the_same_photo_do_not_harm_each_other(documents, monkeypatch):
    collection = type(documents.products)
    original = collection.find

    def blind(self, query, *args, **kwargs):
        return (
            []
            if self.name.endswith("_images") and "parts" not in str(args)
            else original(self, query, *args, **kwargs)
        )

    write_one(documents, with_photo(1, b"shared"))
    with monkeypatch.context() as patch:
        patch.setattr(collection, "find", blind)
        results = write_products(
            documents, [with_photo(2, b"shared"), with_photo(3, b"other"), with_photo(4, b"shared")]
        )
    assert [result.outcome for result in results] == [Outcome.CREATED] * 3
    assert load_images(documents.images, image_digest(b"shared")) == [b"shared"]
    assert load_images(documents.images, image_digest(b"other")) == [b"other"]
    assert documents.images.count_documents({}) == 4


def age(documents, data, seconds):
    change = {"$set": {"kept_at": time.time() - seconds}}
    documents.images.update_one({"_id": image_digest(data)}, change)


def test_an_unused_photo_is_removed_once_it_is_old(documents):
    for number, data in enumerate((b"used", b"old", b"young")):
        write_one(documents, with_photo(number, data))
    remove_products(documents, ["p1", "p2"])
    age(documents, b"old", KEEP_S + 1)
    digests = [image_digest(data) for data in (b"used", b"old", b"young")]
    assert documents.image_page("", 10) == sorted(digests)
    assert documents.image_page(min(digests), 1) == sorted(digests)[1:2]
    unused = documents.unused_images(digests)
    assert unused == digests[1:]
    assert documents.remove_images(unused) == 1
    assert load_images(documents.images, digests[1]) is None
    assert load_images(documents.images, digests[2]) == [b"young"]
    assert documents.images.count_documents({}) == 4


def test_a_photo_that_is_used_again_is_kept_anew(documents):
    write_one(documents, with_photo(1, b"photo"))
    remove_products(documents, ["p1"])
    age(documents, b"photo", KEEP_S + 1)
    write_one(documents, with_photo(2, b"photo"))
    assert documents.remove_images([image_digest(b"photo")]) == 0
    assert load_images(documents.images, image_digest(b"photo")) == [b"photo"]


def test_a_photo_that_is_removed_while_it_is_about_to_be_used_again_is_written_again(documents, monkeypatch):
    write_one(documents, with_photo(1, b"photo"))
    remove_products(documents, ["p1"])
    age(documents, b"photo", KEEP_S + 1)
    collection = type(documents.products)
    original = collection.update_many

    def removed_first(self, *args, **kwargs):
        if self.name.endswith("_images"):
            monkeypatch.setattr(collection, "update_many", original)
            assert documents.remove_images([image_digest(b"photo")]) == 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(collection, "update_many", removed_first)
    write_one(documents, with_photo(2, b"photo"))
    assert load_images(documents.images, image_digest(b"photo")) == [b"photo"]


def test_a_receipt_says_whether_the_product_can_be_found_only_when_asked():
    receipt = Receipt(product_id="p1", point_id="x", rev=3, outcome=Outcome.UPDATED)
    assert receipt.to_dict() == {"id": "p1", "rev": 3, "status": "updated"}
    assert receipt.to_dict(searchable=False)["searchable"] is False


def test_a_vector_is_stored_as_little_endian_float32(documents):
    write_one(documents, product_write(1))
    assert bytes(stored(documents, 1)["image_embeds"]) == unit_vector(1).astype("<f4").tobytes()
