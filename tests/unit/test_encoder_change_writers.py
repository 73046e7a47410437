"""What writers do for a change of encoder: note what they change, and hold what comes until it is theirs to write."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from product_match.contract.errors import StackError, UnavailableError
from product_match.documents.removal import remove_products
from product_match.documents.store import EVERYTHING, open_documents
from product_match.documents.updating import update_products
from product_match.encoder_change import writers
from product_match.encoder_change.generations import Generation, Generations, write_generations
from product_match.encoder_change.writers import ChangeRecorder, WriteGate, held_until_served, stop_noting
from tests.fakes.catalogues import points, product_write, write_all
from tests.fakes.encoders import encoder_spec


@pytest.fixture
def recorder(tmp_path):
    return ChangeRecorder(tmp_path)


def changing(state_directory, *ids):
    return WriteGate(state_directory, "", "a@1").changing(ids)


def note(state_directory, *ids):
    with changing(state_directory, *ids):
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
    stop_noting(tmp_path)
    note(tmp_path, "after")
    assert not (tmp_path / writers.CHANGES_FILE).exists()
    stop_noting(tmp_path)


def test_half_a_line_waits_for_its_end(tmp_path, recorder):
    recorder.start()
    with (tmp_path / writers.CHANGES_FILE).open("ab") as file:
        file.write(b"a\nb")
        file.flush()
        assert recorder.take() == ["a"]
        file.write(b"c\n")
    assert recorder.take() == ["bc"]


def test_nothing_is_noted_where_no_encoder_can_change(tmp_path):
    note(None, "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ask", ["start", "take"])
def test_what_is_in_flight_is_waited_for(tmp_path, recorder, ask):
    """Noted before it happens: whoever read the product too early would miss the change."""
    recorder.start()
    begun, over, answered = threading.Event(), threading.Event(), threading.Event()

    def change():
        with changing(tmp_path, "a"):
            begun.set()
            over.wait(10)

    def wait():
        getattr(recorder, ask)()
        answered.set()

    threads = [threading.Thread(target=change), threading.Thread(target=wait)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    assert not answered.wait(0.2)
    over.set()
    assert answered.wait(10)
    for thread in threads:
        thread.join()


def test_a_change_that_does_not_end_is_told(tmp_path):
    recorder = ChangeRecorder(tmp_path, timeout_s=0.02)
    recorder.start()
    with changing(tmp_path, "a"), pytest.raises(StackError) as late:
        recorder.take()
    assert "a change of products has been going on for 0.02 s; see the logs of the document store" in str(late.value)
    assert recorder.take() == ["a"]


def test_every_way_of_changing_products_is_noted_before_it_happens(catalogue_settings, tmp_path, recorder):
    settings = dataclasses.replace(catalogue_settings, state_directory=tmp_path)
    documents = open_documents(settings, encoder_spec().identity, WriteGate(tmp_path, "", encoder_spec().identity))
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


def test_a_generation_waits_until_the_catalogue_is_its_own_and_keeps_it(tmp_path):
    first, second = Generation(encoder="a@1"), Generation(encoder="b@2", name="2")
    gate = WriteGate(tmp_path, "2", "b@2")
    write_generations(tmp_path, Generations(current=first))
    with pytest.raises(UnavailableError) as late:
        gate.wait(timeout_s=0.05)
    assert "being handed over to the encoder b@2, which took more than 0.05 s; try again" in str(late.value)
    WriteGate(tmp_path, "", "a@1").wait(timeout_s=0)
    write_generations(tmp_path, Generations(current=second, previous=first))
    gate.wait(timeout_s=0)
    write_generations(tmp_path, Generations(current=first))
    gate.wait(timeout_s=0)


def test_a_new_state_directory_and_a_server_without_one_hold_nothing(tmp_path):
    WriteGate(tmp_path, "", "a@1").wait(timeout_s=0)
    WriteGate(None, "x", "a@1").wait(timeout_s=0)


def test_requests_are_held_until_the_catalogue_is_theirs_and_told_where_that_does_not_come(tmp_path, monkeypatch):
    write_generations(tmp_path, Generations(current=Generation(encoder="a@1")))
    service = held_until_served(
        lambda requests: [{"n": len(requests)}] * len(requests), WriteGate(tmp_path, "2", "b@2")
    )
    monkeypatch.setattr(WriteGate.wait, "__defaults__", (0.05,))
    refused = service([None, None])
    assert [type(answer) for answer in refused] == [UnavailableError] * 2
    write_generations(tmp_path, Generations(current=Generation(encoder="b@2", name="2")))
    assert service([None, None]) == [{"n": 2}] * 2
