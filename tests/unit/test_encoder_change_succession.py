"""What `product-match serve` does for a change of encoder, whose process ends as each test says."""

from __future__ import annotations

import pytest

from product_match.contract.errors import ConfigError
from product_match.encoder_change.generations import Generation
from product_match.encoder_change.requests import RunningModels, read_change, read_models, write_change
from product_match.encoder_change.succession import Succession, SuccessionHooks
from product_match.stack.state import StateDirectory
from tests.fakes.encoders import encoder_spec

MODELS = (
    *("catalogue", "image_preprocess", "text_preprocess", "image_encoder", "text_encoder"),
    *("retrieval", "indexing"),
)
OLD, NEW = "tiny@0123456789ab", "tiny@ba9876543210"


class Worker:
    def __init__(self):
        self.running = True
        self.stopped = False

    def stop(self, grace_s):
        self.running, self.stopped = False, True

    def describe_end(self):
        return "the change of encoder ended with signal SIGKILL"


class Server:
    """Triton, as far as a change of encoder is concerned."""

    def __init__(self):
        self.models_change = False
        self.starting = False
        self.starts = []
        self.models = set(MODELS)
        self.notes = 0
        self.pid = 7

    def note_models(self):
        self.notes += 1

    def start_again(self, now):
        self.starts.append(now)
        self.starting = True


class Stack:
    def __init__(self, path):
        self.state = StateDirectory(path / "state")
        self.state.path.mkdir()
        self.encoder = path / "encoder"
        self.encoder.mkdir()
        self.name_encoder("0123456789ab")
        self.state.set_current(Generation(encoder=OLD, directory=self.encoder))
        self.server, self.worker = Server(), Worker()
        self.started, self.announced, self.said = [], [], []
        hooks = SuccessionHooks(start_worker=self.start, announce=self.announce, report=self.said.append)
        self.succession = Succession(self.state, self.server, hooks)

    def start(self, change):
        self.started.append((change["encoder"], read_models(self.state.path).suffix))
        return self.worker

    def announce(self, generation):
        assert read_change(self.state.path)["state"] == "running", "done is told before clients can know the encoder"
        self.announced.append(generation)

    def name_encoder(self, revision):
        (self.encoder / "encoder.json").write_text(encoder_spec(revision=revision).to_json())

    def ask(self):
        write_change(
            self.state.path, {"id": "1", "state": "requested", "encoder": NEW, "directory": str(self.encoder)}
        )
        self.succession.check(1.0)

    def tell(self, **fields):
        write_change(self.state.path, {**read_change(self.state.path), **fields})
        self.succession.check(2.0)

    def succeed(self):
        """The worker switches, as it does."""
        self.name_encoder("ba9876543210")
        self.state.set_current(Generation(encoder=NEW, directory=self.encoder, name="ba9876543210"))
        self.server.models = {"catalogue", *(f"{model}_ba9876543210" for model in MODELS if model != "catalogue")}


@pytest.fixture
def stack(tmp_path):
    return Stack(tmp_path)


def test_a_change_is_started_once_and_its_end_is_told(stack):
    stack.succession.check(0.0)
    assert stack.started == []
    stack.ask()
    stack.succession.check(1.5)
    assert stack.started == [(NEW, "")]
    stack.tell(state="running", stage="loading the models", touched=True)
    assert not stack.server.models_change
    stack.tell(stage="switching")
    assert stack.server.models_change
    stack.succeed()
    stack.tell(stage="", touched=False, seconds=3.0)
    # Until the process is gone, the old models' ends are still expected.
    assert stack.server.models_change
    stack.worker.running = False
    stack.succession.check(3.0)
    assert read_change(stack.state.path)["state"] == "done"
    assert [generation.encoder for generation in stack.announced] == [NEW]
    assert stack.server.starts == []
    assert (stack.server.models_change, stack.server.notes) == (False, 1)
    assert stack.said == [f"changing the encoder to {NEW}", f"the encoder {NEW} is served now, after 3.0 s"]
    stack.ask()
    assert stack.started[1:] == [(NEW, "_ba9876543210")]


