"""Bringing products to another encoder: real documents, a real small encoder, no Triton."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from product_match.catalogue.opening import open_for_writing
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, InvalidRequestError, ProductMatchError, StackError
from product_match.documents.images import remove_images
from product_match.documents.records import unpack_vector
from product_match.documents.removal import remove_products
from product_match.documents.store import EVERYTHING, open_documents
from product_match.documents.updating import update_products
from product_match.encoder_change import worker
from product_match.encoder_change.embedding import Embedder
from product_match.encoder_change.generations import Generation, Generations, write_generations
from product_match.encoder_change.model_control import ModelControl
from product_match.encoder_change.requests import ChangeReport, read_change, write_change
from product_match.encoder_change.transfer import Transfer
from product_match.encoder_change.worker import EncoderChange, remove_others
from product_match.encoder_change.writers import WriteGate
from product_match.host.ports import PortRequest, choose_ports
from product_match.settings import VectorIndexKind
from tests.fakes.catalogues import points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.live_server import PROJECT
from tests.fakes.qdrant_server import FakeQdrant
from tests.fakes.small_encoders import small_encoder

PHOTOS = sorted((PROJECT / "sample_data" / "images").glob("*.jpg"))[:6]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("encoders") / "small"
    small_encoder(directory)
    return directory


@pytest.fixture(scope="module")
def embedder(encoder):
    embedder = Embedder(load_encoder(encoder), encoder)
    yield embedder
    embedder.close()


@pytest.fixture
def stores(catalogue_settings, encoder, tmp_path):
    """The documents of the encoder that is served, and those of the new one."""
    spec = load_encoder(encoder)
    settings = dataclasses.replace(catalogue_settings, state_directory=tmp_path)
    source = open_documents(settings, encoder_spec().identity, WriteGate(tmp_path, "", "a@1"))
    changed = dataclasses.replace(settings, generation=spec.revision, state_directory=None)
    target = open_documents(changed, spec.identity)
    yield source, target
    source.close()
    target.close()


def product(number, *photos, **fields):
    photos = photos or (number % len(PHOTOS),)
    given = [PHOTOS[photo].read_bytes() for photo in photos]
    return dataclasses.replace(product_write(number, **fields), photos=given, image_embeds=np.eye(4)[: len(given)])


def state(store):
    """What a store holds, without what each encoder has for itself."""
    own = {"encoder", "vectors", "image_embeds", "text_embeds", "pending", "write_id"}
    return {
        document["product_id"]: {name: value for name, value in document.items() if name not in own}
        for page in store.walk({"deleted": None})
        for document in page
    }


def test_photos_and_words_are_embedded_or_told_what_is_wrong(embedder):
    photo = PHOTOS[0].read_bytes()
    first, broken, again = embedder.photos([photo, b"no photo", photo])
    assert isinstance(broken, InvalidRequestError)
    assert first.shape == (24,)
    assert np.array_equal(first, again)
    words, wrong = embedder.words(["red shoes", "!!"])
    assert np.linalg.norm(words) == pytest.approx(1.0, abs=1e-5)
    assert isinstance(wrong, InvalidRequestError)
    assert embedder.photos([b""])[0].triton_code == "INVALID_ARG"
    assert embedder.words([]) == []


def test_every_product_comes_over_with_embeddings_of_its_own(stores, embedder):
    source, target = stores
    write_all(source, *(product(n) for n in range(40)), product_write(50, image=False), product(51, 1, 2, 3))
    compared = []
    transfer = Transfer(source, target, embedder, compared.append)
    transfer.everything()
    transfer.check()
    assert state(target) == state(source)
    assert (transfer.embedded, transfer.reused, compared) == (42, 0, [42])
    held = target.read(points(3, 50, 51))
    assert {document["encoder"] for document in held.values()} == {target.encoder}
    assert not any("pending" in document for document in held.values())
    one, words, several = (held[id_] for id_ in points(3, 50, 51))
    assert (one["vectors"], words["vectors"]) == (["image", "text"], ["text"])
    (expected,) = embedder.photos([PHOTOS[3].read_bytes()])
    assert np.allclose(unpack_vector(one["image_embeds"]), expected, atol=1e-6)
    rows = unpack_vector(several["image_embeds"]).reshape(3, -1)
    assert np.allclose(rows, np.stack(embedder.photos([PHOTOS[n].read_bytes() for n in (1, 2, 3)])), atol=1e-6)


def test_what_is_in_step_is_left_alone_and_what_changed_since_is_all_that_is_embedded(stores, embedder):
    source, target = stores
    write_all(source, *(product(n) for n in range(8)))
    Transfer(source, target, embedder).everything()
    before = target.read(points(*range(8)))
    write_all(source, product(1, 4), product(9), product_write(2, image=False))
    update_products(source, [{"id": "p3", "price": 99.0}])
    remove_products(source, ["p4"])
    again = Transfer(source, target, embedder)
    again.applied = True
    again.everything()
    assert (again.embedded, again.reused) == (3, 1)
    assert state(target) == state(source)
    after = target.read(points(*range(10)))
    assert after[points(3)[0]]["image_embeds"] == before[points(3)[0]]["image_embeds"]
    assert after[points(3)[0]]["pending"]
    assert after[points(0)[0]] == before[points(0)[0]]
    assert after[points(4)[0]]["deleted"]
    assert "image_embeds" not in after[points(2)[0]]
    write_all(source, product(4))
    again.products(points(4))
    assert state(target) == state(source)


def test_products_that_were_noted_are_brought_over_or_taken_away(stores, embedder):
    source, target = stores
    write_all(source, product(1), product(2), product(3))
    transfer = Transfer(source, target, embedder)
    transfer.everything()
    write_all(source, product(4))
    remove_products(source, ["p1"])
    transfer.products(points(1, 4))
    assert sorted(state(target)) == ["p2", "p3", "p4"]
    source.products.delete_many({})
    transfer.products([EVERYTHING])
    assert state(target) == {}


def test_a_product_that_cannot_be_embedded_is_named_until_it_can(stores, embedder):
    source, target = stores
    write_all(source, product(1), product(2))
    (lost,) = source.read(points(1)).values()
    assert remove_images(source.images, [lost["image_sha256"]], now=1e12) == 1
    source.products.update_one({"_id": points(2)[0]}, {"$set": {"query_text": "!!"}})
    transfer = Transfer(source, target, embedder)
    transfer.everything()
    with pytest.raises(ProductMatchError) as behind:
        transfer.check()
    words = str(behind.value)
    assert "2 products cannot be embedded by the new encoder, such as: product p1: its photo is not kept" in words
    assert "product p2: text: expected words, got '!!' without a letter" in words
    assert "load them again (`product-match index --force`) or delete them, and run the same command again" in words
    assert state(target) == {}
    write_all(source, product(1, 5))
    remove_products(source, ["p2"])
    transfer.products(points(1, 2))
    transfer.check()
    assert sorted(state(target)) == ["p1"]


def test_photos_of_another_generation_are_in_use_and_what_is_kept_no_more_is_removed(stores, embedder, tmp_path):
    source, target = stores
    write_all(source, product(1))
    Transfer(source, target, embedder).everything()
    (held,) = source.read(points(1)).values()
    source.products.delete_many({})
    assert source.unused_images([held["image_sha256"], "0" * 64]) == ["0" * 64]
    revisions = {name: Generation(encoder=f"e@{name}", name=name) for name in ("a", "b")}
    for name in ("a", "b", target.encoder.partition("@")[2]):
        (tmp_path / "index" / name).mkdir(parents=True)
    kept = Generations(current=Generation(encoder="e@a"), previous=revisions["b"])
    remove_others(source, tmp_path / "index", kept)
    assert source.generations() == [source.products.name]
    assert target.count() == 0
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["a", "b"]
    assert source.unused_images([held["image_sha256"]]) == [held["image_sha256"]]


def test_dropping_the_catalogue_drops_what_is_kept_for_a_rollback(stores, embedder):
    source, target = stores
    write_all(source, product(1))
    Transfer(source, target, embedder).everything()
    source.drop()
    assert (source.count(), target.count()) == (0, 0)


def test_a_production_catalogue_knows_no_other_generation(stores, catalogue_settings):
    source, _ = stores
    alone = open_documents(catalogue_settings, encoder_spec().identity)
    assert alone.generations() == [source.products.name]
    alone.close()


def asked(tmp_path, directory, settings, **changes):
    """The change that `reindex.json` asks for."""
    asked_for = {
        "id": "1",
        "state": "requested",
        "encoder": load_encoder(directory).identity,
        "directory": str(directory),
    }
    write_change(tmp_path, {**asked_for, **changes})
    return EncoderChange(dataclasses.replace(settings, state_directory=tmp_path), tmp_path, "", "key")


def test_a_change_needs_an_encoder_that_is_served_and_the_one_that_was_asked_for(
    tmp_path, encoder, catalogue_settings
):
    with pytest.raises(ConfigError, match="names no encoder that is served; start the server again"):
        asked(tmp_path, encoder, catalogue_settings)
    write_generations(tmp_path, Generations(current=Generation(encoder="a@1")))
    with pytest.raises(ConfigError) as refused:
        asked(tmp_path, encoder, catalogue_settings, encoder="small@older")
    assert "held the encoder small@older when it was asked for, and now holds small@" in str(refused.value)
    with pytest.raises(ConfigError, match="only where a state directory is; set PRODUCT_MATCH_STATE_DIRECTORY"):
        EncoderChange(catalogue_settings, tmp_path, "", "key")


def test_waiting_is_bounded(tmp_path, encoder, catalogue_settings, monkeypatch, stores):
    write_generations(tmp_path, Generations(current=Generation(encoder="a@1")))
    change = asked(tmp_path, encoder, catalogue_settings)
    monkeypatch.setattr(worker, "IN_STEP_TIMEOUT_S", 0.0)
    source, _ = stores
    write_all(source, product_write(1))
    with pytest.raises(StackError, match="waited 0 s for the new index to be in step; run the same command again"):
        change._wait_in_step(source)
    monkeypatch.setattr(worker, "wait_until_gone", lambda pids, timeout_s: False)
    monkeypatch.setattr(ModelControl, "load", lambda self, model: None)
    monkeypatch.setattr(ModelControl, "unload", lambda self, model: None)
    (closed,) = choose_ports({"grpc": PortRequest(port=0, purpose="a test", option="-")}).values()
    with ModelControl(f"127.0.0.1:{closed}", "key") as control:
        with pytest.raises(StackError, match="waited 15 s for the old writers' end; run the same command again"):
            change._switch(control, None, None, [1])
        with pytest.raises(StackError, match="the old encoder's models did not end within 30 s; see Triton's log"):
            change._end(control, [1])


def test_a_triton_that_does_not_answer_is_told(monkeypatch):
    (closed,) = choose_ports({"grpc": PortRequest(port=0, purpose="a test", option="-")}).values()
    with ModelControl(f"127.0.0.1:{closed}", "key") as control:
        with pytest.raises(StackError, match="Triton cannot load the model catalogue"):
            control.load("catalogue")
        with pytest.raises(StackError, match="Triton cannot unload the model retrieval"):
            control.unload("retrieval")


def test_progress_is_written_now_and_then_and_keeps_what_was_asked_for(tmp_path):
    write_change(tmp_path, {"id": "1", "state": "requested"})
    report = ChangeReport(tmp_path)
    report.tell(state="running")
    report.count(5)
    assert read_change(tmp_path) == {"id": "1", "state": "running", "seconds": 0.0}
    report._written = float("-inf")
    report.count(7)
    assert read_change(tmp_path)["done"] == 7


def test_a_worker_that_fails_says_so_where_it_was_asked(tmp_path, encoder, catalogue_settings, monkeypatch):
    settings = dataclasses.replace(catalogue_settings, state_directory=tmp_path)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRITON_ADMIN_KEY", "key")
    monkeypatch.setattr(worker.os, "nice", lambda _: None)
    write_change(tmp_path, {"id": "1", "state": "requested", "encoder": "b@2", "directory": str(encoder)})
    assert worker.main(["adapters", "127.0.0.1:1"]) == 1
    change = read_change(tmp_path)
    # That it has failed is told by whoever looks after this process, once it is gone.
    assert (change["id"], change["state"]) == ("1", "requested")
    assert "names no encoder that is served" in change["message"]


def test_in_production_two_encoders_stand_beside_each_other_under_two_names(catalogue_settings, encoder, tmp_path):
    """As docs/production.md has it: the same stores, another collection; the vectors have different lengths."""
    with FakeQdrant() as qdrant:
        old = dataclasses.replace(
            catalogue_settings, vector_index=VectorIndexKind.SERVER, qdrant_url=qdrant.address, store_timeout_s=5.0
        )
        new, spec = dataclasses.replace(old, collection=f"{old.collection}_b16"), load_encoder(encoder)
        writers = [open_for_writing(old, encoder_spec()), open_for_writing(new, spec)]
        try:
            write_all(writers[0].documents, product_write(1))
            with pytest.raises(ConfigError, match="was encoded by tiny@0123456789ab, and this server runs small@"):
                open_documents(old, spec.identity)
            moved = dataclasses.replace(
                product_write(1), image_embeds=unit_vector(1, 24), text_embeds=unit_vector(2, 24)
            )
            for writer, write in zip(writers, (product_write(1), moved), strict=True):
                assert writer.owner.wait_applied(write_all(writer.documents, write), 30) == {}
            assert [writer.owner.count() for writer in writers] == [1, 1]
            writers[1].owner.drop()
            assert [(writer.owner.count(), writer.documents.count()) for writer in writers] == [(1, 1), (0, 0)]
        finally:
            for writer in writers:
                writer.close()
