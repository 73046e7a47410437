"""Drops what nobody waits for any longer.

A client's own time limit ends its wait, not the work. So its deadline travels with the request, as Triton hands the
parameters of a request to every step of an ensemble, and each model looks at it before it begins; not the encoders,
as Triton's response cache would keep their refusal for others. Triton's own `timeout` would need a queue policy,
which makes requests wait for nothing (see `admission`), and starts anew at each step.
"""

from __future__ import annotations

import time
from typing import Final

from product_match.contract.errors import ExpiredError
from product_match.telemetry.meters import EXPIRED_REQUESTS

IMPLAUSIBLE_S: Final = 60.0
"""No request waits for longer than this in a server that takes `MAX_WAITING_REQUESTS`: such a deadline is that of a
clock that is wrong, and is not heeded."""


def check_deadline(deadline: float | None) -> None:
    """Let a request pass whose deadline, in seconds since 1970, has not; None is none.

    Raises:
        ExpiredError: It has passed.
    """
    if deadline is None:
        return
    late_s = time.time() - deadline
    if 0 < late_s <= IMPLAUSIBLE_S:
        EXPIRED_REQUESTS.inc()
        raise ExpiredError(
            f"deadline: it passed {late_s:.3f} s ago by the server's clock, so the request was not begun; allow more "
            "time, or send fewer at once; if the answer is still awaited, the client's clock is behind the server's"
        )
