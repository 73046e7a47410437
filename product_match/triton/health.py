"""What Triton shows of its life over HTTP: whether it answers, whether it is ready, and what its models do."""

from __future__ import annotations

import re
from http.client import HTTPConnection, HTTPException
from typing import Final

from product_match.host.supervision import Signs, Work

TIMEOUT_S: Final = 1.0
_FIGURE: Final = re.compile(
    r'^nv_inference_(?P<what>pending_request_count|request_success|request_failure)\{model="(?P<model>[^"]*)"'
    r"[^}]*\} (?P<count>\d+)",
    re.MULTILINE,
)
_SERVER_ANSWERS: Final = 500
"""Below this code Triton's HTTP service is at work, whatever it thinks of the question."""


def ready(address: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Say whether Triton answers at `address`, host:port of its HTTP, and every model is ready."""
    return _get(address, "/v2/health/ready", timeout_s)[0] == 200


def alive(address: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Say whether Triton answers at all."""
    return 0 < _get(address, "/v2/health/live", timeout_s)[0] < _SERVER_ANSWERS


def work(metrics_address: str, timeout_s: float = TIMEOUT_S) -> Work:
    """Return for each model how many requests wait and how many have ended; nothing where nothing answers."""
    return read_work(_get(metrics_address, "/metrics", timeout_s)[1])


def read_work(metrics: str) -> Work:
    """Read what `work` returns from the text of Triton's metrics."""
    found: dict[str, list[int]] = {}
    for figure in _FIGURE.finditer(metrics):
        counts = found.setdefault(figure["model"], [0, 0])
        counts[figure["what"] != "pending_request_count"] += int(figure["count"])
    return {model: (waiting, ended) for model, (waiting, ended) in found.items()}


def signs(http_address: str, metrics_address: str) -> Signs:
    """Return what the supervision looks at."""
    return Signs(
        is_ready=lambda: ready(http_address),
        is_alive=lambda: alive(http_address),
        work=lambda: work(metrics_address),
    )


def _get(address: str, path: str, timeout_s: float) -> tuple[int, str]:
    connection = HTTPConnection(address, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()
