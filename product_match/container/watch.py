"""Looks after the container's Triton: what is wrong stands on `/ready`, and what only a new start mends ends it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from product_match.container.stores import Question, StoreWatch
from product_match.contract.errors import ProductMatchError, StackError, UnavailableError
from product_match.host.health import HealthServer
from product_match.host.processes import ChildProcess
from product_match.host.signals import StopSignals
from product_match.host.supervision import ModelServer, Patience, RestartPolicy, Signs

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
_REPORT_S: Final = 1.0
SAY_S: Final = 10.0
"""How often the log says what is waited for."""
STOP_WAIT_S: Final = 35.0
"""Triton itself gives requests in flight 30 s."""
NO_RESTARTS: Final = RestartPolicy(limit=0)
"""Whoever started the container starts it again: with a pause that grows, and where everybody sees it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long what is waited for.

    Attributes:
        stores_s: Stores, before Triton is started.
        start_s: Triton with all its models.
    """

    stores_s: float
    start_s: float


class Watch:
    """Waits for the stores, starts Triton, and looks after it until a stop signal comes."""

    def __init__(
        self,
        *,
        child: ChildProcess,
        signs: Signs,
        stores: StoreWatch,
        index_is_open: Question,
        health: HealthServer,
        signals: StopSignals,
        limits: Limits,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look after `child`, and report to `health` why it is not ready."""
        self._child, self._signs, self._stores, self._index_is_open = child, signs, stores, index_is_open
        self._health, self._signals, self._limits, self._clock = health, signals, limits, clock
        self._opened = False
        self._about: list[str] | None = None
        self._server = ModelServer(
            child=child,
            signs=signs,
            restart=lambda: None,
            policy=NO_RESTARTS,
            start_timeout_s=limits.start_s,
            report=logger.warning,
            patience=patience,
        )

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Return when a stop signal came and Triton has ended; `started` is called once Triton runs.

        Raises:
            UnavailableError: A store did not come in time.
            StackError: Triton ended, does not answer or is not ready in time; or a model is dead, held or stuck.
        """
        with self._signals.deferred(), ExitStack() as ending:
            ending.callback(self._end)
            if not self._wait("the stores", self._stores.missing, self._limits.stores_s, UnavailableError):
                return
            self._child.start()
            started()
            if not self._wait("Triton", self._unready, self._limits.start_s, StackError):
                return
            self._server.models_are_ready()
            self._look_after()

    def _wait(
        self, what: str, missing: Callable[[], list[str]], limit_s: float, error: type[ProductMatchError]
    ) -> bool:
        """Wait until nothing is missing; False where a stop signal came first."""
        since = said = self._clock()
        while True:
            reasons = missing()
            if not reasons:
                return True
            now = self._clock()
            self._health.report([f"waiting for {what}: {reason}" for reason in reasons])
            if now - since > limit_s:
                raise error(f"{what} did not come within {limit_s:g} s: {'; '.join(reasons)}")
            if now - said >= SAY_S:
                said = now
                logger.info("waiting for %s for %.0f s: %s", what, now - since, "; ".join(reasons))
            if self._signals.wait(TICK_S):
                return False

    def _unready(self) -> list[str]:
        if not self._child.running:
            raise StackError(f"Triton did not start: {self._child.describe_end()}")
        return [] if self._signs.is_ready() else ["not all models are ready"]

    def _look_after(self) -> None:
        told = float("-inf")
        while not self._signals.wait(TICK_S):
            now = self._clock()
            self._server.check(now)
            if now - told >= _REPORT_S:
                told = now
                self._report(self._reasons())

    def _reasons(self) -> list[str]:
        reasons = self._stores.away()
        if not self._signs.is_ready():
            reasons.append("Triton: not all models are ready")
        if not reasons and not self._opened:
            reasons = self._index_trouble()
            self._opened = not reasons
        return reasons

    def _report(self, reasons: list[str]) -> None:
        self._health.report(reasons)
        # The seconds in a reason's words change, what it is about does not.
        about = sorted(reason.partition(":")[0].partition(" is away")[0] for reason in reasons)
        if about != self._about:
            logger.warning("%s", f"not ready: {'; '.join(reasons)}" if reasons else "ready")
        self._about = about

    def _index_trouble(self) -> list[str]:
        try:
            self._index_is_open()
        except ProductMatchError as error:
            return [f"the index is not opened: {error}"]
        return []

    def _end(self) -> None:
        self._health.report(["stopping"])
        self._child.stop(STOP_WAIT_S)
