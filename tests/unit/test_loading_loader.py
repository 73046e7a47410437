from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from product_match.contract import limits
from product_match.contract.errors import (
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    ProductMatchError,
    UnavailableError,
)
from product_match_client.loading.loader import INTERNAL_ATTEMPTS, Loader, LoadSettings
from product_match_client.loading.retrying import Patience
from product_match_client.loading.sources.records import Record
from tests.fakes.loading_server import LoadingServer


class Listener:
    def __init__(self):
        self.statuses = {}
        self.reasons = []
        self.waits = []

    def settled(self, record, status, reason):
        self.statuses.setdefault(status, []).append(record.line)
        if reason:
            self.reasons.append(reason)

    def waiting(self, reason):
        self.waits.append(reason)


class Photos:
    def __init__(self, answers=None):
        self.answers = answers or {}

    async def fetch(self, url):
        answer = self.answers.get(url, url.encode())
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


def records(products, **common):
    return [
        Record(source="s", line=line, directory=Path("/none"), fields=product, raw=product, **common)
        for line, product in enumerate(products, start=1)
    ]


def load(server, given, *, photos=None, mapping=None, image_separator="", **settings):
    listener, clock = Listener(), Clock()
    chosen = LoadSettings(**settings)

    async def run():
        loader = Loader(
            server,
            photos or Photos(),
            listener,
            chosen,
            mapping=mapping,
            image_separator=image_separator,
            patience=Patience(chosen.give_up_after_s, chosen.first_answer_s, clock=lambda: clock.now),
            sleep=clock.sleep,
        )
        return await asyncio.wait_for(loader.load(iter(given)), 60)

    return asyncio.run(run()), listener


def numbered(count):
    return records([{"id": str(number), "name": f"n{number}"} for number in range(count)])


def test_every_record_is_loaded_in_batches():
    server = LoadingServer()
    result, listener = load(server, numbered(1000), batch_size=8)
    assert result.counts == {"created": 1000}
    assert len(server.held) == 1000
    assert max(map(len, server.requests)) == 8
    assert len(server.requests) < 300
    assert sorted(listener.statuses["created"]) == list(range(1, 1001))


def test_a_second_load_sends_nothing():
    server = LoadingServer()
    load(server, numbered(300))
    server.requests.clear()
    result, _ = load(server, numbered(300))
    assert result.counts == {"unchanged": 300}
    assert server.requests == []
    assert max(map(len, server.asked)) > 1


def test_a_load_without_comparison_sends_everything():
    server = LoadingServer()
    load(server, numbered(3))
    server.asked.clear()
    result, _ = load(server, numbered(3), compare=False)
    assert (result.counts, server.asked) == ({"unchanged": 3}, [])
    assert len(server.requests) >= 2


def test_photos_words_and_mapped_fields_arrive():
    server = LoadingServer()
    products = [{"key": 7, "photo": "http://h/a.jpg", "query_text": "words"}, {"key": 8, "photo": None, "name": "x"}]
    result, _ = load(server, records(products), mapping={"id": ["key"], "image": ["photo"]})
    assert result.counts == {"created": 2}
    assert server.photos == {"7": [b"http://h/a.jpg"], "8": []}


def test_all_photos_of_a_product_arrive_in_order():
    server = LoadingServer()
    urls = [f"http://h/{number}.jpg" for number in range(5)]
    products = [{"id": "1", "image": urls}, {"id": "2", "image": urls[0]}, {"id": "3", "image": " ".join(urls[:2])}]
    result, _ = load(server, records(products), image_separator=" ")
    assert result.counts == {"created": 3}
    assert server.photos == {
        "1": [url.encode() for url in urls],
        "2": [urls[0].encode()],
        "3": [url.encode() for url in urls[:2]],
    }
    assert load(server, records(products), image_separator=" ")[0].counts == {"unchanged": 3}
    other = [{**products[0], "image": urls}]
    changed = Photos({urls[4]: b"another"})
    assert load(server, records(other), photos=changed)[0].counts == {"updated": 1}


