"""Generations of encoders: what the state directory says, what may be asked for, and what a server starts with."""

from __future__ import annotations

import json
import stat

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.encoder_change import requests as encoder_change
from product_match.encoder_change.generations import (
    Generation,
    Generations,
    read_generations,
    starting_generation,
    write_generations,
)
from product_match.encoder_change.models import assemble_models, model_variables
from product_match.encoder_change.requests import (
    forget_change,
    read_change,
    request_reindex,
    request_rollback,
    write_change,
)
from product_match.host.json_files import read_json, write_json
from product_match.repository.assembly import add_composing_models, entry_points, write_entry_point
from product_match.settings import ServingSettings, WordsKept
from product_match.stack.serving import (
    encoder_change_worker,
    own_feedback_keys,
    own_hash_key,
    serving_settings,
    with_event_log,
)
from product_match.stack.state import StateDirectory
from product_match.triton.settings import model_settings
from tests.fakes.encoders import encoder_spec
from tests.fakes.live_server import PROJECT

ADAPTERS = PROJECT / "model_repository"
TINY = "tiny@0123456789ab"


@pytest.fixture
def state(tmp_path):
    directory = StateDirectory(tmp_path / "state")
    directory.path.mkdir()
    return directory


def encoder(path, revision="0123456789ab", *, towers=True):
    """An encoder directory without weights."""
    path.mkdir()
    (path / "encoder.json").write_text(encoder_spec(revision=revision).to_json())
    for tower in ("image_encoder.onnx", "text_encoder.onnx") if towers else ():
        (path / tower).write_bytes(b"")
    return path


def test_what_is_written_is_read_and_the_one_before_is_kept(state):
    assert read_generations(state.path) == Generations()
    first = Generation(encoder="a@1", directory=state.path)
    second = Generation(encoder="b@2", directory=state.path / "b", name="2")
    write_generations(state.path, Generations().succeeded_by(first))
    write_generations(state.path, read_generations(state.path).succeeded_by(second))
    assert read_generations(state.path) == Generations(current=second, previous=first)
    assert (first.revision, second.revision) == ("1", "2")


def test_the_state_of_an_older_version_names_no_directory(state):
    (state.path / "state.json").write_text('{"encoder": "a@1"}')
    assert read_generations(state.path).current == Generation(encoder="a@1")
    write_generations(state.path, Generations())
    assert json.loads((state.path / "state.json").read_text()) == {}


def test_a_json_file_is_replaced_as_a_whole_and_a_damaged_one_named(tmp_path):
    path = tmp_path / "file.json"
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    write_json(path, {"a": 2}, durable=True)
    assert read_json(path) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]
    path.write_text("")
    assert read_json(path) == {}
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"file\.json is damaged .*; remove it or give another directory with"):
        read_json(path)


def test_a_change_is_asked_for_joined_and_not_asked_for_twice(state, tmp_path):
    write_generations(state.path, Generations(current=Generation(encoder="tiny@old", directory=tmp_path)))
    change = request_reindex(state.path, str(encoder(tmp_path / "new")))
    assert (change["state"], change["encoder"], change["from"]) == ("requested", "tiny@0123456789ab", "tiny@old")
    assert read_change(state.path) == change
    assert request_reindex(state.path, str(tmp_path / "new")) == change
    other = encoder(tmp_path / "other", "ba9876543210")
    with pytest.raises(
        InvalidRequestError, match="the change to tiny@0123456789ab is still going on; wait for its end"
    ):
        request_reindex(state.path, str(other))
    write_change(state.path, {**change, "state": "done"})
    assert request_reindex(state.path, str(other))["state"] == "requested"


