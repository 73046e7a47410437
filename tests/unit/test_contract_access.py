"""Keys as a server holds them: what is read, what is refused in which words, and that no key ever shows."""

from __future__ import annotations

import hmac
import json
from datetime import date

import pytest

from product_match.catalogue.commands import OPERATIONS
from product_match.catalogue.event_commands import EVENT_OPERATIONS
from product_match.contract import access
from product_match.contract.access import OPERATION_SCOPES, SCOPES_MEAN, Key, KeyRing, Scope, key_digest, new_key
from product_match.contract.errors import (
    ConfigError,
    ForbiddenError,
    InvalidRequestError,
    UnavailableError,
    error_classes,
    from_wire_text,
    wire_text,
)

ENTRY = {"name": "shop", "sha256": key_digest("pm_a"), "may": ["search", "write"]}


def test_a_ring_is_written_as_it_is_read():
    full = {**ENTRY, "rows_per_second": 2.5, "burst": 10, "expires": "2027-01-31"}
    ring = KeyRing.from_json(json.dumps({"open": [], "keys": [full]}))
    assert ring.keys == (
        Key(
            name="shop",
            sha256=key_digest("pm_a"),
            may=frozenset({Scope.SEARCH, Scope.WRITE}),
            rows_per_second=2.5,
            burst=10,
            expires=date(2027, 1, 31),
        ),
    )
    assert KeyRing.from_json(ring.to_json()) == ring
    assert KeyRing.from_json("{}").open == {Scope.SEARCH}


def test_a_key_is_found_whichever_of_several_it_is_and_all_are_compared(monkeypatch):
    compared = []
    honest = hmac.compare_digest
    monkeypatch.setattr(access.hmac, "compare_digest", lambda a, b: compared.append(a) or honest(a, b))
    keys = [new_key() for _ in range(3)]
    entries = [{"name": str(n), "sha256": key_digest(key), "may": ["write"]} for n, key in enumerate(keys)]
    ring = KeyRing.from_json(json.dumps({"keys": entries}))
    for number, key in enumerate(keys):
        assert ring.find(key).name == str(number)
    assert ring.find("pm_other") is None
    assert ring.find("pm_" + "x" * 10_000) is None
    assert len(compared) == 5 * 3


def test_new_keys_differ_and_are_told_by_their_beginning():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("pm_") and len(key) == 46 for key in keys)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("pm_secret", "they are not JSON"),
        ([], "expected an object with `open` and `keys` and nothing else"),
        ({"key": []}, "expected an object with `open` and `keys` and nothing else"),
        ({"keys": {}}, "`keys` is no list"),
        ({"open": "search"}, "open must be a list of search, write, export, admin"),
        ({"keys": [{"name": "shop"}]}, "key 0 needs name, sha256 and may"),
        ({"keys": [{**ENTRY, "key": "pm_a"}]}, "key 0 needs name, sha256 and may"),
        ({"keys": [{**ENTRY, "name": "a\n"}]}, "the name of key 0 must be 1 to 100 printable characters"),
        (
            {"keys": [{**ENTRY, "sha256": "pm_secret"}]},
            "sha256 of key shop must be 64 hex digits, not the key",
        ),
        ({"keys": [{**ENTRY, "may": ["all"]}]}, "`may` of key shop must be a list of search, write, export, admin"),
        (
            {"keys": [{**ENTRY, "rows_per_second": -1}]},
            "rows_per_second and burst of key shop must be numbers",
        ),
        ({"keys": [{**ENTRY, "burst": True}]}, "rows_per_second and burst of key shop must be numbers"),
        ({"keys": [{**ENTRY, "rows_per_second": 5}]}, "key shop has rows_per_second and no burst"),
        ({"keys": [{**ENTRY, "expires": "soon"}]}, "`expires` of key shop must be a day such as 2027-01-31"),
        ({"keys": [ENTRY, {**ENTRY, "name": "b"}]}, "two keys have the same name or the same digest"),
    ],
)
def test_what_is_no_ring_is_refused_and_not_quoted(given, words):
    with pytest.raises(ConfigError) as refused:
        KeyRing.from_json(given if isinstance(given, str) else json.dumps(given))
    assert words in str(refused.value)
    assert "make them with `product-match key`" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_every_command_of_the_catalogue_asks_for_a_scope_and_every_scope_is_explained():
    assert OPERATION_SCOPES.keys() == OPERATIONS.keys() | EVENT_OPERATIONS.keys()
    assert SCOPES_MEAN.keys() == set(Scope)


@pytest.mark.parametrize("error", error_classes())
def test_an_error_is_told_apart_on_the_wire_by_its_code(error):
    told = wire_text(error("price: too low"))
    found, words = from_wire_text(told)
    assert words == "price: too low"
    assert found is None if error is InvalidRequestError else issubclass(error, found)
    assert (found or InvalidRequestError).triton_code == error.triton_code


def test_codes_are_stable_and_other_brackets_are_words():
    assert wire_text(ForbiddenError("no")) == "[forbidden] no"
    assert wire_text(UnavailableError("away")) == "[unavailable] away"
    assert from_wire_text("[odd] words") == (None, "[odd] words")