def test_products_with_many_photos_fill_requests_by_their_photos_and_none_is_too_long():
    server = LoadingServer()
    urls = [f"http://h/{number}.jpg" for number in range(limits.MAX_PRODUCT_IMAGES)]
    products = [{"id": str(number), "image": urls if number % 2 else urls[:1]} for number in range(120)]
    result, _ = load(server, records(products), batch_size=64)
    assert result.counts == {"created": 120}
    sizes = [sum(len(server.photos[product_id]) for product_id in ids) for ids in server.requests]
    assert max(sizes) <= limits.MAX_BATCH_SIZE
    assert max(map(len, server.requests)) > 4


def test_too_many_photos_and_too_large_ones_are_rejected(monkeypatch):
    server = LoadingServer()
    urls = [f"http://h/{number}.jpg" for number in range(limits.MAX_PRODUCT_IMAGES + 1)]
    monkeypatch.setattr(limits, "MAX_PRODUCT_IMAGES_BYTES", 100)
    large = Photos({"http://h/0.jpg": bytes(60)})
    products = [{"id": "1", "image": urls}, {"id": "2", "image": urls[:1] * 2}, {"id": "3", "image": urls[1]}]
    result, listener = load(server, records(products), photos=large)
    assert result.counts == {"created": 1, "rejected": 2}
    assert sorted(listener.reasons) == [
        "product 1: 17 photos, the limit is 16; leave out those that show the least of it",
        "product 2: its photos have 120 bytes together, the limit is 100; send smaller ones",
    ]


def test_a_product_is_rejected_when_one_of_its_photos_cannot_be_had():
    server = LoadingServer()
    photos = Photos({"http://h/b": InvalidRequestError("http://h/b answered 404")})
    products = [{"id": "1", "image": ["http://h/a", "http://h/b"]}]
    result, listener = load(server, records(products), photos=photos)
    assert (result.counts, listener.reasons) == ({"rejected": 1}, ["http://h/b answered 404"])
    assert server.held == {}


def test_bad_records_are_told_and_the_others_loaded():
    server = LoadingServer()
    given = [
        *records([{"id": "1"}, {"name": "no id"}, {"id": "3", "price": "cheap"}, {"id": "4", "query_text": 7}]),
        Record(source="s", line=5, directory=Path("/none"), reason="not valid JSON"),
        *records([{"id": "6", "image": "missing.jpg"}]),
        Record(source="s", line=7, directory=Path("/none"), fields={"id": "7", "size": float("nan")}),
        Record(source="s", line=8, directory=Path("/none"), fields={"id": "8", "image": "http://h/8"}),
    ]
    result, listener = load(server, given, photos=Photos({"http://h/8": InvalidRequestError("answered 404")}))
    assert result.counts == {"created": 1, "rejected": 7}
    reasons = "\n".join(sorted(listener.reasons))
    for words in (
        "`id` must be a non-empty string",
        "price must be a finite number",
        "query_text must be a string, got int; quote it",
        "not valid JSON",
        "cannot be read (No such file or directory)",
        "cannot be written as JSON",
        "answered 404",
    ):
        assert words in reasons


def test_a_photo_whose_host_is_away_is_a_reject():
    result, listener = load(
        LoadingServer(),
        records([{"id": "1", "image": "http://h/"}]),
        photos=Photos({"http://h/": UnavailableError("away")}),
    )
    assert (result.counts, listener.reasons) == ({"rejected": 1}, ["away"])


def test_where_one_of_a_batch_is_refused_the_others_are_loaded():
    server = LoadingServer()

    def refuse(ids):
        if "13" in ids or "77" in ids:
            raise InvalidRequestError("image: not a photo")

    server.trouble = refuse
    result, listener = load(server, numbered(200))
    assert result.counts == {"created": 198, "rejected": 2}
    assert sorted(listener.statuses["rejected"]) == [14, 78]
    assert listener.reasons == ["image: not a photo"] * 2
    assert "13" not in server.held


