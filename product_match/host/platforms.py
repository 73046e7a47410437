"""What the local stack needs of the machine and of the Python that runs it, checked before anything starts."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import PlatformError

SUPPORTED: Final = "Linux on x86-64 with glibc 2.35 or later and Python 3.10, 3.11 or 3.12"
PYTHON_VERSIONS: Final = ((3, 10), (3, 11), (3, 12))
MINIMUM_GLIBC: Final = (2, 35)
SHARED_MEMORY: Final = Path("/dev/shm")
MIB: Final = 1024 * 1024
_ALTERNATIVE: Final = "use such a machine, or the production stack (`docker compose up`)"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that decide whether the local stack can run."""

    system: str
    architecture: str
    libc: str
    libc_version: str
    python: tuple[int, int]

    @classmethod
    def this(cls) -> Machine:
        """Return the facts of this machine."""
        libc, libc_version = platform.libc_ver()
        return cls(
            system=platform.system(),
            architecture=platform.machine(),
            libc=libc,
            libc_version=libc_version,
            python=(sys.version_info[0], sys.version_info[1]),
        )


def check_machine(machine: Machine) -> None:
    """Refuse a machine that the Triton binary cannot run on.

    Raises:
        PlatformError: The system, architecture, C library or Python is not supported.
    """
    if machine.system != "Linux" or machine.architecture not in ("x86_64", "AMD64"):
        raise PlatformError(
            f"the local stack needs {SUPPORTED}; this is {machine.system} on {machine.architecture}; {_ALTERNATIVE}"
        )
    if machine.libc != "glibc" or _version(machine.libc_version) < MINIMUM_GLIBC:
        found = f"{machine.libc} {machine.libc_version}".strip() or "another C library (musl?)"
        raise PlatformError(f"the local stack needs {SUPPORTED}; this system has {found}; {_ALTERNATIVE}")
    if machine.python not in PYTHON_VERSIONS:
        raise PlatformError(
            f"the local stack needs {SUPPORTED}; this is Python {machine.python[0]}.{machine.python[1]}; "
            "make a virtual environment with one of those"
        )


def check_numpy(version: str) -> None:
    """Refuse a numpy that the stub inside the wheel was not built for.

    With numpy 2 it reads arrays wrongly, and dies on the first request.

    Raises:
        PlatformError: numpy is 2 or later.
    """
    if _version(version)[:1] >= (2,):
        raise PlatformError(
            f"the Triton inside nvidia-pytriton needs numpy below 2, this environment has {version}; "
            "run `pip install 'numpy<2'` in it"
        )


def shared_memory_step(free_bytes: int) -> int:
    """Return the bytes by which each Python model's shared memory grows, and that it starts with.

    A container has 64 MiB unless told otherwise: there each model takes no more than it needs.

    Raises:
        PlatformError: There is too little even for small requests.
    """
    if free_bytes < 32 * MIB:
        raise PlatformError(
            f"{SHARED_MEMORY}, through which Triton's Python processes exchange tensors, has "
            f"{free_bytes / MIB:.0f} MiB free, at least 32 MiB are needed (256 MiB for large batches); "
            "remove what fills it, or in a container give `docker run --shm-size=256m`"
        )
    return (4 if free_bytes >= 256 * MIB else 1) * MIB


def free_shared_memory() -> int:
    """Return the free bytes of the shared memory file system."""
    status = os.statvfs(SHARED_MEMORY)
    return status.f_bavail * status.f_frsize


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def library_directories() -> list[Path]:
    """Return where libpython may be, this interpreter's own places first."""
    own = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", sysconfig.get_config_var("LIBPL")]
    given = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    system = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib", "/usr/lib"]
    return [Path(directory) for directory in dict.fromkeys([*own, *given, *system]) if directory]


def find_libpython(directories: Iterable[Path], version: tuple[int, int]) -> Path:
    """Return the shared library that Triton's Python processes are linked with.

    Raises:
        PlatformError: There is none; the message says what to install.
    """
    name = f"libpython{version[0]}.{version[1]}.so.1.0"
    searched = list(directories)
    for directory in searched:
        if (directory / name).is_file():
            return directory / name
    dotted = f"{version[0]}.{version[1]}"
    raise PlatformError(
        f"{name} was not found in {', '.join(map(str, searched))}; Triton's Python processes are linked with it. "
        f"Install it: `apt install libpython{dotted}` (Debian, Ubuntu), `dnf install python{dotted}-libs` (Fedora), "
        f"`PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {dotted}` (pyenv), or `uv python install {dotted}`; "
        "then make the virtual environment again"
    )


def python_directory(executable: Path) -> Path:
    """Return the directory whose `python3` is this interpreter.

    Triton's Python processes ignore PYTHONPATH from Python 3.11 on: they take the environment of the first `python3`
    on PATH.

    Raises:
        PlatformError: `python3` beside this interpreter is missing, or is another version.
    """
    sibling = executable.parent / "python3"
    if not sibling.exists() or sibling.resolve() != executable.resolve():
        raise PlatformError(
            f"{sibling} is not the interpreter in use ({executable}), so Triton's Python processes would not find "
            "the installed packages; run from a virtual environment, such as "
            f"`{executable} -m venv .venv && .venv/bin/pip install product-match[embedded]`"
        )
    return executable.parent