def test_the_encoder_that_is_served_is_no_change(state, tmp_path):
    write_generations(state.path, Generations(current=Generation(encoder="tiny@0123456789ab")))
    change = request_reindex(state.path, str(encoder(tmp_path / "same")))
    assert (change["state"], change["message"]) == ("done", "this encoder is the one that is served")
    assert read_change(state.path) == {}


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("relative", "must be an absolute path on the server, got 'relative'"),
        ("/nowhere", "/nowhere is not an encoder directory"),
        (
            "{tmp}/plans",
            "has no image_encoder.onnx and no text_encoder.onnx; build the encoder with `ensemble-builder",
        ),
    ],
)
def test_what_is_no_encoder_for_this_server_is_refused(state, tmp_path, directory, words):
    encoder(tmp_path / "plans", towers=False)
    with pytest.raises(InvalidRequestError) as refused:
        request_reindex(state.path, directory.format(tmp=tmp_path))
    assert words in str(refused.value)


def test_a_server_without_a_state_directory_says_what_to_do(tmp_path):
    with pytest.raises(
        InvalidRequestError, match="reindex: this server was not started by `product-match serve`; start"
    ):
        request_reindex(None, str(tmp_path))
    with pytest.raises(InvalidRequestError, match="rollback: this server was not started by `product-match serve`"):
        request_rollback(None)


def test_a_rollback_names_the_encoder_before_which_must_still_be_there(state, tmp_path):
    current = Generation(encoder="tiny@new", name="new")
    write_generations(state.path, Generations(current=current))
    with pytest.raises(InvalidRequestError, match="the catalogue has had no encoder before this one; change it with"):
        request_rollback(state.path)
    before = Generation(encoder="tiny@0123456789ab", directory=encoder(tmp_path / "old"))
    write_generations(state.path, Generations(current=current, previous=before))
    change = request_rollback(state.path)
    assert (change["state"], change["encoder"]) == ("requested", "tiny@0123456789ab")
    (tmp_path / "old" / "encoder.json").write_text(encoder_spec(revision="ba9876543210").to_json())
    with pytest.raises(InvalidRequestError) as refused:
        request_rollback(state.path)
    assert "held the encoder tiny@0123456789ab and now holds tiny@ba9876543210; put the old one back" in str(
        refused.value
    )


def test_a_generation_is_called_after_its_revision_unless_it_was_there_before(state, tmp_path):
    new = Generations().next("b@2", tmp_path)
    assert new == Generation(encoder="b@2", directory=tmp_path, name="2")
    held = Generations(current=new, previous=Generation(encoder="a@1", name=""))
    assert (held.next("a@1", tmp_path).name, held.next("a@1", tmp_path).model_suffix) == ("", "")
    assert (held.next("c@3", tmp_path).name, held.next("c@3", tmp_path).model_suffix) == ("3", "_3")


def test_a_change_that_a_server_did_not_live_to_end_has_failed(state):
    (state.path / "changes").touch()
    forget_change(state.path)
    assert read_change(state.path) == {}
    assert not (state.path / "changes").exists()
    write_change(state.path, {"state": "running"})
    forget_change(state.path)
    change = read_change(state.path)
    assert change["state"] == "failed"
    assert encoder_change.AGAIN in change["message"]


def test_a_change_whose_encoder_was_served_when_the_server_ended_is_done(state):
    write_generations(state.path, Generations(current=Generation(encoder="tiny@0123456789ab")))
    write_change(state.path, {"state": "running", "encoder": "tiny@0123456789ab"})
    forget_change(state.path)
    assert read_change(state.path) == {"state": "done", "encoder": "tiny@0123456789ab"}


def test_a_server_starts_with_the_catalogues_own_encoder(state, tmp_path):
    first, second = encoder(tmp_path / "first"), encoder(tmp_path / "second", "ba9876543210")
    new = starting_generation(state.path, first, is_default=True)
    assert new == Generation(encoder="tiny@0123456789ab", directory=first)
    own = Generation(encoder="tiny@ba9876543210", directory=second, name="ba9876543210")
    write_generations(state.path, Generations(current=own))
    assert starting_generation(state.path, first, is_default=True) == own
    with pytest.raises(ConfigError) as refused:
        starting_generation(state.path, first, is_default=False)
    words = str(refused.value)
    assert f"holds a catalogue of the encoder tiny@ba9876543210, but this server starts with {TINY}" in words
    assert "leave out --encoder or give the catalogue's own" in words
    assert "change the encoder by `product-match reindex --checkpoint`" in words
    assert "go back to the one before by `product-match rollback`" in words
    assert "or give another directory with --state-dir" in words
    second.rename(tmp_path / "moved")
    moved = starting_generation(state.path, tmp_path / "moved", is_default=True)
    assert moved == Generation(encoder="tiny@ba9876543210", directory=tmp_path / "moved", name="ba9876543210")


