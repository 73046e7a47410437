"""How a real stack starts, answers, refuses and stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from product_match.host.platforms import SHARED_MEMORY
from product_match.host.processes import process_alive
from product_match.settings import ServingSettings
from product_match.stack.state import StateDirectory
from tests.fakes.encoders import encoder_spec
from tests.fakes.stack_program import MODELS, StackProgram, kill_all

pytestmark = pytest.mark.triton


def write_encoder(directory, **changes):
    directory.mkdir()
    (directory / "encoder.json").write_text(encoder_spec(**changes).to_json())
    return directory


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stack")
    write_encoder(directory / "encoder")
    return directory


@pytest.fixture(scope="module")
def program(place):
    """Starts programs that serve a stack; none outlives the module."""
    started = []

    def start(model="echo", **fields):
        given = {"encoder_directory": place / "encoder", "state_directory": place / "state"}
        started.append(StackProgram(**{**given, "model_repository": MODELS / model, **fields}))
        return started[-1]

    yield start
    kill_all(started)


@pytest.fixture(scope="module")
def serving(program):
    """One stack for the tests that do it no harm: its endpoints and processes."""
    return program().wait_for("endpoints")


def post(endpoint, path, body, headers=None):
    request = urllib.request.Request(f"http://{endpoint}{path}", data=body, headers=headers or {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read()


def refusal(program_started):
    """Return the error of a program that must not start."""
    code, events = program_started.finish()
    assert code == 1, events
    return events[-1]["error"]


def test_parameters_arrive_typed_from_json_and_as_strings_from_headers(serving):
    http = serving["endpoints"]["http"]
    typed = json.loads(post(http, "/v2/models/echo/generate", b'{"text": "boots", "top_k": 3}'))
    assert json.loads(typed["answer"])["parameters"] == {"top_k": 3}

    raw = post(
        http, "/v2/models/echo/infer", b"boots", {"Inference-Header-Content-Length": "0", "top_k": "3", "x": "1"}
    )
    answer = json.loads(raw[raw.rindex(b'{"words"') :])
    assert answer["words"] == ["boots"]
    # urllib writes header names as titles, and Triton passes them on as they came.
    assert {name.lower(): value for name, value in answer["parameters"].items()} == {"top_k": "3"}


def test_models_see_the_settings_and_the_installed_numpy(serving, place):
    answer = json.loads(
        json.loads(post(serving["endpoints"]["http"], "/v2/models/echo/generate", b'{"text": "a"}'))["answer"]
    )
    assert int(answer["numpy"].split(".")[0]) == 1
    settings, state = answer["settings"], StateDirectory(place / "state")
    expected = {
        "PRODUCT_MATCH_ENCODER_DIRECTORY": str(place / "encoder"),
        "PRODUCT_MATCH_MONGODB_URI": serving["endpoints"]["mongodb"],
        "PRODUCT_MATCH_MONGODB_DATABASE": "product_match",
        "PRODUCT_MATCH_VECTOR_INDEX": "edge",
        "PRODUCT_MATCH_INDEX_DIRECTORY": str(place / "state" / "index"),
        "PRODUCT_MATCH_OWNER_SOCKET": str(StateDirectory(place / "state").owner_socket()),
        "PRODUCT_MATCH_COLLECTION": "products",
        "PRODUCT_MATCH_STATE_DIRECTORY": str(place / "state"),
        "PRODUCT_MATCH_STORE_TIMEOUT_S": "0.8",
        "PRODUCT_MATCH_ENCODER_THREADS": "0",
        "PRODUCT_MATCH_METRICS_ADDRESS": serving["endpoints"]["metrics"],
        "PRODUCT_MATCH_EVENT_LOG": "off",
        "PRODUCT_MATCH_EVENT_HASH_KEY": state.event_hash_key.read_text(),
        "PRODUCT_MATCH_FEEDBACK_KEYS": state.feedback_keys.read_text(),
    }
    assert {name: settings.get(name) for name in expected} == expected
    assert ServingSettings.from_environment(settings).to_environment() == settings


@pytest.mark.parametrize(
    "path",
    ["/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/v2/logging", "/v2/trace/setting"],
)
def test_the_administrative_interfaces_ask_for_a_key(serving, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{serving['endpoints']['http']}{path}", timeout=10)
    with refused.value:
        assert refused.value.code == 403


def test_the_model_repository_asks_for_a_key_over_http_and_grpc(serving):
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    with pytest.raises(urllib.error.HTTPError) as refused:
        post(serving["endpoints"]["http"], "/v2/repository/index", b"{}")
    with refused.value:
        assert refused.value.code == 403
    with InferenceServerClient(serving["endpoints"]["grpc"]) as client:
        with pytest.raises(InferenceServerException, match="product-match-admin"):
            client.get_model_repository_index()
        assert client.is_server_ready()


def test_the_key_is_in_no_log_and_no_file(serving, place):
    command = Path(f"/proc/{serving['processes']['triton']}/cmdline").read_bytes().split(b"\0")
    key = next(part for part in command if part.startswith(b"--http-restricted-api=")).rpartition(b"=")[2]
    assert len(key) >= 24
    files = [file for file in (place / "state").rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if key in file.read_bytes()] == []


def test_everything_listens_on_the_loopback_interface_alone(serving):
    endpoints = serving["endpoints"]
    ports = {int(endpoints[name].rpartition(":")[2]) for name in ("http", "grpc", "metrics")}
    ports.add(int(endpoints["mongodb"].rpartition(":")[2].partition("/")[0]))
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, port = line.split()[1].rsplit(":", 1)
            if line.split()[3] == "0A" and int(port, 16) in ports:
                listening.add((address.removeprefix("0000000000000000FFFF0000"), int(port, 16)))
    assert listening == {("0100007F", port) for port in ports}


def test_clients_find_the_endpoints_in_a_file(serving, place):
    assert json.loads((place / "state" / "endpoints.json").read_text()) == serving["endpoints"]


def test_a_second_server_on_the_same_state_directory_is_told_who_has_it(serving, program):
    endpoints = serving["endpoints"]
    words = refusal(program())
    assert words.startswith("another server is using the state directory ")
    assert f"process {endpoints['pid']}, which answers on http {endpoints['http']}, grpc {endpoints['grpc']}" in words
    assert "give another directory with --state-dir" in words
    assert process_alive(serving["processes"]["triton"])


def test_a_port_in_use_is_named_with_the_option_that_changes_it(program, place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = refusal(program(state_directory=place / "other", http_port=port))
    assert words == (
        f"port {port} for Triton's HTTP cannot be used (Address already in use); "
        "stop what listens there or give another with --http-port (0 picks a free one)"
    )


def test_a_model_that_does_not_load_is_quoted_from_the_log(program, place):
    words = refusal(program("broken", state_directory=place / "broken"))
    assert words.startswith("the local stack did not start: Triton ended with exit code 1; its log is ")
    assert "ValueError: the encoder's embeddings have 7 numbers, 8 were expected" in words


def test_a_start_that_takes_too_long_is_given_up(program, place):
    words = refusal(program("slow_start", state_directory=place / "slow", start_timeout_s=3.0, stop_timeout_s=0.1))
    assert words.startswith("Triton was not ready after 3 s; its log is ")
    assert 'loading: slow_start:1"' in words


def test_a_damaged_document_store_is_quoted_from_its_log(program, place):
    documents = place / "damaged" / "documents"
    documents.mkdir(parents=True)
    (documents / "documents.db").write_bytes(b"this is not a database, and long enough to be taken for one" * 100)
    words = refusal(program(state_directory=place / "damaged", stop_timeout_s=0.1))
    assert "the local stack did not start: the document store ended with exit code 1; its log is " in words
    assert "file is not a database" in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_in_order(program, place, number):
    state = place / f"stopped-{number.name}"
    started = program(state_directory=state)
    processes = started.wait_for("processes")["processes"]
    started.process.send_signal(number)

    code, events = started.finish()
    assert code == 0
    assert [event["progress"] for event in events if "progress" in event] == [
        "stopping Triton",
        "stopping the document store",
    ]
    pids = [processes["documents"], processes["triton"], *processes["models"].values()]
    assert not any(process_alive(pid) for pid in pids)
    assert not (state / "endpoints.json").exists()
    assert list(SHARED_MEMORY.glob(StateDirectory(state).shared_memory_prefix + "*")) == []


def test_a_stop_signal_during_the_start_ends_everything_at_once(program, place):
    started = program("slow_start", state_directory=place / "interrupted", stop_timeout_s=0.1)
    started.wait_for("progress", "the document store is ready")
    children = subprocess.run(
        ["pgrep", "-P", str(started.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    started.process.send_signal(signal.SIGTERM)

    code, events = started.finish()
    assert code == 0
    assert events[-1] == {"interrupted": True}
    assert len(children) == 2
    assert not any(process_alive(int(pid)) for pid in children)


def test_a_catalogue_of_another_encoder_is_refused_and_stays(program, place):
    state = place / "encoders"
    state.mkdir()
    (state / "state.json").write_text('{"encoder": "older@ba9876543210"}')
    words = refusal(program(state_directory=state))
    assert (
        "holds a catalogue of the encoder older@ba9876543210, but this server starts with tiny@0123456789ab" in words
    )
    assert "change the encoder by `product-match reindex --checkpoint`" in words
    assert json.loads((state / "state.json").read_text()) == {"encoder": "older@ba9876543210"}
