"""State directories as version 0.1.0 left them before the change of encoder had a package of its own."""

from __future__ import annotations

import json
import shutil

import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.encoder_change.generations import Generation, Generations, read_generations, starting_generation
from product_match.encoder_change.models import ModelsLock, assemble_models
from product_match.encoder_change.requests import forget_change, read_change, request_reindex, request_rollback
from product_match.stack.state import StateDirectory
from tests.fakes.encoders import encoder_spec
from tests.fakes.live_server import PROJECT

FIRST, SECOND = "tiny@c36bbdc2a6d1", "tiny@def2f27b2d32"
CHANGE = {
    "id": "f619417e98ac44d5bead866d9e8a4d65",
    "encoder": SECOND,
    "from": FIRST,
    "directory": "{second}",
    "state": "done",
    "stage": "",
    "done": 0,
    "touched": False,
    "pid": 22725,
    "seconds": 11.9,
    "total": 104,
    "embedded": 104,
    "reused": 0,
    "held_s": 1.066,
    "products": 104,
}
HOLDER = {"pid": 2147483646, "http": "127.0.0.1:34591", "encoder": FIRST}
NEVER_CHANGED = {
    "state.json": {"encoder": FIRST, "directory": "{first}"},
    "models.json": {"triton_pid": 21530, "suffix": ""},
    "lock": HOLDER,
    "changes.lock": None,
    "writers.lock": None,
}
CHANGED = {
    "state.json": {
        "encoder": SECOND,
        "directory": "{second}",
        "name": "def2f27b2d32",
        "previous": {"encoder": FIRST, "directory": "{first}"},
    },
    "models.json": {"triton_pid": 21530, "suffix": "_def2f27b2d32"},
    "reindex.json": CHANGE,
    "lock": HOLDER,
    "changes.lock": None,
    "writers.lock": None,
    "writers-def2f27b2d32.lock": None,
}
KILLED_AT_THE_SWITCH_BACK = {
    **CHANGED,
    "reindex.json": {
        **CHANGE,
        "encoder": FIRST,
        "from": SECOND,
        "directory": "{first}",
        "state": "running",
        "stage": "switching",
        "touched": True,
    },
    "changes": None,
    "endpoints.json": HOLDER,
}


@pytest.fixture
def left(tmp_path):
    """Make what was left; return the state directory, and the directories of both encoders."""
    encoders = {"first": tmp_path / "first", "second": tmp_path / "second"}
    for directory, identity in zip(encoders.values(), (FIRST, SECOND), strict=True):
        directory.mkdir()
        revision = identity.partition("@")[2]
        (directory / "encoder.json").write_text(encoder_spec(revision=revision).to_json())
        for tower in ("image_encoder.onnx", "text_encoder.onnx"):
            (directory / tower).touch()

    def make(files):
        state = StateDirectory(tmp_path / "state")
        state.path.mkdir()
        for name, fields in files.items():
            text = "" if fields is None else json.dumps(fields)
            for encoder, directory in encoders.items():
                text = text.replace("{" + encoder + "}", str(directory))
            (state.path / name).write_text(text)
        (state.path / "model_repository" / "retrieval_def2f27b2d32" / "1").mkdir(parents=True)
        return state, encoders["first"], encoders["second"]

    return make


def start(state, directory):
    """Do as a start does, up to the models; return their names."""
    state.lock()
    generation = starting_generation(state.path, directory, is_default=True)
    forget_change(state.path)
    assemble_models(state, PROJECT / "model_repository", generation)
    lock = ModelsLock(state.path)
    assert lock.try_take()
    lock.give_back(7)
    state.release()
    return {path.name for path in state.model_repository.iterdir()}


def test_one_that_was_never_changed_is_started_and_changed(left):
    state, first, second = left(NEVER_CHANGED)
    assert {"catalogue", "retrieval", "indexing"} <= start(state, first)
    assert read_generations(state.path) == Generations(current=Generation(encoder=FIRST, directory=first))
    with pytest.raises(InvalidRequestError, match="the catalogue has had no encoder before this one"):
        request_rollback(state.path)
    assert request_reindex(state.path, str(second))["state"] == "requested"


def test_one_that_was_changed_is_started_and_rolled_back_to_what_is_kept(left):
    state, first, second = left(CHANGED)
    models = start(state, first)
    assert {"catalogue", "retrieval_def2f27b2d32"} <= models
    assert "retrieval" not in models
    assert read_change(state.path)["state"] == "done"
    assert request_reindex(state.path, str(second))["message"] == "this encoder is the one that is served"
    assert request_rollback(state.path)["encoder"] == FIRST
    assert read_generations(state.path).next(FIRST, first) == Generation(encoder=FIRST, directory=first)


def test_one_that_was_killed_at_the_switch_is_started_with_what_it_serves_and_goes_on(left):
    state, first, second = left(KILLED_AT_THE_SWITCH_BACK)
    assert "retrieval_def2f27b2d32" in start(state, first)
    change = read_change(state.path)
    assert (change["state"], change["encoder"]) == ("failed", FIRST)
    assert "the server ended; the encoder before goes on serving" in change["message"]
    assert not (state.path / "changes").exists()
    assert not (state.path / "endpoints.json").exists()
    assert read_generations(state.path).current == Generation(encoder=SECOND, directory=second, name="def2f27b2d32")
    assert request_rollback(state.path)["state"] == "requested"


def test_one_whose_encoder_has_been_moved_is_started_with_the_one_that_is_named(left, tmp_path):
    state, _, second = left(CHANGED)
    shutil.move(second, tmp_path / "moved")
    assert "retrieval_def2f27b2d32" in start(state, tmp_path / "moved")