def test_models_are_assembled_with_the_settings_of_their_generation(state, tmp_path):
    directory = encoder(tmp_path / "new")
    generation = Generation(encoder="tiny@0123456789ab", directory=directory, name="0123456789ab")
    assemble_models(state, ADAPTERS, generation)
    text = (state.model_repository / "catalogue" / "config.pbtxt").read_text()
    assert 'key: "PRODUCT_MATCH_GENERATION"' in text
    assert str(state.owner_socket("0123456789ab")) in text
    with pytest.raises(ConfigError, match="does not say where the encoder a@1 is; give --encoder"):
        assemble_models(state, ADAPTERS, Generation(encoder="a@1"))


def test_another_encoders_models_stand_beside_those_that_clients_still_reach(state, tmp_path):
    spec, target = encoder_spec(), state.model_repository
    assemble_models(state, ADAPTERS, Generation(encoder=spec.identity, directory=encoder(tmp_path / "old")))
    before = (target / "product_match" / "config.pbtxt").read_text()
    add_composing_models(ADAPTERS, spec, target, "_new", {"PRODUCT_MATCH_GENERATION": "new"})
    assert (target / "product_match" / "config.pbtxt").read_text() == before
    assert (target / "retrieval_new" / "1" / "model.py").read_text() == (
        ADAPTERS / "retrieval/1/model.py"
    ).read_text()
    assert 'name: "retrieval_new"' in (target / "retrieval_new" / "config.pbtxt").read_text()
    assert not list(target.glob("catalogue_*")) + list(target.glob("feedback_*"))
    for name in entry_points(spec):
        write_entry_point(name, spec, target, "_new", {"PRODUCT_MATCH_GENERATION": "new"})
    after = (target / "product_match" / "config.pbtxt").read_text()
    assert 'model_name: "retrieval_new"' in after
    assert 'model_name: "retrieval"' not in after
    assert 'string_value: "new"' in (target / "catalogue" / "config.pbtxt").read_text()


def test_python_writes_nothing_into_a_models_folder_later(state, tmp_path):
    assemble_models(state, ADAPTERS, Generation(encoder="tiny@1", directory=encoder(tmp_path / "new")))
    version = state.model_repository / "catalogue" / "1"
    assert {path.name for path in version.iterdir()} == {"model.py", "__pycache__"}


def test_a_models_parameters_go_before_the_environment(state):
    generation = Generation(encoder="b@2", directory=state.path, name="2")
    parameters = {name: {"string_value": value} for name, value in model_variables(state, generation).items()} | {
        "EXECUTION_ENV_PATH": {"string_value": "elsewhere"}
    }
    environment = serving_settings(state, state.path / "old", 27017, 3).to_environment()
    settings = model_settings({"model_config": json.dumps({"parameters": parameters})}, environment)
    assert settings.encoder_directory == state.path
    assert settings.owner_socket == state.owner_socket("2")
    assert settings.document_collection == "products_2"
    assert settings.encoder_threads == 3
    plain = model_settings({}, environment)
    assert plain == ServingSettings.from_environment(environment)
    assert plain.document_collection == "products"


