"""What writers do for a change of encoder: note their changes, wait for their turn, and be gone before it is over."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading

import pytest

from product_match.contract.errors import UnavailableError
from product_match.documents.removal import remove_products
from product_match.documents.store import EVERYTHING, open_documents
from product_match.documents.updating import update_products
from product_match.encoder_change import handover
from product_match.encoder_change.generations import Generation, Generations, write_generations
from product_match.encoder_change.handover import (
    ChangeNotes,
    ChangeRecorder,
    Membership,
    Turn,
    has_left,
    stop_noting,
)
from product_match.triton.turns import InTurn
from tests.fakes.catalogues import points, product_write, write_all
from tests.fakes.encoders import encoder_spec


@pytest.fixture
def recorder(tmp_path):
    return ChangeRecorder(tmp_path)


def note(state_directory, *ids):
    with ChangeNotes(state_directory).changing(ids):
        pass


def test_changes_are_noted_once_each_from_the_moment_that_somebody_asks(tmp_path, recorder):
    note(tmp_path, "before")
    recorder.start()
    assert recorder.take() == []
    note(tmp_path, "a", "b")
    note(tmp_path, "a")
    assert recorder.take() == ["a", "b"]
    assert recorder.take() == []
    note(tmp_path, "a")
    assert recorder.take() == ["a"]
    recorder.stop()
    note(tmp_path, "after")
    assert not (tmp_path / handover.CHANGES_FILE).exists()
    stop_noting(tmp_path)


def test_half_a_line_waits_for_its_end(tmp_path, recorder):
    recorder.start()
    with (tmp_path / handover.CHANGES_FILE).open("ab") as file:
        file.write(b"a\nb")
        file.flush()
        assert recorder.take() == ["a"]
        file.write(b"c\n")
    assert recorder.take() == ["bc"]


def test_nothing_is_noted_where_no_encoder_can_change(tmp_path):
    note(None, "a")
    assert list(tmp_path.iterdir()) == []


def test_recording_begins_only_once_the_changes_in_flight_are_over(tmp_path, recorder):
    changing, over, started = threading.Event(), threading.Event(), threading.Event()

    def change():
        with ChangeNotes(tmp_path).changing(["a"]):
            changing.set()
            over.wait(10)

    def start():
        recorder.start()
        started.set()

    threads = [threading.Thread(target=change), threading.Thread(target=start)]
    threads[0].start()
    changing.wait(10)
    threads[1].start()
    assert not started.wait(0.2)
    over.set()
    assert started.wait(10)
    for thread in threads:
        thread.join()


def test_every_way_of_changing_products_is_noted_before_it_happens(catalogue_settings, tmp_path, recorder):
    settings = dataclasses.replace(catalogue_settings, state_directory=tmp_path)
    documents = open_documents(settings, encoder_spec().identity, ChangeNotes(settings.state_directory))
    write_all(documents, product_write(1), product_write(2))
    recorder.start()
    write_all(documents, product_write(3))
    assert recorder.take() == points(3)
    update_products(documents, [{"id": "p1", "price": 9.0}])
    assert recorder.take() == points(1)
    remove_products(documents, ["p2"])
    assert recorder.take() == points(2)
    documents.drop()
    assert recorder.take() == [EVERYTHING]
    documents.close()


def test_writers_belong_to_their_generation_until_they_leave_or_die(tmp_path):
    assert has_left(tmp_path, "")
    first, second, other = Membership(tmp_path, ""), Membership(tmp_path, ""), Membership(tmp_path, "0123456789ab")
    first.leave()
    first.leave()
    assert not has_left(tmp_path, "")
    second.leave()
    assert has_left(tmp_path, "")
    assert not has_left(tmp_path, "0123456789ab")
    other.leave()
    program = (
        "import pathlib, sys; from product_match.encoder_change.handover import Membership; "
        "member = Membership(pathlib.Path(sys.argv[1]), ''); print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"in\n"
        assert not has_left(tmp_path, "")
        process.kill()
        process.wait()
        assert has_left(tmp_path, "")
    Membership(None, "").leave()


def test_a_generation_waits_until_the_catalogue_is_its_own_and_keeps_it(tmp_path):
    first, second = Generation(encoder="a@1"), Generation(encoder="b@2", name="2")
    turn = Turn(tmp_path, "2", "b@2")
    write_generations(tmp_path, Generations(current=first))
    with pytest.raises(UnavailableError) as late:
        turn.wait(timeout_s=0.05)
    assert "being handed over to the encoder b@2, which took more than 0.05 s; try again" in str(late.value)
    Turn(tmp_path, "", "a@1").wait(timeout_s=0)
    write_generations(tmp_path, Generations(current=second, previous=first))
    turn.wait(timeout_s=0)
    write_generations(tmp_path, Generations(current=first))
    turn.wait(timeout_s=0)


def test_a_new_state_directory_and_a_server_without_one_need_no_turn(tmp_path):
    Turn(tmp_path, "", "a@1").wait(timeout_s=0)
    Turn(None, "x", "a@1").wait(timeout_s=0)


def test_requests_are_held_until_the_turn_and_told_where_it_does_not_come(tmp_path, monkeypatch):
    write_generations(tmp_path, Generations(current=Generation(encoder="a@1")))
    service = InTurn(lambda requests: [{"n": len(requests)}] * len(requests), Turn(tmp_path, "2", "b@2"))
    monkeypatch.setattr(Turn.wait, "__defaults__", (0.05,))
    refused = service([None, None])
    assert [type(answer) for answer in refused] == [UnavailableError] * 2
    write_generations(tmp_path, Generations(current=Generation(encoder="b@2", name="2")))
    assert service([None, None]) == [{"n": 2}] * 2
