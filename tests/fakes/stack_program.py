"""A program that serves a local stack until it is stopped, and tells on stdout, as JSON lines, what happens.

Run as `python -m tests.fakes.stack_program '{"state_directory": ..., "model_repository": ..., ...}'`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from product_match.contract.errors import ProductMatchError
from product_match.host.processes import children_of, model_of
from product_match.host.supervision import RestartPolicy
from product_match.stack.local import LocalStack
from product_match.stack.settings import StackSettings
from product_match.stack.state import StateDirectory

MODELS = Path(__file__).with_name("stack_models")
ROOT = Path(__file__).parents[2]


def main(fields: dict[str, object]) -> int:
    """Serve; exit code 1 and the error's words on a failure."""
    for name in ("encoder_directory", "model_repository", "state_directory"):
        fields[name] = Path(str(fields[name]))
    if "restarts" in fields:
        fields["restarts"] = RestartPolicy(**fields["restarts"])
    stack = LocalStack(StackSettings(**fields), progress=lambda message: tell({"progress": message}))
    try:
        with stack:
            tell({"endpoints": dataclasses.asdict(stack.endpoints), "processes": processes()})
            stack.wait()
    except KeyboardInterrupt:
        tell({"interrupted": True})
    except ProductMatchError as error:
        tell({"error": str(error), "class": type(error).__name__})
        return 1
    return 0


def processes() -> dict[str, object]:
    """Return the process ids of the children and of the models' processes."""
    found: dict[str, object] = {"models": {}}
    for pid, command in children_of(os.getpid()).items():
        name = "triton" if Path(command[0]).name == "tritonserver" else "documents"
        found[name] = pid
        if name == "triton":
            found["models"] = {model_of(line): child for child, line in children_of(pid).items()}
    return found


def tell(event: dict[str, object]) -> None:
    print(json.dumps(event), flush=True)


class StackProgram:
    """The program as a child of a test."""

    def __init__(self, **fields: object) -> None:
        self.state_directory = Path(str(fields["state_directory"]))
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        text = json.dumps({**ports, **fields}, default=str)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.stack_program", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def events(self) -> Iterator[dict[str, object]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def wait_for(self, key: str, words: str = "") -> dict[str, object]:
        """Return the next event that has the key, with the words in its value."""
        seen = []
        for event in self.events():
            seen.append(event)
            if key in event and words in str(event[key]):
                return event
        raise AssertionError(f"the program ended before {key} {words!r}: {seen} {self.errors()}")

    def finish(self) -> tuple[int, list[dict[str, object]]]:
        """Wait for the program's end; return its exit code and its remaining events."""
        events = list(self.events())
        return self.process.wait(30), events

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def kill_all(programs: list[StackProgram]) -> None:
    """Kill every program, and clear what killed ones leave in shared memory."""
    for program in programs:
        program.kill()
    for state_directory in {program.state_directory for program in programs}:
        state = StateDirectory(state_directory)
        state.lock()
        state.release()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