def test_what_the_worker_wrote_between_a_look_and_its_end_counts(stack):
    stack.ask()
    stack.tell(state="running", stage="switching", touched=True)

    class Ending(Worker):
        @property
        def running(self):
            stack.succeed()
            write_change(stack.state.path, {**read_change(stack.state.path), "touched": False, "embedded": 9})
            return False

        @running.setter
        def running(self, value):
            pass

    stack.succession._worker = Ending()
    stack.succession.check(3.0)
    assert (read_change(stack.state.path)["state"], read_change(stack.state.path)["embedded"]) == ("done", 9)
    assert stack.server.starts == []


def test_what_the_worker_says_of_its_failure_is_told(stack):
    stack.ask()
    stack.tell(state="running", message="no space left on the disk")
    stack.worker.running = False
    stack.succession.check(3.0)
    change = read_change(stack.state.path)
    assert (change["state"], change["message"]) == ("failed", "no space left on the disk")
    assert stack.said[1:] == ["the encoder was not changed: no space left on the disk"]


def test_a_worker_that_dies_before_it_touched_the_models_costs_nothing(stack):
    stack.ask()
    (stack.state.path / "changes").touch()
    stack.worker.running = False
    stack.tell(state="running", touched=False)
    assert read_change(stack.state.path)["state"] == "failed"
    assert stack.said[1:] == ["the encoder was not changed: the change of encoder ended with signal SIGKILL"]
    assert not (stack.state.path / "changes").exists()
    assert (stack.server.starts, stack.announced) == ([], [])


def test_a_worker_that_dies_among_the_models_has_triton_started_again(stack):
    stack.ask()
    stack.tell(state="running", touched=True)
    stack.worker.running = False
    stack.succession.check(3.0)
    assert stack.server.starts == [3.0]
    assert read_change(stack.state.path)["touched"] is False
    assert "did not end well; starting Triton again" in stack.said[1]


def test_a_worker_that_dies_after_the_switch_has_changed_the_encoder(stack):
    stack.ask()
    stack.tell(state="running", touched=True)
    stack.succeed()
    stack.worker.running = False
    stack.succession.check(3.0)
    assert read_change(stack.state.path)["state"] == "done"
    assert [generation.encoder for generation in stack.announced] == [NEW]
    assert stack.server.starts == [3.0]


def test_a_model_that_is_missing_after_a_change_has_triton_started_again(stack):
    stack.ask()
    stack.succeed()
    stack.server.models.remove("retrieval_ba9876543210")
    stack.worker.running = False
    stack.tell(state="running", seconds=1.0)
    assert stack.server.starts == [2.0]


def test_where_triton_is_started_again_meanwhile_the_change_ends(stack):
    stack.ask()
    stack.tell(state="running", touched=True)
    stack.server.starting = True
    stack.succession.check(3.0)
    stack.succession.check(3.5)
    assert stack.worker.stopped
    assert not stack.server.models_change
    change = read_change(stack.state.path)
    assert (change["state"], "Triton was started again meanwhile" in change["message"]) == ("failed", True)


def test_where_triton_is_started_again_while_products_are_embedded_that_goes_on(stack):
    stack.ask()
    stack.server.starting, stack.server.pid = True, 8
    stack.tell(state="running", touched=False)
    assert not stack.worker.stopped
    assert read_models(stack.state.path) == RunningModels(triton_pid=8, ready=False)
    stack.server.starting = False
    stack.succession.check(4.0)
    assert read_models(stack.state.path) == RunningModels(triton_pid=8, ready=True)
    assert (len(stack.started), read_change(stack.state.path)["state"]) == (1, "running")


def test_a_change_that_cannot_be_started_is_told_to_whoever_asked(stack):
    def fail(change):
        raise ConfigError("no adapters")

    stack.succession._hooks = SuccessionHooks(start_worker=fail, announce=print, report=stack.said.append)
    stack.ask()
    assert read_change(stack.state.path)["message"] == "no adapters"
    stack.succession.check(2.0)
    assert stack.said == [f"changing the encoder to {NEW}"]