def test_keys_are_made_once_for_their_owner_alone(state):
    first, again = (serving_settings(state, state.path, 1, 0) for _ in range(2))
    assert (first.feedback_keys, first.event_hash_key) == (again.feedback_keys, again.event_hash_key)
    assert len(first.event_hash_key.value) == 48
    assert not first.event_log
    for path in (state.feedback_keys, state.event_hash_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
        path.mkdir()
    for made in (own_feedback_keys, own_hash_key):
        with pytest.raises(ConfigError, match=r"cannot be read"):
            made(state)


def test_an_event_log_is_kept_where_it_is_asked_for(state):
    settings = serving_settings(state, state.path, 1, 0)
    assert with_event_log(settings, None, "") == settings
    logged = with_event_log(settings, WordsKept.LEFT_OUT, "mongodb://elsewhere")
    assert (logged.event_log, logged.event_words) == (True, WordsKept.LEFT_OUT)
    assert logged.event_uri.value == "mongodb://elsewhere"


def test_the_worker_is_told_the_models_and_triton_and_its_key_in_the_environment(state, tmp_path):
    settings = serving_settings(state, tmp_path, 1, 0)
    worker = encoder_change_worker(state, settings, ADAPTERS, "127.0.0.1:1", "secret")
    assert worker._command[1:] == ("-m", "product_match.encoder_change.worker", str(ADAPTERS), "127.0.0.1:1")
    assert worker._environment["TRITON_ADMIN_KEY"] == "secret"


def test_after_a_start_the_models_are_called_after_their_generation(state, tmp_path):
    directory = encoder(tmp_path / "new")
    generation = Generation(encoder="tiny@0123456789ab", directory=directory, name="0123456789ab")
    assemble_models(state, ADAPTERS, generation)
    models = {path.name for path in state.model_repository.iterdir()}
    assert {"catalogue", "product_match", "retrieval_0123456789ab", "indexing_0123456789ab"} <= models
    assert "retrieval" not in models
    assert (state.model_repository / "retrieval_0123456789ab" / "1" / "model.py").is_file()
    assert "feedback" in models
    text = (state.model_repository / "product_match" / "config.pbtxt").read_text()
    assert 'model_name: "retrieval_0123456789ab"' in text


@pytest.mark.parametrize("known", ["current", "previous"])
def test_another_precision_under_a_name_that_is_known_is_refused(state, tmp_path, known):
    """Older versions gave one checkpoint the same revision in every precision."""
    place = encoder(tmp_path / "known")
    others = {"current": Generation(encoder="b@2", name="2"), known: Generation(encoder=TINY, directory=place)}
    write_generations(state.path, Generations(**others))
    int8 = encoder(tmp_path / "int8")
    (int8 / "encoder.json").write_text(encoder_spec(precision="int8").to_json())
    with pytest.raises(InvalidRequestError) as refused:
        request_reindex(state.path, str(int8))
    words = f"reindex: {int8} holds {TINY} in int8, and the catalogue knows the one of that name in fp32"
    assert words in str(refused.value)
    assert "build it again with `ensemble-builder build`" in str(refused.value)
    assert read_change(state.path) == {}
    (place / "encoder.json").write_text(encoder_spec(revision="ba9876543210").to_json())
    assert request_reindex(state.path, str(int8))["state"] in ("requested", "done")
    (place / "encoder.json").unlink()
    assert request_reindex(state.path, str(int8))["state"] in ("requested", "done")


@pytest.mark.parametrize("text", ["{", "\x00\x00"])
def test_a_damaged_state_file_is_named(state, text):
    (state.path / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=r"state\.json is damaged .*; remove it or give another directory"):
        read_generations(state.path)


def test_a_state_file_of_another_form_counts_as_new(state):
    (state.path / "state.json").write_text("[1]")
    assert read_generations(state.path) == Generations()


def test_the_same_weights_in_another_precision_are_another_encoder(state, tmp_path):
    served, other = encoder(tmp_path / "fp32"), encoder(tmp_path / "int8")
    write_generations(state.path, Generations(current=Generation(encoder=TINY, directory=served)))
    int8 = encoder_spec().at_precision("int8")
    (other / "encoder.json").write_text(int8.to_json())
    change = request_reindex(state.path, str(other))
    assert (change["state"], change["encoder"], change["from"]) == ("requested", int8.identity, TINY)
    assert int8.identity != TINY
    generation = read_generations(state.path).next(int8.identity, other)
    # Documents, index and models of their own.
    assert generation.name == generation.revision == int8.revision
    with pytest.raises(ConfigError, match=f"holds a catalogue of the encoder {TINY}, but this server"):
        starting_generation(state.path, other, is_default=False)
