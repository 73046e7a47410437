"""What a build found: the content of build.json and the table on the console."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import BUILD_FILE
from product_match.contract.errors import ConfigError

PACKAGES: Final = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure and the limit that it is held to.

    Attributes:
        name: What was checked.
        samples: How many samples the figure is over.
        value: The worst sample's figure.
        limit: What it may be.
        passed: Whether it is.
        required: False for figures that are recorded and not held to a limit.
    """

    name: str
    samples: int
    value: float
    limit: str
    passed: bool
    required: bool = True


@dataclass
class BuildReport:
    """Collects checks, timings and files while a build runs."""

    checks: list[Check] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _section: str = ""

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record how long a stage took."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings_s[stage] = round(time.perf_counter() - started, 3)

    def at_least(self, name: str, value: float, limit: float, samples: int) -> Check:
        """Record a figure that must reach a limit."""
        return self._add(name, value, f">= {limit:g}", value >= limit, samples)

    def at_most(self, name: str, value: float, limit: float, samples: int) -> Check:
        """Record a figure that must not pass a limit."""
        return self._add(name, value, f"<= {limit:g}", value <= limit, samples)

    def section(self, name: str) -> None:
        """Put `name` before the checks that follow, as the same checks are made of two precisions."""
        self._section = f"{name}: "

    def note_figure(self, name: str, value: float, samples: int) -> None:
        """Record a figure that no limit applies to."""
        self.checks.append(
            Check(
                name=self._section + name, samples=samples, value=float(value), limit="-", passed=True, required=False
            )
        )

    def _add(self, name: str, value: float, limit: str, passed: bool, samples: int) -> Check:
        check = Check(
            name=self._section + name, samples=samples, value=float(value), limit=limit, passed=bool(passed)
        )
        self.checks.append(check)
        return check

    def to_json(self, directory: Path) -> str:
        """Return the text of build.json for the files in `directory`."""
        content = {
            **self.facts,
            "checks": [dataclasses.asdict(check) for check in self.checks],
            "notes": self.notes,
            "timings_s": self.timings_s,
            "files": files_of(directory),
            "versions": versions(),
        }
        return json.dumps(content, indent=2) + "\n"


def table(checks: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """Return checks and notes as lines for people."""
    rows = [("check", "samples", "value", "limit", "")]
    for check in checks:
        passed = ("ok" if check["passed"] else "FAILED") if check["required"] else ""
        rows.append((check["name"], f"{check['samples']:,}", f"{check['value']:.6g}", check["limit"], passed))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    sides = "<>><<"
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def read_report(directory: Path) -> dict[str, Any]:
    """Read build.json of an encoder directory.

    Raises:
        ConfigError: It is missing or damaged.
    """
    path = directory / BUILD_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); build the encoder directory again with `ensemble-builder build`"
        ) from error
    return content


def files_of(directory: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file in `directory`, but for the report that this goes into."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != BUILD_FILE
    }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a build depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
