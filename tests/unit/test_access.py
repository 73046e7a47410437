"""Who is let in, to what and how often, on a clock and a day of the test's own."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path

import pytest

from product_match.contract.access import Key, KeyRing, Scope, key_digest
from product_match.contract.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError
from product_match.contract.models import Role, composing_models
from product_match.settings import Secret
from product_match.triton.access import ANYBODY, Gate, open_gate
from product_match.triton.batches import BatchServer
from tests.fakes import pb_utils
from tests.fakes.encoders import encoder_spec
from tests.fakes.pb_utils import InferenceRequest
from tests.unit.test_batches import SPEC, add, row

WRITER = Key(name="shop", sha256=key_digest("pm_write"), may=frozenset({Scope.WRITE}), expires=date(2027, 1, 31))
SLOW = Key(name="slow", sha256=key_digest("pm_slow"), may=frozenset({Scope.SEARCH}), rows_per_second=2.0, burst=4)
RING = KeyRing(open=frozenset(), keys=(WRITER, SLOW))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def gate(*scopes, ring=RING, day=date(2027, 1, 1), **changes):
    return Gate(ring, "indexing", scopes, today=lambda: day, **changes)


def given(key="", header="product-match-key"):
    return json.dumps({header: key, "top_k": 3}) if key else '{"top_k": 3}'


@pytest.mark.parametrize("header", ["product-match-key", "Product-Match-Key", "product_match_key"])
def test_a_key_opens_what_it_is_for_however_it_came(header):
    caller = gate(Scope.WRITE).admit(given("pm_write", header), 1)
    assert (caller.name, caller.may) == ("shop", {Scope.WRITE})


def test_no_key_a_wrong_key_and_another_key_are_three_things():
    with pytest.raises(UnauthenticatedError) as none:
        gate(Scope.WRITE, Scope.ADMIN).admit("", 1)
    assert str(none.value) == (
        "indexing needs a key for write or admin, and none came; send it as the header `product-match-key`, over "
        "`generate` as a parameter of that name"
    )
    with pytest.raises(UnauthenticatedError, match="indexing: the key that came is not known here") as wrong:
        gate(Scope.WRITE).admit(given("pm_guess"), 1)
    assert "pm_guess" not in str(wrong.value)
    with pytest.raises(ForbiddenError, match="indexing needs a key for write; the key `slow` opens search"):
        gate(Scope.WRITE).admit(given("pm_slow"), 1)


def test_what_is_open_needs_no_key_and_a_wrong_one_is_refused_all_the_same():
    opened = dataclasses.replace(RING, open=frozenset({Scope.SEARCH}))
    assert gate(Scope.SEARCH, ring=opened).admit("", 1).may == {Scope.SEARCH}
    with pytest.raises(UnauthenticatedError, match="not known here"):
        gate(Scope.SEARCH, ring=opened).admit(given("pm_guess"), 1)


def test_a_key_is_good_through_its_last_day():
    assert gate(Scope.WRITE, day=date(2027, 1, 31)).admit(given("pm_write"), 1)
    with pytest.raises(UnauthenticatedError, match="the key `shop` was good until 2027-01-31; use a new one"):
        gate(Scope.WRITE, day=date(2027, 2, 1)).admit(given("pm_write"), 1)


def test_a_command_is_refused_by_what_it_does():
    caller = gate().admit(given("pm_write"), 1)
    caller.allow("update")
    with pytest.raises(ForbiddenError, match="catalogue `drop` needs a key for admin; the key `shop` opens write"):
        caller.allow("drop")
    with pytest.raises(UnauthenticatedError, match="catalogue `export` needs a key for export, and none came"):
        gate().admit("", 1).allow("export")
    ANYBODY.allow("drop")


def test_rows_are_counted_a_burst_is_paid_off_and_others_are_not_held_up():
    clock = Clock()
    counting = gate(counts=True, clock=clock)
    counting.admit(given("pm_slow"), 3)
    with pytest.raises(TooManyRequestsError) as refused:
        counting.admit(given("pm_slow"), 3)
    assert str(refused.value) == (
        "indexing: the key `slow` may send 2 rows a second, 4 at once; send this one again in 1.0 s"
    )
    counting.admit(given("pm_write"), 60)
    clock.now = 1.0
    counting.admit(given("pm_slow"), 3)


def test_a_batch_larger_than_the_burst_takes_all_of_it_and_is_paid_off_after():
    clock = Clock()
    counting = gate(counts=True, clock=clock)
    counting.admit(given("pm_slow"), 10)
    clock.now = 4.9
    with pytest.raises(TooManyRequestsError, match=r"in 0\.1 s"):
        counting.admit(given("pm_slow"), 4)
    clock.now = 5.0
    counting.admit(given("pm_slow"), 4)


def test_a_refused_request_harms_no_neighbour():
    server = BatchServer(pb_utils, SPEC, add, options=(), gate=gate(Scope.WRITE))
    fine = InferenceRequest(row(1, 2), {"product-match-key": "pm_write"})
    first, second = server.execute([InferenceRequest(row(1, 2)), fine])
    assert first.error().code() == pb_utils.TritonError.INVALID_ARG
    assert first.error().message().startswith("[unauthenticated] indexing needs a key for write, and none came")
    assert second.output_tensors()[0].as_numpy().tolist() == [[3]]


def test_without_keys_there_is_no_gate(catalogue_settings):
    assert open_gate(catalogue_settings, "indexing", Scope.WRITE) is None
    keyed = dataclasses.replace(catalogue_settings, keys=Secret(RING.to_json()))
    with pytest.raises(UnauthenticatedError):
        open_gate(keyed, "indexing", Scope.WRITE).admit("", 1)


def test_every_model_but_the_encoders_asks_for_keys():
    models = Path(__file__).parents[2] / "model_repository"
    asking = {path.parts[-3] for path in models.glob("*/1/model.py") if "open_gate(settings" in path.read_text()}
    python = {model.name for model in composing_models(encoder_spec()) if model.role is Role.PYTHON}
    assert asking == python
