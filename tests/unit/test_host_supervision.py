"""What is restarted, how often and after how long, on a clock of the test's own."""

from __future__ import annotations

import pytest

from product_match.contract.errors import StackError
from product_match.host import supervision
from product_match.host.supervision import DeathRecord, ModelServer, RestartedProcess, RestartPolicy, Signs


class Child:
    """A process that runs as the test says."""

    def __init__(self, log_file):
        self.name = "the document store"
        self.log_file = log_file
        self.pid = 100
        self.running = True
        self.starts = 0

    def describe_end(self):
        return f"{self.name} ended"

    def describe_log(self):
        return f"its log is {self.log_file}, its last lines:\n  {self.log_file.read_text()}"

    def restart(self):
        self.running = True
        self.starts += 1


@pytest.fixture
def child(tmp_path):
    return Child(tmp_path / "log")


def test_the_wait_doubles_up_to_its_limit_and_old_deaths_are_forgotten():
    record = DeathRecord(RestartPolicy(limit=4, window_s=10.0, first_delay_s=1.0, longest_delay_s=3.0))
    assert [record.add(float(second)) for second in range(4)] == [1.0, 2.0, 3.0, 3.0]
    assert record.add(10.5) == 3.0
    assert record.add(10.9) is None
    assert record.describe() == "it died 5 times within 10 s and is not started again"
    assert record.add(100.0) == 1.0


def test_a_process_that_ended_is_started_again_once_the_wait_is_over(child):
    reports = []
    watched = RestartedProcess(
        child=child, restart=child.restart, policy=RestartPolicy(first_delay_s=0.5), report=reports.append
    )
    watched.check(0.0)
    assert child.starts == 0
    child.running = False
    watched.check(1.0)
    watched.check(1.4)
    assert child.starts == 0
    watched.check(1.5)
    assert (child.starts, reports) == (1, ["the document store ended and is started again"])
    watched.check(1.6)
    assert child.starts == 1


def test_a_process_that_dies_too_often_ends_the_stack(child):
    watched = RestartedProcess(
        child=child, restart=child.restart, policy=RestartPolicy(limit=1, first_delay_s=0.0), report=lambda _: None
    )
    child.running = False
    watched.check(0.0)
    child.running = False
    with pytest.raises(
        StackError, match="died 2 times within 120 s and is not started again: the document store ended"
    ):
        watched.check(1.0)


class Server(Child):
    """A Triton with models that live and die as the test says."""

    def __init__(self, log_file, monkeypatch):
        super().__init__(log_file)
        self.name = "Triton"
        self.is_ready = True
        self.models = {
            1: ["stub", "/repository/retrieval/1/model.py"],
            2: ["stub", "/repository/indexing/1/model.py"],
        }
        self.dead, self.held = set(), set()
        self.answers, self.work = True, {}
        self.reports, self.told = [], []
        monkeypatch.setattr(supervision, "children_of", lambda pid: self.models)
        monkeypatch.setattr(supervision, "process_alive", lambda pid: pid not in self.dead)
        monkeypatch.setattr(supervision, "process_held", lambda pid: pid in self.held)

    def watched(self, *, claim=lambda: True, **policy):
        server = ModelServer(
            child=self,
            signs=Signs(is_ready=lambda: self.is_ready, is_alive=lambda: self.answers, work=lambda: dict(self.work)),
            restart=self.restart,
            policy=RestartPolicy(**policy),
            start_timeout_s=10.0,
            report=self.reports.append,
            claim_models=claim,
            models_ready=self.told.append,
        )
        server.models_are_ready()
        return server


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "log").write_text("Segmentation fault\n")
    return Server(tmp_path / "log", monkeypatch)


def test_tritons_own_end_is_final(server):
    watched = server.watched()
    watched.check(0.0)
    server.running = False
    with pytest.raises(StackError, match="Triton ended"):
        watched.check(1.0)


