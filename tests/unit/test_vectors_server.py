"""The Qdrant server store: wire format, collections, aliases, deadlines, retries, and the faults a server plays."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as qdrant

from product_match.contract.errors import ConfigError, ProductMatchError, UnavailableError
from product_match.vectors import server_index
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_collections import CollectionLayout, ServerCollections
from product_match.vectors.server_index import ServerIndex, dense_vector
from product_match.vectors.vector_index import VectorPoint, VectorQuery
from tests.fakes.catalogues import RECIPE, points, unit_vector
from tests.fakes.encoders import encoder_spec
from tests.fakes.qdrant_server import FakeQdrant, Fault

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE, words="try later")


@pytest.fixture
def server():
    with FakeQdrant() as running:
        yield running


@pytest.fixture
def channel(server):
    opened = QdrantChannel(server.address)
    yield opened
    opened.close()


@pytest.fixture
def index(channel):
    collections = ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json())
    collections.prepare()
    opened = ServerIndex(channel, collections.alias, timeout_s=2.0)
    opened.upsert([VectorPoint(id=points(1)[0], rev=1, vectors={"image": unit_vector(1)}, payload={})])
    return opened


def query():
    return VectorQuery(vector_name="image", vector=unit_vector(1), limit=1)


@pytest.mark.parametrize("dimension", [1, 31, 32, 128, 512, 5000])
def test_a_packed_vector_is_the_message_that_its_numbers_make(dimension):
    vector = np.random.default_rng(dimension).normal(size=dimension).astype(np.float32)
    assert dense_vector(vector) == qdrant.DenseVector(data=vector.tolist())
    assert dense_vector(vector.astype(">f4")) == qdrant.DenseVector(data=vector.tolist())


def test_a_whole_batch_is_one_call(server, index):
    server.calls.clear()
    assert len(index.search([query()] * 64)) == 64
    assert server.calls == ["QueryBatch"]


def test_the_alias_leads_to_a_collection_of_the_encoder_with_its_payload_indexes_made_before_points(server, index):
    assert server.aliases == {"products-0123456789ab": "products-0123456789ab-1"}
    held = server.collections["products-0123456789ab-1"]
    params = held.config.vectors_config.params_map.map
    assert {name: (p.size, p.distance, p.HasField("multivector_config")) for name, p in params.items()} == {
        "image": (4, qdrant.Distance.Dot, False),
        "text": (4, qdrant.Distance.Dot, False),
        "images": (4, qdrant.Distance.Dot, True),
    }
    assert params["images"].multivector_config.comparator == qdrant.MultiVectorComparator.MaxSim
    assert held.config.metadata["encoder"].string_value == "tiny@0123456789ab"
    assert held.config.strict_mode_config.enabled
    assert not held.config.strict_mode_config.unindexed_filtering_retrieve
    assert held.field_indexes == {
        "category": qdrant.FieldTypeKeyword,
        "color": qdrant.FieldTypeKeyword,
        "brand": qdrant.FieldTypeKeyword,
        "sku": qdrant.FieldTypeKeyword,
        "price": qdrant.FieldTypeFloat,
    }
    assert not held.indexed_after_points


def test_preparing_again_keeps_what_is_there(server, channel, index):
    ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()).prepare()
    assert index.count() == 1
    assert list(server.collections) == ["products-0123456789ab-1"]


def test_a_collection_made_by_a_process_that_died_before_the_alias_is_taken_over(server, channel):
    collections = ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json())
    collections.create("products-0123456789ab-1")
    collections.prepare()
    assert collections.current() == "products-0123456789ab-1"


def test_two_processes_that_start_together_end_with_the_same_collection(server):
    server.first_looks = threading.Barrier(2)
    channels = [QdrantChannel(server.address) for _ in range(2)]
    prepared = [ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()) for channel in channels]
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(collections.prepare) for collections in prepared]:
            done.result()
    assert server.calls.count("Create") == 2
    assert list(server.collections) == ["products-0123456789ab-1"]
    assert [collections.current() for collections in prepared] == ["products-0123456789ab-1"] * 2
    for channel in channels:
        channel.close()


def test_a_collection_that_the_server_refuses_to_make_is_an_error(server, channel):
    ordinary = [Fault()] * 2  # of the alias and of the collection it is told that there is none
    server.faults.extend([*ordinary, Fault(code=grpc.StatusCode.INVALID_ARGUMENT, words="disk full")])
    with pytest.raises(ProductMatchError, match=r"failed: INVALID_ARGUMENT \(disk full\)"):
        ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()).prepare()
    assert server.calls == ["ListAliases", "CollectionExists", "Create", "CollectionExists"]
    assert (server.collections, server.aliases) == ({}, {})


def test_a_collection_lies_as_the_server_likes_unless_the_settings_say_how(server, channel):
    for layout in (CollectionLayout(), CollectionLayout(shards=6, replicas=3, write_copies=2, quantised=True)):
        collections = ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json(), layout)
        name = collections.fresh()
        collections.create(name)
        made = server.collections[name].config
        assert (made.shard_number, made.replication_factor, made.write_consistency_factor) == (
            layout.shards,
            layout.replicas,
            layout.write_copies,
        )
        assert made.HasField("shard_number") is bool(layout.shards)
        assert made.HasField("quantization_config") is layout.quantised
        vectors = made.vectors_config.params_map.map
        assert all(vector.on_disk is layout.quantised for vector in vectors.values())


def test_the_alias_is_switched_to_a_fresh_collection(server, channel, index):
    collections = ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json())
    fresh = collections.fresh()
    assert re.fullmatch("products-0123456789ab-[0-9a-f]{12}", fresh)
    assert fresh != collections.fresh()
    collections.create(fresh)
    collections.switch(fresh)
    assert index.count() == 0
    collections.remove("products-0123456789ab-1")
    assert list(server.collections) == [fresh]


def test_two_encoders_have_collections_of_their_own(server, channel, index):
    ServerCollections(
        channel, "products", encoder_spec(revision="ba9876543210", embedding_dim=8), RECIPE.to_json()
    ).prepare()
    assert sorted(server.aliases) == ["products-0123456789ab", "products-ba9876543210"]


def test_a_collection_of_another_dimension_is_refused_with_what_to_do(channel, index):
    with pytest.raises(ConfigError, match="does not fit encoder tiny@0123456789ab") as caught:
        ServerCollections(channel, "products", encoder_spec(embedding_dim=8), RECIPE.to_json()).prepare()
    assert "image and text of 8 numbers and the multivector images, with distance Dot" in str(caught.value)
    assert "it has: image 4, images 4, text 4; delete the collection" in str(caught.value)


def test_a_collection_from_when_products_had_one_photo_is_refused_with_what_to_do(server, channel, index):
    params = server.collections["products-0123456789ab-1"].config.vectors_config.params_map.map
    del params["images"]
    with pytest.raises(ConfigError, match="it has: image 4, text 4; delete the collection and run") as caught:
        ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()).prepare()
    assert "`product-match verify --repair` once the server is up, which fills a new one" in str(caught.value)


@pytest.mark.parametrize("old", [False, True])
def test_the_vectors_of_old_and_new_servers_are_read_alike(old):
    photos = np.stack([unit_vector(n) for n in range(3)])
    if old:
        image = qdrant.VectorOutput(data=photos[0].tolist())
        images = qdrant.VectorOutput(data=photos[1:].reshape(-1).tolist(), vectors_count=2)
    else:
        rows = [qdrant.DenseVector(data=row.tolist()) for row in photos]
        image = qdrant.VectorOutput(dense=rows[0])
        images = qdrant.VectorOutput(multi_dense=qdrant.MultiDenseVector(vectors=rows[1:]))
    named = qdrant.NamedVectorsOutput(vectors={"image": image, "images": images})
    held = server_index._vectors(qdrant.ScoredPoint(vectors=qdrant.VectorsOutput(vectors=named)))
    assert list(held) == ["image"]
    np.testing.assert_allclose(held["image"], photos, atol=1e-6)


def test_a_collection_without_named_vectors_is_refused(server, channel):
    ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()).prepare()
    params = qdrant.VectorParams(size=4, distance=qdrant.Distance.Dot)
    server.collections["products-0123456789ab-1"].config.vectors_config.CopyFrom(qdrant.VectorsConfig(params=params))
    with pytest.raises(ConfigError, match="it has: none; delete the collection"):
        ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json()).prepare()


def test_a_collection_of_another_encoder_is_refused(channel, index):
    with pytest.raises(ConfigError, match="holds vectors of encoder tiny@0123456789ab, and this server runs other@"):
        ServerCollections(channel, "products", encoder_spec(name="other"), RECIPE.to_json()).prepare()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_what_can_be_retried_is_retried(server, index, code):
    server.calls.clear()
    server.faults.extend([Fault(code=code)] * 2)
    ((hit,),) = index.search([query()])
    assert hit.id == points(1)[0]
    assert server.calls == ["QueryBatch"] * 3


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ProductMatchError, r"failed: INVALID_ARGUMENT \(played by the test\)"),
        (grpc.StatusCode.INTERNAL, ProductMatchError, "failed: INTERNAL"),
        (grpc.StatusCode.NOT_FOUND, ProductMatchError, "failed: NOT_FOUND"),
        (grpc.StatusCode.PERMISSION_DENIED, ConfigError, "refuses the API key .*; correct it"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, UnavailableError, r"is busy \(played by the test\); try again"),
    ],
)
def test_what_cannot_be_retried_is_told_at_once(server, index, code, error, words):
    server.calls.clear()
    server.faults.append(Fault(code=code))
    with pytest.raises(error, match=words):
        index.search([query()])
    assert server.calls == ["QueryBatch"]


def test_a_server_that_goes_on_failing_is_given_up_within_the_time(server, channel, index):
    short = ServerIndex(channel, index.collection, timeout_s=0.3)
    server.faults.extend([UNAVAILABLE] * 1000)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s \(try later\); try again, and check"):
        short.search([query()])
    assert len(server.faults) > 900


def test_a_server_that_is_too_slow_is_given_up_and_serves_again_later(server, channel, index):
    short = ServerIndex(channel, index.collection, timeout_s=0.2)
    server.faults.extend([Fault(pause_s=1.0)] * 4)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        short.search([query()])
    server.faults.clear()
    assert len(index.search([query()])) == 1


def test_one_lost_answer_leaves_time_for_a_second_attempt(server, index):
    server.faults.append(Fault(pause_s=1.6))
    assert len(index.search([query()])) == 1


def test_a_dropped_connection_is_unavailable_and_heals_by_itself(server, channel, index):
    server.stop()
    short = ServerIndex(channel, index.collection, timeout_s=0.3)
    with pytest.raises(UnavailableError, match="did not answer within"):
        short.search([query()])
    server.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert index.search([query()])[0][0].id == points(1)[0]
            return
        except UnavailableError:
            assert time.monotonic() < deadline


def test_the_api_key_goes_with_every_call_and_a_wrong_one_is_told():
    with FakeQdrant(api_key="s3cret") as server:
        good, bad = QdrantChannel(server.address, "s3cret"), QdrantChannel(server.address, "wrong")
        ServerCollections(good, "products", encoder_spec(), RECIPE.to_json()).prepare()
        with pytest.raises(ConfigError, match=r"refuses the API key .*; correct it") as caught:
            ServerCollections(bad, "products", encoder_spec(), RECIPE.to_json()).prepare()
        assert "s3cret" not in str(caught.value)
        good.close()
        bad.close()


@pytest.mark.parametrize("address", ["qdrant", "host:port", ":6334", "ftp://host:1", "host:"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match="must be host:port or https://host:port"):
        QdrantChannel(address)


def test_https_makes_an_encrypted_channel_that_a_plain_server_cannot_answer(server):
    channel = QdrantChannel(f"https://{server.address}")
    assert channel.address == server.address
    with pytest.raises(UnavailableError):
        channel.call(channel.collections.ListAliases, qdrant.ListAliasesRequest(), 0.2)
    channel.close()


def test_closing_an_index_closes_its_own_channel_only(server):
    channel = QdrantChannel(server.address)
    ServerIndex(channel, "c", 1.0, owns_channel=False).close()
    channel.call(channel.collections.ListAliases, qdrant.ListAliasesRequest(), 5.0)
    ServerIndex(channel, "c", 1.0).close()
    with pytest.raises(ValueError, match="closed channel"):
        channel.call(channel.collections.ListAliases, qdrant.ListAliasesRequest(), 5.0)
