"""A process that owns an embedded index, as `retrieval` does: `python -m tests.fakes.index_owner`.

Settings come from the environment. It writes "ready", stays until its standard input ends, and then closes in order.
With an argument N it kills itself in the N-th change of the index: after the index has changed, before the
documents are told.
"""

from __future__ import annotations

import os
import subprocess
import sys

from product_match.catalogue.opening import open_for_retrieval
from product_match.contract.encoder import load_encoder
from product_match.index import applier
from product_match.settings import ServingSettings


class OwnerProcess:
    """The process, from a test's side."""

    def __init__(self, settings: ServingSettings, die_at_change: int = 0) -> None:
        self.settings = settings
        self.process: subprocess.Popen[str] | None = None
        self.start(die_at_change)

    def start(self, die_at_change: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.index_owner", str(die_at_change)],
            env={**os.environ, **self.settings.to_environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if line != "ready\n":
            self.kill()
            raise RuntimeError(f"the owner did not start, it said {line!r}")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_dead(self, timeout_s: float) -> int:
        assert self.process is not None
        code = self.process.wait(timeout_s)
        self._close_pipes()
        return code

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._close_pipes()

    def stop(self) -> int:
        """End in order."""
        assert self.process is not None
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.wait_dead(30)

    def _close_pipes(self) -> None:
        assert self.process is not None
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def main() -> None:
    die_at_change = int(sys.argv[1])
    original = applier.Applier._clear
    changes = [0]

    def clear_or_die(self: applier.Applier, batch: list[dict[str, object]]) -> None:
        changes[0] += bool(batch)
        if changes[0] == die_at_change:
            os.kill(os.getpid(), 9)
        original(self, batch)

    applier.Applier._clear = clear_or_die  # type: ignore[method-assign]
    settings = ServingSettings.from_environment(os.environ)
    catalogue = open_for_retrieval(settings, load_encoder(settings.encoder_directory))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    catalogue.close()


if __name__ == "__main__":
    main()
