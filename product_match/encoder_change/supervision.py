"""What `product-match serve` does for a change of encoder: starts the process that performs it, and ends it well."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ProductMatchError
from product_match.contract.models import STANDING
from product_match.encoder_change import requests
from product_match.encoder_change.generations import Generation, read_generations
from product_match.encoder_change.models import ModelsLock
from product_match.encoder_change.requests import (
    AGAIN,
    AMONG_MODELS,
    DONE,
    EMBEDDING,
    FAILED,
    LOADING,
    OLD_MODELS_END,
    REQUESTED,
    Change,
)
from product_match.encoder_change.writers import stop_noting
from product_match.host.processes import ChildProcess
from product_match.repository.assembly import composing_names

logger = logging.getLogger(__name__)

WORKER: Final = "the change of encoder"
WORKER_MODULE: Final = "product_match.encoder_change.worker"


class ModelServer(Protocol):
    """What a change of encoder asks of the Triton that a stack looks after."""

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
class EncoderChangeHooks:
    """What a running stack does for a change of encoder.

    Attributes:
        start_worker: Starts the process that performs what `reindex.json` asks for.
        announce: Tells clients which encoder is served now.
        report: Takes a line for whoever watches.
    """

    start_worker: Callable[[], ChildProcess]
    announce: Callable[[Generation], None]
    report: Callable[[str], None]


class EncoderChanges:
    """Watches `reindex.json`: one change at a time, and after each the stack is whole again.

    Triton's models have one owner at a time (`models.lock`): whoever looks after Triton asks `claim_models` before it
    starts Triton again, and calls `models_ready` once it is ready.
    """

    def __init__(self, state_directory: Path, hooks: EncoderChangeHooks) -> None:
        """Look after changes in `state_directory`."""
        self._state, self._hooks = state_directory, hooks
        self._lock = ModelsLock(state_directory)
        self._worker: ChildProcess | None = None
        self._stopped_because = ""

    def claim_models(self) -> bool:
        """Say, where a model has died, whether Triton may be started again now.

        A change that is among the models ends for it, unless it lets models end itself: then its own end is waited
        for. One that still embeds has nothing to do with models, and goes on.
        """
        taken = self._lock.try_take()
        if self._worker is None:
            return taken
        stage = requests.read_change(self._state).get("stage", EMBEDDING)
        if stage in OLD_MODELS_END or (taken and stage == LOADING):
            # What has ended was meant to; or the worker has just ended, which is taken note of first.
            self._lock.release()
            return False
        if not taken:
            self._worker.stop(grace_s=0.0)
            self._stopped_because = f"Triton was started again meanwhile; {AGAIN}"
        return self._lock.try_take()

    def models_ready(self, triton_pid: int) -> None:
        """Take note that this Triton has all its models, and that their processes are looked after."""
        self._lock.give_back(triton_pid)

    def check(self, server: ModelServer, now: float) -> None:
        """Start what was asked for, and end what has ended.

        Args:
            server: The Triton that is looked after.
            now: Seconds on a clock that only goes forward.
        """
        if self._worker is not None:
            if not self._worker.running:
                self._finish(self._worker, server, now)
            return
        change = requests.read_change(self._state)
        if change.get("state") == REQUESTED:
            self._hooks.report(f"changing the encoder to {change['encoder']}")
            try:
                self._worker = self._hooks.start_worker()
            except ProductMatchError as error:
                self._fail(change, str(error))

    def _finish(self, worker: ChildProcess, server: ModelServer, now: float) -> None:
        """Take note of how the worker ended; it can write no more."""
        self._worker = None
        stop_noting(self._state)
        change = requests.read_change(self._state)
        current = read_generations(self._state).current
        if current is not None and current.encoder == change.get("encoder"):
            # Whatever went wrong afterwards, the catalogue has changed hands.
            change = {**change, "state": DONE}
            self._hooks.announce(current)
        else:
            why = self._stopped_because or change.get("message") or worker.describe_end()
            logger.error("the change of encoder failed: %s", why)
            change = {**change, "state": FAILED, "message": why}
        self._stopped_because = ""
        if not server.starting:
            self._make_whole(change, current, server, now)
        # The last word: until then no other change can be asked for, and from then on all that it tells holds.
        requests.write_change(self._state, change)
        self._hooks.report(_summary(change))

    def _make_whole(self, change: Change, current: Generation | None, server: ModelServer, now: float) -> None:
        server.note_models()
        if change.get("stage") in AMONG_MODELS or not _whole(current, server.models):
            self._hooks.report("the change of encoder did not end well; starting Triton again")
            # Nobody else has the lock: the worker has ended.
            self._lock.try_take()
            server.start_again(now)

    def _fail(self, change: Change, message: str) -> None:
        requests.write_change(self._state, {**change, "state": FAILED, "message": message})


def _whole(current: Generation | None, models: set[str]) -> bool:
    """Say whether every model of the encoder that is served has its process."""
    if current is None or current.directory is None:
        return True
    return {*STANDING, *composing_names(load_encoder(current.directory), current.model_suffix)} <= models


def _summary(change: Change) -> str:
    if change.get("state") == DONE:
        return f"the encoder {change.get('encoder')} is served now, after {change.get('seconds')} s"
    return f"the encoder was not changed: {change.get('message')}"