def test_a_product_that_comes_several_times_ends_as_it_comes_last():
    server = LoadingServer()
    load(server, records([{"id": "1", "name": "A"}]))
    versions = [{"id": "1", "name": name} for name in "BABABA"] + [{"id": "2", "name": "x"}] * 50
    result, _ = load(server, records(versions), batch_size=8)
    expected = LoadingServer()
    load(expected, records([{"id": "1", "name": "A"}, {"id": "2", "name": "x"}]))
    assert server.held == expected.held
    assert result.counts == {"updated": 6, "created": 1, "unchanged": 49}
    assert all(len(set(ids)) == len(ids) for ids in server.requests)


def test_a_busy_server_is_asked_again_until_everything_is_there():
    server, calls = LoadingServer(), []

    def busy(ids):
        calls.append(ids)
        if len(calls) % 3:
            raise UnavailableError("Exceeds maximum queue size")

    server.trouble = busy
    result, listener = load(server, numbered(200))
    assert result.counts == {"created": 200}
    assert result.retries > 10
    assert set(listener.waits) == {"Exceeds maximum queue size"}


def test_fewer_requests_are_in_flight_while_the_server_is_busy():
    calm, busy = LoadingServer(), LoadingServer()
    load(calm, numbered(2000), concurrency=16)
    assert calm.most_in_flight > 4

    def refuse(ids):
        if busy.in_flight > 2:
            raise UnavailableError("busy")

    busy.trouble = refuse
    result, _ = load(busy, numbered(2000), concurrency=16)
    assert result.counts == {"created": 2000}
    assert result.retries < len(busy.requests) / 3


def test_a_server_that_comes_back_is_not_given_up():
    server, left = LoadingServer(), [40]

    def away():
        left[0] -= 1
        if left[0] > 0:
            raise UnavailableError("connection refused")

    server.hash_trouble = away
    result, listener = load(server, numbered(10), give_up_after_s=600, first_answer_s=600)
    assert result.counts == {"created": 10}
    assert len(listener.waits) == 39


@pytest.mark.parametrize("which", ["trouble", "hash_trouble"])
def test_a_server_that_has_never_answered_is_given_up_soon(which):
    server = LoadingServer()

    def away(*ids):
        raise UnavailableError("connection refused")

    setattr(server, which, away)
    expected = (
        r"no server has answered within 15 s \(connection refused\); see that it is up, and that the address has the "
        r"port of its protocol: host:8000 is HTTP, grpc://host:8001 is gRPC"
    )
    with pytest.raises(UnavailableError, match=expected):
        load(server, numbered(10), give_up_after_s=600, compare=which == "hash_trouble")


def test_a_server_that_stays_away_is_given_up_after_the_time_that_was_set():
    server, asked = LoadingServer(), []

    def away(ids):
        asked.append(ids)
        if len(asked) > 1:
            raise UnavailableError("connection refused")

    server.trouble = away
    with pytest.raises(
        UnavailableError, match=r"gave up after 30 s without an answer \(connection refused\); run the"
    ):
        load(server, numbered(10), give_up_after_s=30, batch_size=1, concurrency=1)


def test_a_product_that_alone_is_never_answered_is_a_reject():
    server, listener, clock = LoadingServer(), Listener(), Clock()

    def stuck(ids):
        if "5" in ids:
            raise UnavailableError("too slow")

    def others_as_long_as_it_takes():
        yield from numbered(10)
        line = 10
        while "rejected" not in listener.statuses:
            line += 1
            yield Record(source="s", line=line, directory=Path("/none"), fields={"id": f"x{line}", "name": "x"})

    async def sleep(seconds):
        """Time passes, and another product is answered meanwhile."""
        await clock.sleep(seconds)
        held = len(server.held)
        while len(server.held) == held:
            await asyncio.sleep(0.001)

    async def run():
        patience = Patience(30, 30, clock=lambda: clock.now)
        settings = LoadSettings(batch_size=1, give_up_after_s=30)
        loader = Loader(server, Photos(), listener, settings, patience=patience, sleep=sleep)
        return await asyncio.wait_for(loader.load(others_as_long_as_it_takes()), 60)

    server.trouble = stuck
    result = asyncio.run(run())
    assert listener.statuses["rejected"] == [6]
    assert listener.reasons == ["too slow"]
    assert result.counts["created"] == len(server.held)


