"""Where a request's time goes, from Triton's own statistics."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from product_match.contract.errors import UnavailableError
from product_match_client.endpoints import Endpoint

_TIMES: Final = ("queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss", "success")

Statistics = Mapping[str, Mapping[str, Any]]


def read_statistics(endpoint: Endpoint, timeout_s: float = 5.0) -> Statistics:
    """Return Triton's statistics by model.

    Raises:
        UnavailableError: The server does not answer.
    """
    try:
        with urllib.request.urlopen(f"{endpoint.url}/v2/models/stats", timeout=timeout_s) as answer:
            found = json.load(answer)["model_stats"]
    except (OSError, ValueError, KeyError, urllib.error.URLError) as error:
        raise UnavailableError(
            f"{endpoint.url} gives no statistics ({error}); give the address of Triton's HTTP"
        ) from error
    return {str(model["name"]): model for model in found}


def stage_times(before: Statistics, after: Statistics) -> dict[str, dict[str, float]]:
    """Return what happened at each model between two readings; models without a request are left out.

    Returns:
        By model: requests, executions, requests in an execution, hits of the response cache, and the mean
        milliseconds that a request waited and that it was computed (input, infer and output taken together).
    """
    stages = {}
    for name, model in after.items():
        first = before.get(name, {})
        counts, nanoseconds = {}, {}
        for kind in _TIMES:
            counts[kind], nanoseconds[kind] = (
                _value(model, kind, what) - _value(first, kind, what) for what in ("count", "ns")
            )
        requests = counts["success"]
        if not requests:
            continue
        executions = int(model.get("execution_count", 0)) - int(first.get("execution_count", 0))
        inferences = int(model.get("inference_count", 0)) - int(first.get("inference_count", 0))
        computed_ns = sum(nanoseconds[kind] for kind in ("compute_input", "compute_infer", "compute_output"))
        stages[name] = {
            "requests": requests,
            "executions": executions,
            "rows_per_execution": round(inferences / executions, 2) if executions else 0.0,
            "cache_hits": counts["cache_hit"],
            "queue_ms": round(nanoseconds["queue"] / max(counts["queue"], 1) / 1e6, 3),
            "compute_ms": round(computed_ns / max(counts["compute_infer"], 1) / 1e6, 3),
            "total_ms": round(nanoseconds["success"] / requests / 1e6, 3),
        }
    return stages


def _value(model: Mapping[str, Any], kind: str, what: str) -> int:
    return int(model.get("inference_stats", {}).get(kind, {}).get(what, 0))
