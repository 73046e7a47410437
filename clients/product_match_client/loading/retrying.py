"""How long to wait before asking again, and when to stop asking."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from product_match.contract.errors import UnavailableError

T = TypeVar("T")

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
FIRST_ANSWER_S: Final = 15.0
"""How long to try a server that has not answered yet."""


def backoff_s(attempt: int, chance: float) -> float:
    """Return the wait before attempt `attempt + 1`: twice as long each time, shortened by up to half at random.

    Args:
        attempt: Attempts so far, from 1.
        chance: A random number from 0 to 1: clients that failed together must not come back together.
    """
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 16)) * (1 - chance / 2)


class Patience:
    """Knows how long a server has been away: since the last answer, whatever was asked.

    One that has never answered is given up much sooner: it may not be there, or speak another protocol.
    """

    def __init__(
        self,
        give_up_after_s: float,
        first_answer_s: float = FIRST_ANSWER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_up_after_s, self._first_answer_s = give_up_after_s, min(first_answer_s, give_up_after_s)
        self._clock = clock
        self._answered = clock()
        self._ever = False

    def now(self) -> float:
        """Return the time, in seconds."""
        return self._clock()

    def answered(self) -> None:
        """Note that the server answered."""
        self._answered = self._clock()
        self._ever = True

    def exhausted(self) -> bool:
        """Say whether the server has been away for longer than anyone should wait."""
        return self._clock() - self._answered > (self._give_up_after_s if self._ever else self._first_answer_s)

    def given_up(self, error: Exception) -> UnavailableError:
        """Return what to tell once it is exhausted; `error` is what the last attempt met."""
        if self._ever:
            return UnavailableError(
                f"gave up after {self._give_up_after_s:g} s without an answer ({error}); "
                "run the same command again to go on where it stopped"
            )
        return UnavailableError(
            f"no server has answered within {self._first_answer_s:g} s ({error}); see that it is up, and that the "
            "address has the port of its protocol: host:8000 is HTTP, grpc://host:8001 is gRPC"
        )


def until_answered(ask: Callable[[], T], give_up_after_s: float, waiting: Callable[[str], None]) -> T:
    """Ask a server again and again while it is away or busy, and return its answer.

    Args:
        ask: Asks once; asking again has to be safe.
        give_up_after_s: Longest time without an answer.
        waiting: Hears, once, why it takes longer.

    Raises:
        UnavailableError: It has not answered for that long.
    """
    patience = Patience(give_up_after_s)
    attempt = 0
    while True:
        try:
            return ask()
        except UnavailableError as error:
            if patience.exhausted():
                raise
            attempt += 1
            if attempt == 1:
                waiting(str(error))
            time.sleep(backoff_s(attempt, random.random()))
