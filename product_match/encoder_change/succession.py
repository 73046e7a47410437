"""Changes of the encoder while the stack runs: starts the process that performs one, and cleans up behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ProductMatchError
from product_match.contract.models import CATALOGUE
from product_match.encoder_change import requests as encoder_change
from product_match.encoder_change.generations import Generation, read_generations
from product_match.encoder_change.handover import stop_noting
from product_match.encoder_change.requests import (
    AGAIN,
    DONE,
    ENDING,
    FAILED,
    REQUESTED,
    SWITCHING,
    Change,
    RunningModels,
)
from product_match.host.processes import ChildProcess
from product_match.host.state_layout import StateLayout
from product_match.repository.assembly import composing_names

logger = logging.getLogger(__name__)

WORKER: Final = "the change of encoder"


class ModelServer(Protocol):
    """What a change of encoder asks of the Triton that a stack looks after.

    Attributes:
        models_change: Set while models' processes end that are meant to.
    """

    models_change: bool

    @property
    def pid(self) -> int:
        """Triton's process."""

    @property
    def models(self) -> set[str]:
        """Names of the models whose processes are looked after."""

    @property
    def starting(self) -> bool:
        """True from a restart until Triton is ready again."""

    def note_models(self) -> None:
        """Remember the models' processes."""

    def start_again(self, now: float) -> None:
        """Start Triton again."""


@dataclass(frozen=True, kw_only=True)
class SuccessionHooks:
    """What a running stack does for a change of encoder.

    Attributes:
        start_worker: Starts the process that performs a change.
        announce: Tells clients which encoder is served now.
        report: Takes a line for whoever watches.
    """

    start_worker: Callable[[Change], ChildProcess]
    announce: Callable[[Generation], None]
    report: Callable[[str], None]


class Succession:
    """Watches `reindex.json`: one change at a time, and after each the stack is whole again."""

    def __init__(self, state: StateLayout, server: ModelServer, hooks: SuccessionHooks) -> None:
        """Look after changes of what `server` serves."""
        self._state, self._server, self._hooks = state, server, hooks
        self._worker: ChildProcess | None = None
        self._suffix = ""
        self._told: RunningModels | None = None

    def check(self, now: float) -> None:
        """Start what was asked for, and end what has ended.

        Args:
            now: Seconds on a clock that only goes forward.
        """
        change = encoder_change.read_change(self._state.path)
        if self._server.starting:
            # Triton was started again, for whatever reason: its models have their plain names.
            self._suffix = ""
            if change.get("touched"):
                self._stop_worker(change)
        self._tell_models()
        if self._server.starting:
            return
        if self._worker is not None:
            # To the worker's end: until it is taken note of, what has ended was meant to.
            self._server.models_change |= change.get("stage") in (SWITCHING, ENDING)
            if not self._worker.running:
                # Read again: it may have written more between the reading above and its end.
                self._finish(self._worker, encoder_change.read_change(self._state.path), now)
        elif change.get("state") == REQUESTED:
            self._hooks.report(f"changing the encoder to {change['encoder']}")
            try:
                self._worker = self._hooks.start_worker(change)
            except ProductMatchError as error:
                self._fail(change, str(error))

    def _finish(self, worker: ChildProcess, change: Change, now: float) -> None:
        """Take note of how the worker ended."""
        self._worker = None
        stop_noting(self._state.path)
        current = read_generations(self._state.path).current
        if current is not None and current.encoder == change.get("encoder"):
            # Whatever went wrong afterwards, the catalogue has changed hands.
            change = {**change, "state": DONE}
            self._hooks.announce(current)
            self._suffix = f"_{current.revision}"
            self._tell_models()
        else:
            logger.error("%s", worker.describe_end())
            change = {**change, "state": FAILED, "message": change.get("message") or worker.describe_end()}
        self._server.note_models()
        self._server.models_change = False
        if change.get("touched") or not self._whole(current):
            self._suffix = ""
            self._hooks.report("the change of encoder did not end well; starting Triton again")
            self._server.start_again(now)
        # The last word: until then no other change can be asked for, and from then on all that it tells holds.
        encoder_change.write_change(self._state.path, {**change, "touched": False})
        self._hooks.report(_summary(change))

    def _stop_worker(self, change: Change) -> None:
        """End a change whose models are gone; one that is still embedding needs none, and goes on."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.stop(grace_s=0.0)
        stop_noting(self._state.path)
        self._server.models_change = False
        if encoder_change.going_on(change):
            self._fail({**change, "touched": False}, f"Triton was started again meanwhile; {AGAIN}")

    def _tell_models(self) -> None:
        now = RunningModels(triton_pid=self._server.pid, suffix=self._suffix, ready=not self._server.starting)
        if now != self._told:
            encoder_change.write_models(self._state.path, now)
            self._told = now

    def _whole(self, current: Generation | None) -> bool:
        """Say whether every model of the encoder that is served has its process."""
        if current is None or current.directory is None:
            return True
        wanted = {CATALOGUE, *composing_names(load_encoder(current.directory), self._suffix)}
        return wanted <= self._server.models

    def _fail(self, change: Change, message: str) -> Change:
        failed = {**change, "state": FAILED, "message": message}
        encoder_change.write_change(self._state.path, failed)
        return failed


def _summary(change: Change) -> str:
    if change.get("state") == DONE:
        return f"the encoder {change.get('encoder')} is served now, after {change.get('seconds')} s"
    return f"the encoder was not changed: {change.get('message')}"
