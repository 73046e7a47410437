"""Keeps the processes of a running stack up: what is restarted, how often, and when to give up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from product_match.contract.errors import StackError
from product_match.host.processes import ChildProcess, children_of, model_of, process_alive, process_held

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How often a process may die.

    Attributes:
        limit: Deaths within the window that are answered with a restart; one more ends the stack.
        window_s: How long a death counts.
        first_delay_s: Wait before the first restart; it doubles with each further one in the window.
        longest_delay_s: The longest wait.
    """

    limit: int = 5
    window_s: float = 120.0
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0


class DeathRecord:
    """Counts the deaths of one process and says when it may start again."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._deaths: list[float] = []

    def add(self, now: float) -> float | None:
        """Note a death; return the seconds to wait before the restart, or None if it died too often."""
        policy = self._policy
        self._deaths = [death for death in self._deaths if now - death < policy.window_s] + [now]
        if len(self._deaths) > policy.limit:
            return None
        return float(min(policy.first_delay_s * 2 ** (len(self._deaths) - 1), policy.longest_delay_s))

    def describe(self) -> str:
        """Say how often it died."""
        return f"it died {len(self._deaths)} times within {self._policy.window_s:g} s and is not started again"


class RestartedProcess:
    """A process that is started again when it ends: the document store."""

    def __init__(
        self,
        *,
        child: ChildProcess,
        restart: Callable[[], None],
        policy: RestartPolicy,
        report: Callable[[str], None],
    ) -> None:
        self._child = child
        self._restart = restart
        self._deaths = DeathRecord(policy)
        self._report = report
        self._restart_at: float | None = None

    def check(self, now: float) -> None:
        """Look after the process.

        Args:
            now: Seconds on a clock that only goes forward.

        Raises:
            StackError: It died too often.
        """
        if self._child.running:
            return
        if self._restart_at is None:
            delay = self._deaths.add(now)
            if delay is None:
                raise StackError(f"{self._deaths.describe()}: {self._child.describe_end()}")
            self._restart_at = now + delay
            logger.warning("%s", self._child.describe_end())
            self._report(f"{self._child.name} ended and is started again")
        if now >= self._restart_at:
            self._restart_at = None
            self._restart()


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long what shows no sign of life is waited for before it is taken for dead.

    Attributes:
        held_s: A model's process that is held (SIGSTOP): Triton fails its requests and takes it for alive.
        silent_s: Triton, which answers no question about its health.
        stuck_s: A model whose requests wait while none of them ends; longer than any batch takes.
        probe_s: Between two questions.
    """

    held_s: float = 5.0
    silent_s: float = 15.0
    stuck_s: float = 120.0
    probe_s: float = 2.0


Work = Mapping[str, tuple[int, int]]
"""By model: how many requests wait, and how many have ended since its start."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What Triton shows of its life.

    Attributes:
        is_ready: Says whether it answers, with all its models.
        is_alive: Says whether it answers at all.
        work: Tells what its models do; nothing where it does not answer.
    """

    is_ready: Callable[[], bool]
    is_alive: Callable[[], bool] = lambda: True
    work: Callable[[], Work] = dict


_PATIENCE: Final = Patience()


