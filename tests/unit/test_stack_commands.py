"""The command lines and environments of the stack's processes."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from product_match.contract.errors import ConfigError, StackError
from product_match.contract.options import header_pattern
from product_match.host.ports import PortRequest, choose_ports
from product_match.stack import document_server as documents
from product_match.stack import triton_server as triton
from product_match.stack.local import LocalStack
from product_match.stack.settings import StackSettings
from product_match.triton.flags import ListenAddress


@pytest.fixture(scope="module")
def runtime():
    return triton.locate_runtime()


@pytest.fixture
def command(runtime, tmp_path):
    settings = triton.TritonSettings(
        model_repository=tmp_path / "models",
        backends=tmp_path / "backends",
        listener=ListenAddress(address="127.0.0.1", http_port=1, grpc_port=2, metrics_port=3),
        shared_memory_prefix="mine_",
        admin_key="secret",
        exit_timeout_s=4,
    )
    return triton.command_line(runtime, settings)


def test_triton_listens_on_loopback_and_takes_the_declared_headers_alone(command):
    for protocol, port in (("http", 1), ("grpc", 2), ("metrics", 3)):
        assert f"--{protocol}-address=127.0.0.1" in command
        assert f"--{protocol}-port={port}" in command
    assert f"--http-header-forward-pattern={header_pattern()}" in command
    assert f"--grpc-header-forward-pattern={header_pattern()}" in command


def test_triton_loads_what_is_declared_and_more_only_for_the_admin_key(command, tmp_path):
    for flag in (
        f"--model-repository={tmp_path / 'models'}",
        f"--backend-directory={tmp_path / 'backends'}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--exit-timeout-secs=4",
        "--allow-gpu-metrics=false",
        "--cache-config=local,size=67108864",
        "--backend-config=python,shm-region-prefix-name=mine_",
        "--http-restricted-api=shared-memory,model-repository,logging,trace:product-match-admin=secret",
        "--grpc-restricted-protocol=shared-memory,model-repository,logging,trace:product-match-admin=secret",
    ):
        assert flag in command
    assert len(command) == len(set(command))


def test_the_environment_leads_to_this_interpreter_and_to_nothing_inherited(runtime):
    inherited = {
        "PATH": "/usr/bin",
        "HOME": "/home/shop",
        "LD_LIBRARY_PATH": "/opt/lib",
        "PYTHONHOME": "/elsewhere",
        "PRODUCT_MATCH_MONGODB_URI": "mongodb://elsewhere",
        "OMP_NUM_THREADS": "3",
    }
    environment = triton.process_environment(runtime, inherited, {"PRODUCT_MATCH_COLLECTION": "shop"})
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert environment["LD_LIBRARY_PATH"].split(":")[0] == str(runtime.libpython.parent)
    assert environment["LD_LIBRARY_PATH"].endswith(":/opt/lib")
    assert "PYTHONHOME" not in environment
    assert "PRODUCT_MATCH_MONGODB_URI" not in environment
    assert environment["PRODUCT_MATCH_COLLECTION"] == "shop"
    assert environment["HOME"] == "/home/shop"
    assert (environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]) == ("3", "1")
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_the_backend_directory_has_the_stub_of_this_python_beside_the_backend(runtime, tmp_path):
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "stale").symlink_to("/nowhere")
    for _ in range(2):
        made = triton.build_backends(runtime, tmp_path)
    assert made == tmp_path
    stub = tmp_path / "python" / "triton_python_backend_stub"
    assert stub.resolve().parent.name == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (tmp_path / "python" / "libtriton_python.so").is_file()
    assert (tmp_path / "python" / "triton_python_backend_utils.py").is_file()
    assert not (tmp_path / "python" / "stale").is_symlink()


def test_the_document_store_keeps_everything_in_its_directory(tmp_path):
    command = documents.command_line(tmp_path, 27017)
    # nx-27017 deletes its process id file when it ends, so that must be its own.
    assert command[command.index("--pid-file") + 1] == str(tmp_path / "nx-27017.pid")
    assert command[command.index("--db") + 1] == str(tmp_path / "documents.db")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--journal-mode") + 1] == "WAL"
    assert documents.process_environment({"PRODUCT_MATCH_COLLECTION": "shop", "HOME": "/"}) == {"HOME": "/"}


def test_a_killed_stores_process_id_is_removed(tmp_path):
    (tmp_path / "nx-27017.pid").write_text("1")
    documents.prepare(tmp_path)
    documents.prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ready_where_nobody_listens_or_no_database_answers():
    port = choose_ports({"http": PortRequest(port=0, purpose="", option="")})["http"]
    assert not triton.ready(port)
    assert not documents.ready(port)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not documents.ready(silent.getsockname()[1], timeout_s=0.1)


@pytest.mark.parametrize(("status", "expected"), [(200, True), (400, False), (503, False)])
def test_triton_is_ready_when_it_says_so(status, expected):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/v2/health/ready" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert triton.ready(server.server_port) is expected
        thread.join()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model_repository": Path("/nowhere")},
            "the model repository /nowhere is not a directory; give one that is",
        ),
        ({"adapters": Path("/")}, "give either a model repository or the adapters to assemble one, got 2"),
        ({"model_repository": None}, "give either a model repository or the adapters to assemble one, got 0"),
        ({"start_timeout_s": 0.0}, "start_timeout_s must be above 0, got 0.0"),
        ({"stop_timeout_s": -1.0}, "stop_timeout_s must be above 0, got -1.0"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, changes, words):
    with pytest.raises(ConfigError) as refused:
        StackSettings(**{"encoder_directory": tmp_path, "model_repository": tmp_path, **changes})
    assert str(refused.value) == words


def test_a_stack_that_is_not_running_has_no_endpoints_and_stops_at_once(tmp_path):
    stack = LocalStack(
        StackSettings(encoder_directory=tmp_path, model_repository=tmp_path, state_directory=tmp_path / "s")
    )
    with pytest.raises(StackError, match=r"the local stack is not running; call start\(\) first"):
        _ = stack.endpoints
    stack.stop()
    with pytest.raises(ConfigError, match=r"is not an encoder directory"):
        stack.start()
    assert not (tmp_path / "s").exists()


def test_a_ready_made_model_repository_keeps_its_encoder(tmp_path):
    stack = LocalStack(
        StackSettings(encoder_directory=tmp_path, model_repository=tmp_path, state_directory=tmp_path / "s")
    )
    with pytest.raises(ConfigError, match="cannot change on a model repository that was given ready-made"):
        stack._start_encoder_change()
