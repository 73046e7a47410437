"""The owner's socket: every operation over it, errors with their class, bad messages, and an owner that is away."""

from __future__ import annotations

import socket
import stat
import struct
import threading

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError, ProductMatchError, UnavailableError
from product_match.index import frames, owner_socket
from product_match.index.frames import MAX_FRAME_BYTES, receive_frame, send_frame
from product_match.index.owner_socket import OwnerClient, OwnerServer, short_address
from product_match.vectors.vector_index import Revision


class Owner:
    """Answers with what it is asked, so that a test sees what arrives."""

    def __init__(self):
        self.calls = []
        self.error = None

    def __getattr__(self, name):
        answers = {
            "wake": None,
            "wait_applied": {"b": 2},
            "count": 7,
            "lookup": {"a": Revision("a", 1, ("image",))},
            "page": [Revision("a", 1, ("image", "text")), Revision("b", 2, ())],
            "reapply": 2,
            "status": {"points": 7},
            "rebuild": {"state": "running"},
            "drop": 7,
        }

        def call(*arguments):
            self.calls.append((name, arguments))
            if self.error is not None:
                raise self.error
            return answers[name]

        return call


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "owner.sock"


@pytest.fixture
def client(owner, path):
    server = OwnerServer(path, owner)
    yield OwnerClient(path)
    server.close()


def test_every_operation_arrives_with_its_arguments_and_its_answer_comes_back(owner, client):
    assert client.wake() is None
    assert client.wait_applied({"a": 1, "b": 2}, 0.5) == {"b": 2}
    assert client.count() == 7
    assert client.lookup(["a", "x"]) == {"a": Revision("a", 1, ("image",))}
    assert client.page(None, 5) == [Revision("a", 1, ("image", "text")), Revision("b", 2, ())]
    assert client.page("a", 5)[1].id == "b"
    assert client.reapply(["a", "b"]) == 2
    assert client.status() == {"points": 7}
    assert client.rebuild() == {"state": "running"}
    assert client.drop() == 7
    client.close()
    assert owner.calls == [
        ("wake", ()),
        ("wait_applied", ({"a": 1, "b": 2}, 0.5)),
        ("count", ()),
        ("lookup", (["a", "x"],)),
        ("page", (None, 5)),
        ("page", ("a", 5)),
        ("reapply", (["a", "b"],)),
        ("status", ()),
        ("rebuild", ()),
        ("drop", ()),
    ]


@pytest.mark.parametrize("error", [InvalidRequestError("bad"), UnavailableError("away"), ConfigError("wrong")])
def test_an_error_of_the_owner_comes_back_with_its_class_and_words(owner, client, error):
    owner.error = error
    with pytest.raises(type(error), match=str(error)):
        client.count()


def test_an_unforeseen_error_stays_in_the_owners_log(owner, client, caplog):
    owner.error = RuntimeError("a secret detail")
    with pytest.raises(ProductMatchError, match="internal error; see the server log") as caught:
        client.count()
    assert "secret" not in str(caught.value)
    assert "a secret detail" in caplog.text


@pytest.mark.parametrize("operation", ["explode", "close", 5])
def test_an_unknown_operation_is_refused(client, operation):
    with pytest.raises(InvalidRequestError, match="the owner of the index knows no operation"):
        client._call(operation)


def test_many_callers_are_answered_at_the_same_time(owner, client):
    everyone = threading.Barrier(8)
    owner.wait_applied = lambda revs, limit_s: (everyone.wait(30) and {}) or {}
    left = []
    threads = [threading.Thread(target=lambda: left.append(client.wait_applied({"a": 1}, 1.0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [{}] * 8


def test_only_the_same_user_may_talk_to_the_owner(client, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_path_longer_than_a_socket_address_may_be_works(owner, tmp_path):
    path = tmp_path.joinpath(*["a directory with a long name"] * 6) / "owner.sock"
    assert len(str(path)) > 150
    server = OwnerServer(path, owner)
    assert OwnerClient(path).count() == 7
    server.close()
    assert not path.exists()


def test_the_socket_of_a_killed_owner_is_taken_over(owner, path):
    left_over = socket.socket(socket.AF_UNIX)
    with short_address(path) as address:
        left_over.bind(address)
    left_over.close()
    server = OwnerServer(path, owner)
    assert OwnerClient(path).count() == 7
    server.close()


def test_a_socket_that_cannot_be_made_is_a_clear_error(owner, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"owner socket .* cannot be made .*; check that its directory can be"):
        OwnerServer(tmp_path / "file" / "owner.sock", owner)


def test_an_owner_that_is_away_is_unavailable_and_waking_it_is_no_error(path):
    client = OwnerClient(path)
    with pytest.raises(UnavailableError, match=r"does not answer on .*; it may be starting, try again"):
        client.count()
    client.wake()


def test_an_owner_that_stops_during_a_call_is_unavailable(path):
    listening = socket.socket(socket.AF_UNIX)
    with short_address(path) as address:
        listening.bind(address)
    listening.listen()

    def hang_up():
        connection, _ = listening.accept()
        receive_frame(connection)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(UnavailableError, match="stopped during the call; try again"):
        OwnerClient(path).count()
    thread.join()
    listening.close()


def test_an_owner_that_hangs_is_unavailable(path, monkeypatch):
    monkeypatch.setattr(owner_socket, "CALL_TIMEOUT_S", 0.05)
    listening = socket.socket(socket.AF_UNIX)
    with short_address(path) as address:
        listening.bind(address)
    listening.listen()
    with pytest.raises(UnavailableError, match="does not answer on"):
        OwnerClient(path)._call("count", timeout_s=0.05)
    listening.close()


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


def test_a_frame_arrives_whole_however_it_is_cut(pair):
    left, right = pair
    message = {"text": "ü" * 50_000}
    sending = threading.Thread(target=send_frame, args=(left, message))
    sending.start()
    assert receive_frame(right) == message
    sending.join()


def test_a_connection_that_was_closed_has_no_more_frames(pair):
    pair[0].close()
    assert receive_frame(pair[1]) is None


def test_a_connection_that_ends_within_a_frame_is_an_error(pair):
    pair[0].sendall(struct.pack(">I", 100) + b"half")
    pair[0].close()
    with pytest.raises(ConnectionError, match="ended after 4 of 100 bytes"):
        receive_frame(pair[1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack(">I", MAX_FRAME_BYTES + 1), "announces 33,554,433 bytes, the limit is 33,554,432"),
        (struct.pack(">I", 3) + b"{x}", "a message is not JSON"),
        (struct.pack(">I", 2) + b"[]", "a message must be a JSON object, got list"),
    ],
)
def test_a_bad_frame_is_refused(pair, data, words):
    pair[0].sendall(data)
    with pytest.raises(ProductMatchError, match=words):
        receive_frame(pair[1])


def test_a_frame_longer_than_the_limit_is_not_sent(pair, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 10)
    with pytest.raises(ProductMatchError, match="is longer than 10; ask for less at once"):
        send_frame(pair[0], {"text": "x" * 20})


def test_a_bad_frame_ends_its_connection_and_no_other(client, path):
    with socket.socket(socket.AF_UNIX) as connection:
        with short_address(path) as address:
            connection.connect(address)
        connection.sendall(struct.pack(">I", MAX_FRAME_BYTES + 1))
        connection.settimeout(30)
        assert connection.recv(1) == b""
    assert client.count() == 7
