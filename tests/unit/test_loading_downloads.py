from __future__ import annotations

import asyncio
import socket

import pytest

from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match_client.loading import downloads
from product_match_client.loading.addresses import PublicAddresses, is_public, system_resolve
from product_match_client.loading.downloads import DownloadSettings, PhotoDownloader
from tests.fakes.photo_host import photo_host

QUICK = DownloadSettings(attempts=1, timeout_s=20.0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(downloads, "backoff_s", lambda attempt, chance: 0.0)


def resolver(**names):
    """Resolves the names given, and addresses as the system does."""

    async def resolve(host, port):
        known = names.get(host.replace(".", "_"))
        return await system_resolve(host, port) if known is None else list(known)

    return resolve


def fetch(path, *, settings=QUICK, allow=True, resolve=None, before=None):
    """Fetch a URL whose `PORT` is a host on the loopback; return the outcome and the host."""

    async def run():
        async with photo_host() as (host, port):
            if before is not None:
                before(host)
            addresses = PublicAddresses(allow_private=allow, resolve=resolve or system_resolve)
            async with PhotoDownloader(settings=settings, addresses=addresses) as downloader:
                try:
                    return await downloader.fetch(path.replace("PORT", str(port))), host
                except (InvalidRequestError, UnavailableError) as error:
                    return error, host

    return asyncio.run(run())


def failed(outcome, kind, words):
    error, host = outcome
    assert type(error) is kind, error
    assert words in str(error)
    return host


def test_a_photo_is_fetched():
    data, host = fetch("http://127.0.0.1:PORT/shoe.jpg")
    assert data == b"photo"
    assert host.headers[0]["Accept-Encoding"] == "identity"
    assert host.headers[0]["User-Agent"] == "product-match"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
     "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "[fe80::1]", "[fc00::1]", "100.64.0.1", "224.0.0.1"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_however_it_is_written(address):
    host = failed(fetch(f"http://{address}:PORT/x.jpg", allow=False), InvalidRequestError, "not a public address")
    assert host.asked == []


def test_the_refusal_says_what_to_do():
    failed(
        fetch("http://127.0.0.1:PORT/x.jpg", allow=False),
        InvalidRequestError,
        "127.0.0.1 is at 127.0.0.1, which is not a public address; "
        "allow it with --allow-private-addresses if you trust this catalogue",
    )


def test_a_name_that_resolves_to_a_private_address_is_refused():
    resolve = resolver(shop_example=["192.168.1.1", "10.0.0.1"])
    failed(
        fetch("http://shop.example/x.jpg", allow=False, resolve=resolve),
        InvalidRequestError,
        "shop.example is at 192.168.1.1, 10.0.0.1, which is not",
    )


def test_a_redirect_to_a_private_address_is_refused(monkeypatch):
    # The first host counts as public, wherever it is.
    monkeypatch.setattr("product_match_client.loading.addresses.is_public", lambda address: address == "127.0.0.1")
    for where in ("http://10.0.0.1/", "http://[::1]:PORT/", "//169.254.169.254/latest", "http://2130706434/"):
        outcome = fetch(f"http://127.0.0.1:PORT/to?where={where}", allow=False)
        host = failed(outcome, InvalidRequestError, "not a public address")
        assert len(host.asked) == 1


def test_what_was_checked_is_what_is_connected_to(monkeypatch):
    """A name that resolves to something else a moment later (DNS rebinding) does not get through."""
    monkeypatch.setattr("product_match_client.loading.addresses.is_public", lambda address: address == "203.0.113.1")
    answers = iter([["203.0.113.1"], ["127.0.0.1"], ["127.0.0.1"]])

    async def resolve(host, port):
        return next(answers)

    host = failed(
        fetch("http://shop.example:PORT/x.jpg", allow=False, resolve=resolve),
        InvalidRequestError,
        "not a public address",
    )
    assert host.asked == []


def test_the_name_stays_the_host_of_the_request():
    data, host = fetch("http://shop.example:PORT/x.jpg", resolve=resolver(shop_example=["127.0.0.1"]))
    assert data == b"photo"
    assert host.hosts[0].startswith("shop.example:")


def test_a_redirect_is_followed_relative_and_absolute():
    assert fetch("http://127.0.0.1:PORT/to?where=/a.jpg")[0] == b"photo"
    assert fetch("http://127.0.0.1:PORT/to?where=http://127.0.0.1:PORT/a.jpg")[0] == b"photo"


@pytest.mark.parametrize("path", ["loop", "nowhere"])
def test_redirects_without_end_are_left(path):
    host = failed(
        fetch(f"http://127.0.0.1:PORT/{path}"),
        InvalidRequestError,
        "redirects more than 5 times; give the address of",
    )
    assert len(host.asked) == 6


@pytest.mark.parametrize("where", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_elsewhere_than_http_is_refused(where):
    failed(fetch(f"http://127.0.0.1:PORT/to?where={where}"), InvalidRequestError, "is not an http(s) URL; correct it")


@pytest.mark.parametrize("url", ["ftp://x/y", "http:///x", "data:,x"])
def test_something_else_than_an_http_url_is_refused(url):
    failed(fetch(url), InvalidRequestError, "is not an http(s) URL; correct it")


def test_a_url_that_cannot_be_read_is_refused():
    failed(fetch("http://host:99999999/x"), InvalidRequestError, "is not a URL (")


@pytest.mark.parametrize("path", ["endless", "large"])
def test_a_photo_over_the_limit_is_left(path):
    failed(fetch(f"http://127.0.0.1:PORT/{path}"), InvalidRequestError, "more than 20,971,520 bytes, the most that")


def test_an_empty_photo_is_told():
    failed(fetch("http://127.0.0.1:PORT/empty"), InvalidRequestError, "/empty is empty; correct the address")


def test_a_photo_that_is_not_there_is_not_asked_for_again():
    outcome = fetch("http://127.0.0.1:PORT/status?code=404", settings=DownloadSettings(attempts=4))
    host = failed(outcome, InvalidRequestError, "answered 404; correct the address")
    assert len(host.asked) == 1


def test_a_busy_host_is_asked_again():
    def busy(host):
        host.busy = 3

    data, host = fetch("http://127.0.0.1:PORT/busy", settings=DownloadSettings(attempts=4), before=busy)
    assert (data, len(host.asked)) == (b"photo", 4)


def test_a_host_that_stays_busy_is_left():
    outcome = fetch("http://127.0.0.1:PORT/status?code=429", settings=DownloadSettings(attempts=3))
    assert len(failed(outcome, UnavailableError, "answered 429; try later").asked) == 3


def test_a_host_that_says_nothing_is_left():
    async def run():
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            settings = DownloadSettings(attempts=1, timeout_s=0.1)
            addresses = PublicAddresses(allow_private=True, resolve=system_resolve)
            async with PhotoDownloader(settings=settings, addresses=addresses) as downloader:
                await downloader.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/")

    with pytest.raises(UnavailableError, match=r"did not come within 0\.1 s; try later"):
        asyncio.run(run())


def test_a_host_that_refuses_is_told():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed(fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/"), UnavailableError, "cannot be fetched (")


def test_a_name_that_does_not_resolve_is_told():
    async def resolve(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    failed(
        fetch("http://shop.example/", resolve=resolve), UnavailableError, "the name shop.example cannot be resolved"
    )


def test_a_name_without_addresses_is_told():
    failed(fetch("http://shop.example/", resolve=resolver(shop_example=[])), InvalidRequestError, "is at no address")


def test_a_downloader_that_is_not_open_is_a_mistake():
    downloader = PhotoDownloader(addresses=PublicAddresses(allow_private=True, resolve=system_resolve))
    with pytest.raises(RuntimeError, match="the downloader is not open; use it with `async with`"):
        asyncio.run(downloader.fetch("http://127.0.0.1/"))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
)
def test_addresses_of_the_public_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "2001:0:1::1", "fe80::1%eth0",
     "fd00::1", "ff02::1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "not an address", ""],
)  # fmt: skip
def test_all_other_addresses_are_not(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "query", ["a=%2Fb%20c&sig=A%2bB~", "sig=a+b/c==&x=%E2%82%AC", "X-Amz-Date=1&X-Amz-Credential=k%2F2&q='(1)'"]
)
def test_a_url_is_sent_as_it_is_written(query):
    data, host = fetch(f"  http://127.0.0.1:PORT/a%2Fb/c.jpg?{query} ")
    assert (data, host.raw) == (b"photo", [f"/a%2Fb/c.jpg?{query}"])
    data, host = fetch(f"http://127.0.0.1:PORT/to?where=/a.jpg?{query.replace('%', '%25').replace('&', '%26')}")
    assert host.raw[1].startswith("/a.jpg?")


def test_what_a_url_cannot_hold_is_quoted():
    data, host = fetch("http://127.0.0.1:PORT/red shoe \u00fc.jpg")
    assert (data, host.raw) == (b"photo", ["/red%20shoe%20%C3%BC.jpg"])


def test_a_body_that_is_packed_is_unpacked_within_bounds():
    assert fetch("http://127.0.0.1:PORT/packed?as=gzip")[0] == b"photo"
    failed(fetch("http://127.0.0.1:PORT/packed?as=bomb"), InvalidRequestError, "more than 20,971,520 bytes")
    failed(fetch("http://127.0.0.1:PORT/packed?as=br"), InvalidRequestError, "came packed as `br`, which was not")
    failed(
        fetch("http://127.0.0.1:PORT/packed?as=broken"), InvalidRequestError, "says it is gzip and cannot be unpack"
    )


def test_the_time_for_a_photo_includes_its_retries(monkeypatch):
    monkeypatch.setattr(downloads, "backoff_s", lambda attempt, chance: 30.0)
    settings = DownloadSettings(attempts=4, timeout_s=0.2)
    outcome = fetch("http://127.0.0.1:PORT/status?code=503", settings=settings)
    host = failed(outcome, UnavailableError, "/status?code=503 did not come within 0.2 s; try later")
    assert len(host.asked) == 1


def test_the_reason_names_the_url():
    failed(fetch("http://10.1.2.3/x.jpg", allow=False), InvalidRequestError, "http://10.1.2.3/x.jpg: 10.1.2.3 is at")
