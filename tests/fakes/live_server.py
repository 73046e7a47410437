"""A real embedded server for tests: `product-match serve` on free ports, with a state directory of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

PROJECT = Path(__file__).parents[2]
START_TIMEOUT_S = 90.0


@dataclass
class LiveServer:
    """A running server and how to reach it."""

    process: subprocess.Popen[str]
    state_directory: Path
    endpoints: dict[str, Any]

    @property
    def http(self) -> str:
        return str(self.endpoints["http"])

    @property
    def grpc(self) -> str:
        return str(self.endpoints["grpc"])

    @property
    def metrics(self) -> str:
        return str(self.endpoints["metrics"])

    @property
    def log(self) -> str:
        return (self.state_directory / "logs" / "triton.log").read_text(errors="replace")

    def infer(self, model: str, tensors: dict[str, list[bytes]], wire: str = "grpc", **parameters: Any) -> list[Any]:
        """Send one request; return the JSON of each row of its BYTES answer."""
        client_module = grpc_client if wire == "grpc" else http_client
        address = self.grpc if wire == "grpc" else self.http
        inputs = []
        for name, rows in tensors.items():
            column = np.empty((len(rows), 1), np.object_)
            column[:, 0] = rows
            tensor = client_module.InferInput(name, [len(rows), 1], "BYTES")
            tensor.set_data_from_numpy(column)
            inputs.append(tensor)
        output = {"product_index": "receipt", "feedback": "receipt", "catalogue": "result"}.get(model, "matches")
        with client_module.InferenceServerClient(address) as client:
            result = client.infer(model, inputs, parameters=parameters or None)
            return [json.loads(row) for row in result.as_numpy(output)[:, 0]]

    def stop(self, timeout_s: float = 30.0) -> int:
        """Stop in order and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=timeout_s)
        return self.process.returncode


def start_server(state_directory: Path, *options: str) -> LiveServer:
    """Start a server and wait until it is ready."""
    command = [
        *(str(Path(sys.executable).with_name("product-match")), "serve"),
        *("--state-dir", str(state_directory)),
        *("--encoder", str(PROJECT / "default_encoder" / "embedded")),
        *("--model-repository", str(PROJECT / "model_repository")),
        "--observe",
        *("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--mongodb-port", "0"),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    endpoints = state_directory / "endpoints.json"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if endpoints.exists():
            held = json.loads(endpoints.read_text())
            if held["pid"] == process.pid:
                return LiveServer(process=process, state_directory=state_directory, endpoints=held)
        time.sleep(0.05)
    process.kill()
    output, errors = process.communicate()
    raise RuntimeError(f"the server did not start: {output}\n{errors}")
