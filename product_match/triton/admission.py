"""Refuses requests when too many wait, in place of Triton's own queue limits.

A queue policy of Triton (a time limit or a largest size, 24.10 and 26.06 alike) turns off that the next batch is
made while the one before runs. Then the batcher looks for a free instance when a batch ends, at times a moment before
the instance counts as free, and sleeps for half a second unless another request wakes it (its
`WaitForPayloadSlotAvailable`). Without a policy, requests beyond what the machine can do would wait for longer and
longer. So the first model of a pipeline asks Triton's metrics how many wait, and refuses what is too much.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Final

from product_match.contract.errors import UnavailableError
from product_match.contract.limits import MAX_WAITING_REQUESTS

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.02
"""Least time between two looks at the metrics, which cost Triton about a millisecond."""

TIMEOUT_S: Final = 1.0
_WAITING: Final = re.compile(
    rb'^nv_inference_pending_request_count\{model="[^"]*",version="-?\d+"\} (\d+)', re.MULTILINE
)


class WaitingRequests:
    """Reads how many requests wait in all of Triton's models."""

    def __init__(self, metrics_address: str) -> None:
        """Ask `metrics_address`, the `host:port` of Triton's metrics; nothing is sent yet."""
        self._connection = HTTPConnection(metrics_address, timeout=TIMEOUT_S)

    def __call__(self) -> int:
        """Return the number.

        Raises:
            OSError: Nothing answers there.
            HTTPException: What answers is not HTTP.
        """
        try:
            self._connection.request("GET", "/metrics")
            return sum(int(count) for count in _WAITING.findall(self._connection.getresponse().read()))
        except (OSError, HTTPException):
            self._connection.close()
            raise


class Admission:
    """Lets requests in until too many wait."""

    def __init__(
        self,
        waiting: Callable[[], int],
        limit: int = MAX_WAITING_REQUESTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refuse once more than `limit` wait; `waiting` tells how many do, and is asked only near that."""
        self._waiting, self._limit, self._clock = waiting, limit, clock
        self._at_most = 0
        self._looked_at = float("-inf")
        self._works = True

    def admit(self, requests: int) -> None:
        """Let in `requests` more.

        Raises:
            UnavailableError: Too many wait.
        """
        # All that came since the last look may still wait, and no more than that: below the limit nothing is asked.
        if self._at_most + requests > self._limit:
            self._look()
        if self._at_most > self._limit:
            raise UnavailableError(
                f"the server is busy: {self._at_most:,} requests wait, and it takes {self._limit:,}; "
                "send this one again in a moment"
            )
        self._at_most += requests

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_at < PAUSE_S:
            return
        self._looked_at = now
        try:
            self._at_most = self._waiting()
            self._works = True
        except (OSError, HTTPException) as error:
            # To serve without the limit is better than not to serve.
            self._at_most = 0
            if self._works:
                logger.warning("Triton's metrics cannot be read (%s): no request is refused meanwhile", error)
            self._works = False


def open_admission(metrics_address: str) -> Admission | None:
    """Return the admission that the metrics at `metrics_address` tell about; None where there is no address."""
    return Admission(WaitingRequests(metrics_address)) if metrics_address else None