class ModelServer:
    """Triton and the processes of its Python models.

    Triton's own end is final. The death of a model's process is not seen by this Triton: it stays ready, and every
    request to the model fails until Triton itself is started again, which is done here. So is what is done about a
    process that is held, a model that is stuck, and a Triton that does not answer.
    """

    def __init__(
        self,
        *,
        child: ChildProcess,
        signs: Signs,
        restart: Callable[[], None],
        policy: RestartPolicy,
        start_timeout_s: float,
        report: Callable[[str], None],
        claim_models: Callable[[], bool] = lambda: True,
        models_ready: Callable[[int], None] = lambda _: None,
        patience: Patience = _PATIENCE,
    ) -> None:
        """Look after `child`, whose models may have another owner for a while.

        Args:
            child: Triton.
            signs: What it shows of its life.
            restart: Ends it and starts it again.
            policy: How often it may have to be started again.
            start_timeout_s: Longest wait until it is ready again.
            report: Takes a line for whoever watches.
            claim_models: Asked, where something is dead, whether Triton may be started again now.
            models_ready: Told Triton's process once it has all models.
            patience: How long what shows no sign of life is waited for.
        """
        self._claim_models, self._models_ready = claim_models, models_ready
        self._child, self._signs, self._patience = child, signs, patience
        self._restart = restart
        self._deaths = DeathRecord(policy)
        self._start_timeout_s = start_timeout_s
        self._report = report
        self._models: dict[int, str] = {}
        self._starting_since: float | None = None
        self._probed = float("-inf")
        self._since: dict[str, float] = {}
        self._ended: dict[str, int] = {}

    def note_models(self) -> None:
        """Remember the models' processes; call it while nobody starts or ends one."""
        children = children_of(self._child.pid)
        self._models = {pid: model_of(command) or command[0] for pid, command in children.items()}

    @property
    def models(self) -> set[str]:
        """Names of the models whose processes are looked after."""
        return set(self._models.values())

    @property
    def starting(self) -> bool:
        """True from a restart until Triton is ready again."""
        return self._starting_since is not None

    def models_are_ready(self) -> None:
        """Take note that Triton is ready: look after its models' processes, and let others start and end models."""
        self._starting_since = None
        self._since.clear()
        self.note_models()
        self._models_ready(self._child.pid)

    def start_again(self, now: float) -> None:
        """Start Triton again, as after the death of a model's process."""
        self._starting_since = now
        self._restart()

    def check(self, now: float) -> None:
        """Look after Triton and its models.

        Args:
            now: Seconds on a clock that only goes forward.

        Raises:
            StackError: Triton ended, had to be started again too often, or is not ready again in time.
        """
        if not self._child.running:
            raise StackError(self._child.describe_end())
        if self._starting_since is not None:
            self._check_restart(now, self._starting_since)
            return
        trouble = self._trouble(now)
        if trouble and self._claim_models():
            if self._deaths.add(now) is None:
                raise StackError(f"{self._deaths.describe()}: {trouble}; {self._child.describe_log()}")
            logger.warning("%s; %s", trouble, self._child.describe_log())
            self._report(f"{trouble}; starting Triton again")
            self.start_again(now)

    def _trouble(self, now: float) -> str:
        """Return what is dead, or must be taken for it; nothing where all lives."""
        dead = sorted(name for pid, name in self._models.items() if not process_alive(pid))
        if dead:
            return f"the process of the model {', '.join(dead)} died"
        if now - self._probed < self._patience.probe_s:
            return ""
        self._probed = now
        held = sorted(
            name for pid, name in self._models.items() if self._lasts(f"held {pid}", process_held(pid), now)
        )
        if held:
            return f"the process of the model {', '.join(held)} has been held for {self._patience.held_s:g} s"
        if self._lasts("silent", not self._signs.is_alive(), now):
            return f"Triton has not answered for {self._patience.silent_s:g} s"
        stuck = sorted(name for name, work in self._signs.work().items() if self._is_stuck(name, work, now))
        if stuck:
            return f"requests to the model {', '.join(stuck)} wait, and none ended for {self._patience.stuck_s:g} s"
        return ""

    def _is_stuck(self, model: str, work: tuple[int, int], now: float) -> bool:
        waiting, ended = work
        same = self._ended.get(model) == ended
        self._ended[model] = ended
        return self._lasts(f"stuck {model}", waiting > 0 and same, now)

    def _lasts(self, what: str, is_so: bool, now: float) -> bool:
        """Say whether something has been so for longer than is waited for; `what` begins with its kind."""
        if not is_so:
            self._since.pop(what, None)
            return False
        limits = {"held": self._patience.held_s, "silent": self._patience.silent_s, "stuck": self._patience.stuck_s}
        return now - self._since.setdefault(what, now) >= limits[what.split()[0]]

    def _check_restart(self, now: float, since: float) -> None:
        if self._signs.is_ready():
            self.models_are_ready()
            self._report(f"Triton is ready again after {now - since:.1f} s")
        elif now - since > self._start_timeout_s:
            raise StackError(
                f"Triton was not ready again after {self._start_timeout_s:g} s; {self._child.describe_log()}"
            )
