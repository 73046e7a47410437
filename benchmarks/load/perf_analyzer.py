"""NVIDIA's perf_analyzer, which tritonclient 2.51 carries, on the same kind of inputs: a second opinion."""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.load.messages import Columns
from product_match.contract.errors import ConfigError, UnavailableError
from product_match_client.endpoints import Endpoint

CUDA_RUNTIME: Final = "libcudart.so.12"
_DETAIL_CHARACTERS: Final = 600


@dataclass(frozen=True, kw_only=True)
class AnalyzerResult:
    """What perf_analyzer measured, in the units of this package.

    Attributes:
        concurrency: Requests in flight.
        throughput: Answers a second: `concurrency` over the mean latency (Little's law).
        reported_throughput: What perf_analyzer says itself. With a number of requests to send it looks once a second
            whether all are answered, so that it divides by up to a second too much.
        quantiles: Latency in milliseconds.
    """

    concurrency: int
    throughput: float
    reported_throughput: float
    quantiles: dict[str, float]


def write_inputs(path: Path, requests: Sequence[Columns]) -> None:
    """Write an input file: photos in base64 that includes the length before the bytes, words as they are.

    Args:
        path: The file.
        requests: The input tensors of each request, one row each.
    """
    data = [
        {name: {"content": {"b64": _length_and_bytes(rows[0])}, "shape": [1]} for name, rows in tensors.items()}
        for tensors in requests
    ]
    path.write_text(json.dumps({"data": data}), encoding="utf-8")


def _length_and_bytes(row: bytes) -> str:
    return base64.b64encode(struct.pack("<I", len(row)) + row).decode()


def find_binary() -> Path:
    """Return perf_analyzer of this environment.

    Raises:
        ConfigError: There is none.
    """
    found = shutil.which(
        "perf_analyzer", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    )
    if found is None:
        raise ConfigError(
            "perf_analyzer is not installed beside this Python; it comes with `pip install tritonclient==2.51.0`"
        )
    return Path(found)


def find_cuda_runtime() -> Path | None:
    """Return the CUDA runtime library that the wheel of the embedded Triton brings, or None without that wheel."""
    found = importlib.util.find_spec("pytriton")
    for location in (found.submodule_search_locations or ()) if found else ():
        libraries = sorted(Path(location).parent.glob("nvidia_pytriton.libs/libcudart-*.so*"))
        if libraries:
            return libraries[0]
    return None


def analyse(
    model: str, endpoint: Endpoint, requests: Sequence[Columns], *, concurrency: int, timeout_s: float
) -> AnalyzerResult:
    """Run perf_analyzer once over all `requests`, each of which it sends once.

    Raises:
        ConfigError: It is not installed, or lacks a library.
        UnavailableError: It failed or did not end in time.
    """
    binary = find_binary()
    with tempfile.TemporaryDirectory(prefix="product-match-bench-") as name:
        scratch = Path(name)
        write_inputs(scratch / "inputs.json", requests)
        runtime = find_cuda_runtime()
        if runtime is not None:
            (scratch / CUDA_RUNTIME).symlink_to(runtime)
        libraries = os.pathsep.join(entry for entry in (name, os.environ.get("LD_LIBRARY_PATH", "")) if entry)
        command = [
            str(binary),
            *("-m", model, "-u", endpoint.address, "-i", endpoint.protocol.name.lower()),
            *("--input-data", str(scratch / "inputs.json")),
            *("--concurrency-range", str(concurrency), "--request-count", str(len(requests))),
            *("-f", str(scratch / "report.csv"), "--verbose-csv"),
            # Asynchronous, as the bench sends.
            "--async",
        ]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "LD_LIBRARY_PATH": libraries},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"perf_analyzer did not end within {timeout_s:g} s; send fewer requests with --requests"
            ) from error
        if done.returncode:
            raise _failure(done)
        return read_report((scratch / "report.csv").read_text(encoding="utf-8"))


def _failure(done: subprocess.CompletedProcess[str]) -> Exception:
    said = " ".join((done.stderr or done.stdout).split())[-_DETAIL_CHARACTERS:]
    if "error while loading shared libraries" in said:
        return ConfigError(
            f"perf_analyzer lacks a library ({said}); on Debian `apt-get install libb64-0d`, and install "
            '`pip install "product-match[embedded]"`, which brings the CUDA runtime library'
        )
    return UnavailableError(f"perf_analyzer ended with {done.returncode}: {said}; check that the server runs")


def read_report(text: str) -> AnalyzerResult:
    """Read the verbose CSV that perf_analyzer writes; its latencies are in microseconds.

    Raises:
        ConfigError: It has no row, or other columns.
    """
    try:
        row: dict[str, Any] = next(csv.DictReader(text.splitlines()))
        quantiles = {name: float(row[f"{name} latency"]) / 1000 for name in ("p50", "p95", "p99")}
        concurrency = int(row["Concurrency"])
        return AnalyzerResult(
            concurrency=concurrency,
            throughput=round(concurrency / float(row["Avg latency"]) * 1e6, 2),
            reported_throughput=float(row["Inferences/Second"]),
            quantiles=quantiles,
        )
    except (StopIteration, KeyError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"perf_analyzer's report cannot be read ({error!r}); use the one of tritonclient 2.51.0"
        ) from error