def test_an_internal_error_is_tried_again_for_one_product_at_a_time():
    server, failures = LoadingServer(), []

    def breaks(ids):
        if "3" in ids and len(failures) < 4:
            failures.append(ids)
            raise ProductMatchError("internal error; the server's log has the details")

    server.trouble = breaks
    result, _ = load(server, numbered(20), batch_size=8)
    assert result.counts == {"created": 20}
    assert failures[1:] == [["3"]] * 3


def test_a_product_that_always_breaks_the_server_is_a_reject():
    server = LoadingServer()

    def breaks(ids):
        if "3" in ids:
            raise ProductMatchError("internal error; the server's log has the details")

    server.trouble = breaks
    result, listener = load(server, numbered(20), batch_size=8)
    assert result.counts == {"created": 19, "rejected": 1}
    assert listener.reasons == ["internal error; the server's log has the details"]
    assert server.requests.count(["3"]) == INTERNAL_ATTEMPTS


def test_a_server_without_the_model_ends_the_load():
    server = LoadingServer()

    def unknown(ids):
        raise NotFoundError("Request for unknown model: 'product_index' is not found")

    server.trouble = unknown
    with pytest.raises(NotFoundError, match="unknown model"):
        load(server, numbered(20))


def test_a_source_that_breaks_ends_the_load():
    def broken():
        yield from numbered(3)
        raise UnavailableError("MongoDB does not answer")

    with pytest.raises(UnavailableError, match="MongoDB does not answer"):
        load(LoadingServer(), broken())


def test_large_photos_are_held_within_the_budget():
    server, held = LoadingServer(), []
    photo = bytes(1000)

    class Large(Photos):
        async def fetch(self, url):
            return photo

    given = records([{"id": str(number), "image": f"http://h/{number}"} for number in range(300)])
    listener = Listener()

    async def run():
        loader = Loader(server, Large(), listener, LoadSettings(buffer_bytes=20_000, photo_readers=4))
        server.trouble = lambda ids: held.append(loader._budget.held)
        return await asyncio.wait_for(loader.load(iter(given)), 60)

    result = asyncio.run(run())
    assert result.counts == {"created": 300}
    assert max(held) <= 20_000


def test_a_request_holds_no_more_bytes_than_one_may(monkeypatch):
    monkeypatch.setattr("product_match_client.loading.loader.BATCH_BYTES", 2000)
    server = LoadingServer()

    class Large(Photos):
        async def fetch(self, url):
            return bytes(1000)

    load(server, records([{"id": str(n), "image": f"http://h/{n}"} for n in range(100)]), photos=Large())
    assert max(map(len, server.requests)) == 2


def test_waiting_for_searches_is_passed_on():
    seen = []

    class Waiting(LoadingServer):
        async def index_batch(self, rows, *, wait=False):
            seen.append(wait)
            return await super().index_batch(rows, wait=wait)

    load(Waiting(), numbered(1), wait=True)
    assert seen == [True]


@pytest.mark.parametrize("compare", [True, False])
def test_what_is_no_such_server_ends_the_load_at_once(compare):
    server = LoadingServer()

    def refuse(*ids):
        raise ConfigError("another protocol")

    server.trouble = server.hash_trouble = refuse
    with pytest.raises(ConfigError, match="another protocol"):
        load(server, numbered(3), compare=compare, concurrency=1)
    assert len(server.requests) <= 1
