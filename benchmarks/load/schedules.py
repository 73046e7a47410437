"""When requests start in an open loop."""

from __future__ import annotations

import random
from itertools import accumulate

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
