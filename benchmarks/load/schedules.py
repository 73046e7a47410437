"""When requests start in an open loop."""

from __future__ import annotations

import enum
import random
from itertools import accumulate
from typing import Final

from product_match.contract.errors import InvalidRequestError


def poisson_schedule(rate: float, seconds: float, seed: int, most: int) -> list[float]:
    """Return the times at which requests start, as independent clients would send them.

    Args:
        rate: Requests a second on average.
        seconds: Length of the run.
        seed: The same seed gives the same times.
        most: At most so many requests.

    Returns:
        Seconds from the start, ascending, below `seconds`.

    Raises:
        InvalidRequestError: The rate or the length is not above 0.
    """
    if not rate > 0 or not seconds > 0:
        raise InvalidRequestError(
            f"open loop: rate and seconds must be above 0, got a rate of {rate} for {seconds} seconds"
        )
    chance = random.Random(seed)
    times: list[float] = []
    for moment in accumulate(chance.expovariate(rate) for _ in range(most)):
        if moment >= seconds:
            break
        times.append(moment)
    return times


class Profile(enum.Enum):
    """How an open loop's rate goes over the time of a run."""

    STEADY = "steady"
    BURST = "burst"
    RAMP = "ramp"
    SOAK = "soak"

    @property
    def meaning(self) -> str:
        """One line for the help."""
        return _MEANINGS[self]


BURST_EVERY_S: Final = 10.0
BURST_S: Final = 2.0
BURST_FACTOR: Final = 5.0
_MEANINGS: Final = {
    Profile.STEADY: "the rate as it is",
    Profile.BURST: f"{BURST_FACTOR:g} times the rate for the last {BURST_S:g} of every {BURST_EVERY_S:g} seconds",
    Profile.RAMP: "from nothing to the rate, evenly: where it breaks",
    Profile.SOAK: "the rate as it is, for hours: what grows",
}


def rate_at(profile: Profile, rate: float, moment: float, seconds: float) -> float:
    """Return the requests a second that a profile has at a moment of a run of `seconds`."""
    if profile is Profile.RAMP:
        return rate * moment / seconds
    if profile is Profile.BURST and moment % BURST_EVERY_S >= BURST_EVERY_S - BURST_S:
        return rate * BURST_FACTOR
    return rate


def profile_schedule(profile: Profile, rate: float, seconds: float, seed: int, most: int) -> list[float]:
    """Return the times at which requests start, as `poisson_schedule` does, at the rate of a profile.

    Those of the highest rate are thinned: each stays with the share that the rate of its moment has of that.

    Raises:
        InvalidRequestError: The rate or the length is not above 0.
    """
    highest = rate * (BURST_FACTOR if profile is Profile.BURST else 1.0)
    if profile in (Profile.STEADY, Profile.SOAK):
        return poisson_schedule(rate, seconds, seed, most)
    chance = random.Random(seed + 1)
    every = poisson_schedule(highest, seconds, seed, max(most, int(2 * highest * seconds)))
    kept = [moment for moment in every if chance.random() * highest < rate_at(profile, rate, moment, seconds)]
    return kept[:most]
