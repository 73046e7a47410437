"""The distributions as wheels, installed into an environment that knows nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DISTRIBUTIONS = (PROJECT, PROJECT / "distributions" / "product-match-sample")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheels in it."""

    binaries: Path
    wheels: list[Path]

    def run(self, *command: object, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in a folder."""
        program, *arguments = map(str, command)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Both wheels, built and installed; what they depend on comes from the environment of the tests.

    `.ci/wheels` does the same with everything from the package index.
    """
    place = tmp_path_factory.mktemp("wheels")
    for distribution in DISTRIBUTIONS:
        build = ("build", "--no-isolation", "--outdir", place / "dist", distribution)
        subprocess.run([sys.executable, "-m", *map(str, build)], check=True, capture_output=True)
    wheels = sorted((place / "dist").glob("*.whl"))
    venv.create(place / "venv", symlinks=True)
    python = place / "venv" / "bin" / "python"
    install = ("--python", python, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", *wheels)
    subprocess.run([sys.executable, "-m", "pip", *map(str, install)], check=True)
    # A line with a path makes what lies there importable, and leaves the links of editable installations there alone.
    packages = place / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix) / "others.pth"
    packages.write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python.parent, wheels)
