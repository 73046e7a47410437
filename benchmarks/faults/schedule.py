"""When which process is killed: the same seed gives the same moments."""

from __future__ import annotations

import enum
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from product_match.contract.errors import ConfigError

LONGEST_DELAY_S: Final = 0.3
"""After the count is reached, a kill waits up to this long, so that it hits any step of a request."""

HOLD_S: Final = 2.0
"""How long a process is held: Triton takes one for dead that shows no sign of life for a second."""


class FaultKind(enum.Enum):
    """What is killed, or held; the value is its name on the command line."""

    CLIENT = "client"
    TRITON = "triton"
    DOCUMENTS = "documents"
    OWNER = "owner"
    SERVE = "serve"
    TERMINATE = "terminate"
    HOLD = "hold"

    @property
    def title(self) -> str:
        """What the table says."""
        return _TITLES[self]

    @property
    def signal(self) -> signal.Signals:
        """The signal that is sent."""
        return {FaultKind.TERMINATE: signal.SIGTERM, FaultKind.HOLD: signal.SIGSTOP}.get(self, signal.SIGKILL)

    @property
    def remedy(self) -> str:
        """What a person does about it."""
        return _REMEDIES[self]

    @property
    def ends_serve(self) -> bool:
        """True if `product-match serve` ends with it and has to be started again."""
        return self in (FaultKind.TRITON, FaultKind.SERVE, FaultKind.TERMINATE)


_TITLES: Final = {
    FaultKind.CLIENT: "the loading client",
    FaultKind.TRITON: "Triton",
    FaultKind.DOCUMENTS: "the document store",
    FaultKind.OWNER: "the owner of the vector index (`retrieval`)",
    FaultKind.SERVE: "the parent, `product-match serve`",
    FaultKind.TERMINATE: "`product-match serve`, asked to stop",
    FaultKind.HOLD: f"a model's process, each in turn, only held for {HOLD_S:g} s",
}
_REMEDIES: Final = {
    FaultKind.CLIENT: "`index` again",
    FaultKind.TRITON: "`serve` again",
    FaultKind.DOCUMENTS: "nothing",
    FaultKind.OWNER: "nothing",
    FaultKind.SERVE: "`serve` again",
    FaultKind.TERMINATE: "`serve` again",
    FaultKind.HOLD: "nothing",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kill.

    Attributes:
        kind: What is killed.
        run: Number of the run, from 0.
        after_products: It happens once so many products are in the document store,
        delay_s: and this much later.
    """

    kind: FaultKind
    run: int
    after_products: int
    delay_s: float

    def __post_init__(self) -> None:
        """Check the moment."""
        if self.after_products < 0 or self.delay_s < 0:
            raise ConfigError(
                f"a fault happens after 0 or more products and seconds, got {self.after_products} products "
                f"and {self.delay_s} s; give both as positive numbers"
            )


def schedule(kinds: Sequence[FaultKind], *, runs: int, products: int, seed: int) -> list[Fault]:
    """Return the kills of each kind, spread over the whole load.

    The load is cut into `runs` equal parts, and each part gets one kill at a random place within it; the order of the
    parts is random, too. A kind's moments depend on nothing but the seed, so that one row can be run again by itself.

    Args:
        kinds: What is killed.
        runs: Kills of each kind.
        products: Size of the load.
        seed: Decides the moments.

    Raises:
        ConfigError: No runs, or no products.
    """
    if runs < 1 or products < 1:
        raise ConfigError(f"a schedule needs at least one run and one product, got {runs} and {products}")
    faults: list[Fault] = []
    for kind in kinds:
        rng = random.Random(f"{seed}:{kind.value}")
        parts = rng.sample(range(runs), runs)
        for run, part in enumerate(parts):
            after = int((part + rng.random()) / runs * products)
            delay_s = round(rng.random() * LONGEST_DELAY_S, 3)
            faults.append(Fault(kind=kind, run=run, after_products=after, delay_s=delay_s))
    return faults
