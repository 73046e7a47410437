"""`product-match serve` as a process of a benchmark: starts it, names its processes, ends it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import StackError
from product_match.encoder_change.supervision import WORKER_MODULE
from product_match.host.processes import children_of, model_of, process_alive, wait_until_gone
from product_match_client.cli.command import main as product_match

PROJECT: Final = Path(__file__).parents[1]
START_TIMEOUT_S: Final = 150.0
STOP_TIMEOUT_S: Final = 40.0
COMMAND_TIMEOUT_S: Final = 180.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Process ids of a running stack.

    Attributes:
        serve: The parent.
        triton: `tritonserver`.
        documents: The document store.
        models: The process of each Python model, by name.
    """

    serve: int
    triton: int
    documents: int
    models: Mapping[str, int]

    def named(self) -> dict[str, int]:
        """Return all of them by name."""
        return {"serve": self.serve, "tritonserver": self.triton, "document store": self.documents, **self.models}


class Serve:
    """One stack on fixed ports, so that it is found at the same address after a restart."""

    def __init__(self, directory: Path, *options: str) -> None:
        """Keep the state, and the output of the command, in `directory`; `options` are further ones of `serve`."""
        self._options = options
        self.state = directory / "state"
        self.http, self.grpc, self.metrics = free_ports(3)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def mongodb(self) -> str:
        """Where the document store answers, for an independent look at it."""
        return str(self._endpoints()["mongodb"])

    @property
    def running(self) -> bool:
        """True between a start and the command's end."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> float:
        """Start, wait until it is ready, and return the seconds that it took.

        Raises:
            StackError: It ended, or was not ready in time; what it wrote is quoted.
        """
        output = self._directory / "serve.log"
        command = [
            *(command_path(), "serve", "--state-dir", str(self.state)),
            *("--encoder", str(PROJECT / "default_encoder" / "embedded")),
            *("--model-repository", str(PROJECT / "model_repository")),
            *("--http-port", str(self.http), "--grpc-port", str(self.grpc), "--metrics-port", str(self.metrics)),
            *self._options,
        ]
        started = time.monotonic()
        with output.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while time.monotonic() - started < START_TIMEOUT_S and self._process.poll() is None:
            if self._endpoints().get("pid") == self._process.pid:
                return time.monotonic() - started
            time.sleep(_POLL_S)
        self.kill()
        said = output.read_text(errors="replace")[-2000:]
        raise StackError(f"`product-match serve` was not ready within {START_TIMEOUT_S:g} s; it wrote: {said}")

    def processes(self) -> Processes:
        """Return the ids of the processes that run now.

        Raises:
            StackError: One of them is missing.
        """
        serve = self._process.pid if self._process is not None else 0
        children = children_of(serve)
        triton = next((pid for pid, line in children.items() if Path(line[0]).name == "tritonserver"), 0)
        documents = next((pid for pid, line in children.items() if "--db" in line), 0)
        named = {model_of(line): pid for pid, line in children_of(triton).items() if model_of(line)}
        # After a change of encoder a model's name ends with the revision.
        models = {re.sub(r"_[0-9a-f]{12}$", "", name): pid for name, pid in named.items()}
        if not (serve and triton and documents and "retrieval" in models):
            raise StackError(f"the stack is not whole: serve {serve}, children {children}, models {models}")
        return Processes(serve=serve, triton=triton, documents=documents, models=models)

    def change_worker(self) -> int:
        """Return the id of the process that changes the encoder, 0 where there is none."""
        children = children_of(self._process.pid if self._process is not None else 0)
        return next((pid for pid, line in children.items() if WORKER_MODULE in line), 0)

    def wait_end(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the command has ended, and return its exit code.

        Raises:
            StackError: It has not, after `timeout_s`.
        """
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise StackError(f"`product-match serve` did not end within {timeout_s:g} s") from error

    def stop(self) -> int:
        """Stop in order and return the exit code."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self.wait_end()
        except StackError:
            self.kill()
            raise

    def kill(self) -> None:
        """End the command and what it started, at once."""
        if self._process is None:
            return
        pids = descendants(self._process.pid)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)
        if not wait_until_gone(pids, 10.0):
            for pid in filter(process_alive, pids):
                os.kill(pid, signal.SIGKILL)

    def _endpoints(self) -> dict[str, Any]:
        try:
            held: dict[str, Any] = json.loads((self.state / "endpoints.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return held


def end_in_order() -> None:
    """Let SIGTERM end this program like Ctrl-C does, so that it ends what it started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


class Command:
    """The `product-match` command, run against one server."""

    def __init__(self, url: str) -> None:
        """Run commands against the server at `url`."""
        self.url = url

    def start(self, *arguments: str, log: Path, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command whose standard error goes to a file."""
        with log.open("ab") as errors:
            return subprocess.Popen(
                [command_path(), *arguments, "--url", self.url],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, *arguments: str, accept: Sequence[int] = (0,), timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run a command and return what it printed.

        Raises:
            StackError: Another exit code than those accepted, or no end in time.
        """
        line = [command_path(), *arguments, "--url", self.url]
        try:
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"`{' '.join(line)}` did not end within {timeout_s:g} s") from error
        # Exit code 1 is also that of a command that found something, which it then prints.
        if done.returncode not in accept or (done.returncode and not done.stdout):
            raise StackError(f"`{' '.join(line)}` ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def call(self, *arguments: str, accept: Sequence[int] = (0,)) -> str:
        """Run a command in this process, which saves the start of Python, and return what it printed.

        Raises:
            StackError: Another exit code than those accepted.
        """
        output, errors = io.StringIO(), io.StringIO()
        line = [*arguments, "--url", self.url]
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = product_match(line)
        if code not in accept:
            said = errors.getvalue()[-2000:]
            raise StackError(f"`product-match {' '.join(line)}` ended with {code}: {said}")
        return output.getvalue()


def command_path() -> str:
    """Return the `product-match` command of this Python."""
    return str(Path(sys.executable).with_name("product-match"))


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    found: list[int] = []
    for child in children_of(pid):
        found += [child, *descendants(child)]
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
