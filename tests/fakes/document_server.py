"""A real document store for tests: nx-27017 on a free loopback port, killed with the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from product_match.stack import document_server as documents

START_TIMEOUT_S = 30.0


class DocumentServer:
    """A context manager; `kill` and `start` play a crash and a restart on the same port and files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return documents.uri(self.port)

    def __enter__(self) -> DocumentServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        documents.prepare(self.directory)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                documents.command_line(self.directory, self.port),
                env=documents.process_environment(os.environ),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not documents.ready(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the document store did not start: {(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Make the store hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the hanging."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
