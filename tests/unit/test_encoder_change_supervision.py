"""What `product-match serve` does for a change of encoder, whose process ends as each test says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from product_match.contract.errors import ConfigError, StackError
from product_match.contract.models import STANDING
from product_match.encoder_change.generations import Generation, Generations, read_generations, write_generations
from product_match.encoder_change.models import ModelsLock
from product_match.encoder_change.requests import AMONG_MODELS, OLD_MODELS_END, read_change, write_change
from product_match.encoder_change.supervision import EncoderChangeHooks, EncoderChanges
from product_match.stack.state import StateDirectory
from tests.fakes.encoders import encoder_spec

MODELS = (
    *("catalogue", "image_preprocess", "text_preprocess", "image_encoder", "text_encoder"),
    *("retrieval", "indexing", "feedback"),
)
OLD, NEW = "tiny@0123456789ab", "tiny@ba9876543210"


class Worker:
    def __init__(self):
        self.running = True
        self.stopped = False
        self.release = lambda: None

    def stop(self, grace_s):
        self.running, self.stopped = False, True
        self.release()

    def describe_end(self):
        return "the change of encoder ended with signal SIGKILL"


class Server:
    """Triton, as far as a change of encoder is concerned."""

    def __init__(self):
        self.starting = False
        self.starts = []
        self.models = set(MODELS)
        self.notes = 0

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
        write_generations(self.state.path, Generations(current=Generation(encoder=OLD, directory=self.encoder)))
        self.server, self.worker = Server(), Worker()
        self.started, self.announced, self.said = [], [], []
        hooks = EncoderChangeHooks(start_worker=self.start, announce=self.announce, report=self.said.append)
        self.changes = EncoderChanges(self.state.path, hooks)
        self.models_lock = ModelsLock(self.state.path)

    def start(self):
        self.started.append(read_change(self.state.path)["encoder"])
        return self.worker

    def announce(self, generation):
        assert read_change(self.state.path)["state"] == "running", "done is told before clients can know the encoder"
        self.announced.append(generation)

    def check(self, now):
        self.changes.check(self.server, now)

    def take_models(self):
        """Do as the worker does once products are embedded."""
        assert self.models_lock.take(0) == 7

    def end(self):
        self.worker.running = False
        self.models_lock.release()

    def name_encoder(self, revision):
        (self.encoder / "encoder.json").write_text(encoder_spec(revision=revision).to_json())

    def ask(self):
        write_change(
            self.state.path, {"id": "1", "state": "requested", "encoder": NEW, "directory": str(self.encoder)}
        )
        self.check(1.0)

    def tell(self, **fields):
        write_change(self.state.path, {**read_change(self.state.path), **fields})
        self.check(2.0)

    def succeed(self):
        """The worker switches, as it does."""
        self.name_encoder("ba9876543210")
        new = Generation(encoder=NEW, directory=self.encoder, name="ba9876543210")
        write_generations(self.state.path, read_generations(self.state.path).succeeded_by(new))
        renamed = (f"{model}_ba9876543210" for model in MODELS if model not in STANDING)
        self.server.models = {*STANDING, *renamed}


@pytest.fixture
def stack(tmp_path):
    stack = Stack(tmp_path)
    assert stack.changes.claim_models()
    stack.changes.models_ready(7)
    return stack


def test_a_change_is_started_once_and_its_end_is_told(stack):
    stack.check(0.0)
    assert stack.started == []
    stack.ask()
    stack.check(1.5)
    assert stack.started == [NEW]
    stack.take_models()
    stack.tell(state="running", stage="loading the models")
    stack.tell(stage="switching")
    stack.succeed()
    stack.tell(stage="", seconds=3.0)
    assert stack.announced == []
    stack.end()
    stack.check(3.0)
    assert read_change(stack.state.path)["state"] == "done"
    assert [generation.encoder for generation in stack.announced] == [NEW]
    assert stack.server.starts == []
    assert stack.server.notes == 1
    assert stack.said == [f"changing the encoder to {NEW}", f"the encoder {NEW} is served now, after 3.0 s"]
    assert stack.changes.claim_models()


def test_what_the_worker_says_of_its_failure_is_told(stack):
    stack.ask()
    stack.tell(state="running", message="no space left on the disk")
    stack.end()
    stack.check(3.0)
    change = read_change(stack.state.path)
    assert (change["state"], change["message"]) == ("failed", "no space left on the disk")
    assert stack.said[1:] == ["the encoder was not changed: no space left on the disk"]


def test_a_worker_that_dies_while_it_embeds_costs_nothing(stack):
    stack.ask()
    (stack.state.path / "changes").touch()
    stack.end()
    stack.tell(state="running", stage="embedding")
    assert read_change(stack.state.path)["state"] == "failed"
    assert stack.said[1:] == ["the encoder was not changed: the change of encoder ended with signal SIGKILL"]
    assert not (stack.state.path / "changes").exists()
    assert (stack.server.starts, stack.announced) == ([], [])


@pytest.mark.parametrize("stage", AMONG_MODELS)
def test_a_worker_that_dies_among_the_models_has_triton_started_again(stack, stage):
    stack.ask()
    stack.take_models()
    stack.tell(state="running", stage=stage)
    stack.end()
    stack.check(3.0)
    assert stack.server.starts == [3.0]
    assert read_change(stack.state.path)["state"] == "failed"
    assert "did not end well; starting Triton again" in stack.said[1]
    # Until Triton is ready, nobody else starts or ends models.
    with pytest.raises(StackError, match="Triton was not ready again after 0 s; see its log"):
        stack.models_lock.take(0)
    stack.changes.models_ready(8)
    assert stack.models_lock.take(0) == 8


def test_a_worker_that_dies_after_the_switch_has_changed_the_encoder(stack):
    stack.ask()
    stack.take_models()
    stack.tell(state="running", stage="ending the old models")
    stack.succeed()
    stack.end()
    stack.check(3.0)
    assert read_change(stack.state.path)["state"] == "done"
    assert [generation.encoder for generation in stack.announced] == [NEW]
    assert stack.server.starts == [3.0]


def test_a_model_that_is_missing_after_a_change_has_triton_started_again(stack):
    stack.ask()
    stack.succeed()
    stack.server.models.remove("retrieval_ba9876543210")
    stack.end()
    stack.tell(state="running", stage="", seconds=1.0)
    assert stack.server.starts == [2.0]


def test_a_death_while_the_new_models_are_loaded_ends_the_change(stack):
    stack.ask()
    stack.take_models()
    stack.tell(state="running", stage="loading the models")
    stack.worker.release = stack.models_lock.release
    assert stack.changes.claim_models()
    assert stack.worker.stopped
    stack.server.start_again(3.0)
    stack.check(3.5)
    change = read_change(stack.state.path)
    assert change["state"] == "failed"
    assert "Triton was started again meanwhile; the encoder before goes on serving" in change["message"]
    # Started already, so not once more.
    assert stack.server.starts == [3.0]


def test_a_change_that_was_over_when_a_death_ended_it_has_changed_the_encoder(stack):
    """A machine that stands still between the look at its stage and its end."""
    stack.ask()
    stack.take_models()
    stack.tell(state="running", stage="loading the models")
    stack.worker.release = lambda: (stack.models_lock.release(), stack.succeed())
    assert stack.changes.claim_models()
    stack.server.start_again(3.0)
    stack.check(3.5)
    assert read_change(stack.state.path)["state"] == "done"


@pytest.mark.parametrize("stage", OLD_MODELS_END)
def test_a_death_where_models_are_meant_to_end_waits_for_the_changes_end(stack, stage):
    stack.ask()
    stack.take_models()
    stack.tell(state="running", stage=stage)
    assert not stack.changes.claim_models()
    assert not stack.worker.stopped
    stack.end()
    # The old models' ends were meant to be, until it is taken note of what the change left.
    assert not stack.changes.claim_models()
    stack.succeed()
    stack.tell(stage="")
    assert stack.server.starts == []
    assert stack.changes.claim_models()


def test_a_worker_that_has_let_go_of_the_models_and_has_not_quite_ended_is_waited_for(stack):
    stack.ask()
    stack.succeed()
    stack.tell(state="running", stage="")
    assert not stack.changes.claim_models()
    assert not stack.worker.stopped


def test_where_triton_is_started_again_while_products_are_embedded_that_goes_on(stack):
    stack.ask()
    stack.tell(state="running", stage="embedding")
    assert stack.changes.claim_models()
    stack.server.start_again(3.0)
    # The models are not the worker's before Triton has all of them and their processes are noted.
    with pytest.raises(StackError, match="Triton was not ready again"):
        stack.models_lock.take(0.05)
    stack.server.starting = False
    stack.changes.models_ready(8)
    assert stack.models_lock.take(0) == 8
    stack.tell(stage="loading the models")
    assert not stack.worker.stopped
    assert (stack.started, read_change(stack.state.path)["state"]) == ([NEW], "running")


def test_the_end_of_a_worker_is_told_while_triton_starts_and_models_are_noted_when_it_is_ready(stack):
    stack.ask()
    stack.server.start_again(2.5)
    stack.end()
    stack.tell(state="running", stage="embedding")
    assert read_change(stack.state.path)["state"] == "failed"
    assert (stack.server.notes, stack.server.starts) == (0, [2.5])


def test_a_change_that_cannot_be_started_is_told_to_whoever_asked(stack):
    def fail():
        raise ConfigError("no adapters")

    stack.changes._hooks = EncoderChangeHooks(start_worker=fail, announce=print, report=stack.said.append)
    stack.ask()
    assert read_change(stack.state.path)["message"] == "no adapters"
    stack.check(2.0)
    assert stack.said == [f"changing the encoder to {NEW}"]


def test_a_worker_that_is_killed_has_the_models_no_longer(tmp_path):
    lock = ModelsLock(tmp_path)
    assert lock.try_take()
    lock.give_back(7)
    program = (
        "import pathlib, sys; from product_match.encoder_change.models import ModelsLock; "
        "print(ModelsLock(pathlib.Path(sys.argv[1])).take(0), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"7\n"
        assert not lock.try_take()
        process.kill()
        process.wait()
        assert lock.try_take()
    lock.release()