def test_a_dead_model_starts_triton_again_and_the_new_models_are_watched(server):
    watched = server.watched()
    server.dead, server.is_ready = {1}, False
    watched.check(1.0)
    watched.check(2.0)
    assert server.starts == 1
    assert server.reports == ["the process of the model retrieval died; starting Triton again"]
    server.models, server.is_ready = {3: ["odd"]}, True
    watched.check(3.5)
    assert server.reports[1:] == ["Triton is ready again after 2.5 s"]
    assert server.told == [100, 100]
    watched.check(4.0)
    server.dead = {3}
    watched.check(5.0)
    assert server.starts == 2


def test_a_dead_model_starts_triton_again_only_once_the_models_are_nobody_elses(server):
    claims = iter([False, True])
    watched = server.watched(claim=lambda: next(claims))
    watched.check(0.5)
    server.dead = {1}
    watched.check(1.0)
    assert (server.starts, server.reports) == (0, [])
    watched.check(1.25)
    assert server.starts == 1


def test_a_model_that_dies_too_often_ends_the_stack(server):
    watched = server.watched(limit=0)
    server.dead = {1, 2}
    with pytest.raises(StackError) as refused:
        watched.check(1.0)
    assert "not started again: the process of the model indexing, retrieval died; its log is" in str(refused.value)
    assert "Segmentation fault" in str(refused.value)


def test_a_triton_that_is_not_ready_again_in_time_ends_the_stack(server):
    watched = server.watched()
    server.dead, server.is_ready = {1}, False
    watched.check(1.0)
    watched.check(11.0)
    with pytest.raises(StackError, match="Triton was not ready again after 10 s; its log is"):
        watched.check(11.1)


def checked(watched, server, *times):
    """The reports of the checks at these seconds; what is started again is ready at once."""
    for second in times:
        watched.check(float(second))
    return server.reports


def test_a_model_that_is_held_is_taken_for_dead_after_a_while(server):
    watched = server.watched()
    server.held = {2}
    assert checked(watched, server, 1, 3, 5) == []
    assert checked(watched, server, 7) == [
        "the process of the model indexing has been held for 5 s; starting Triton again"
    ]
    assert server.starts == 1


def test_a_model_that_is_held_for_a_moment_is_left_alone(server):
    watched = server.watched()
    server.held = {2}
    checked(watched, server, 1, 4)
    server.held = set()
    checked(watched, server, 6)
    server.held = {2}
    assert checked(watched, server, 8, 12) == []


def test_a_triton_that_does_not_answer_is_started_again(server):
    watched = server.watched()
    server.answers = False
    assert checked(watched, server, 1, 8, 15) == []
    assert checked(watched, server, 17) == ["Triton has not answered for 15 s; starting Triton again"]
    server.answers = True
    assert checked(watched, server, 18, 20, 40)[1:] == ["Triton is ready again after 1.0 s"]


def test_a_model_whose_requests_wait_and_never_end_is_stuck(server):
    watched = server.watched()
    server.work = {"retrieval": (3, 10), "catalogue": (0, 4)}
    assert checked(watched, server, *range(0, 121, 2)) == []
    assert checked(watched, server, 122) == [
        "requests to the model retrieval wait, and none ended for 120 s; starting Triton again"
    ]


def test_a_busy_model_is_not_stuck(server):
    watched = server.watched()
    for second in range(0, 600, 2):
        server.work = {"retrieval": (500, second // 100)}
        watched.check(float(second))
    assert server.starts == 0


def test_signs_are_asked_for_every_few_seconds_and_not_at_every_look(server):
    asked = []
    server.models_work = lambda: asked.append(1) or {}
    watched = ModelServer(
        child=server,
        signs=Signs(is_ready=lambda: True, work=server.models_work),
        restart=server.restart,
        policy=RestartPolicy(),
        start_timeout_s=10.0,
        report=server.reports.append,
    )
    checked(watched, server, *(tenth / 10 for tenth in range(100)))
    assert len(asked) == 5
