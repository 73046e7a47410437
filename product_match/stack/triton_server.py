"""The `tritonserver` inside the nvidia-pytriton wheel: its files, its command line and its environment."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from product_match.contract.errors import PlatformError
from product_match.host import platforms
from product_match.host.ports import LOOPBACK
from product_match.triton import flags, health
from product_match.triton.flags import Flag, ListenAddress, Memory


@dataclass(frozen=True, kw_only=True)
class TritonRuntime:
    """Where the wheel's files are.

    Attributes:
        binary: `tritonserver`.
        python_backend: Directory of `libtriton_python.so`.
        stub: The python backend's process for this Python version.
        caches: `--cache-directory`.
        bundled_libraries: Shared libraries that the wheel brings.
        libpython: The shared library that the stub is linked with.
        python_directory: The directory whose `python3` has the installed packages.
    """

    binary: Path
    python_backend: Path
    stub: Path
    caches: Path
    bundled_libraries: Path
    libpython: Path
    python_directory: Path


def locate_runtime() -> TritonRuntime:
    """Find the wheel's files and what they need.

    Raises:
        PlatformError: The machine is not supported, or the wheel, its stub or libpython is missing.
    """
    platforms.check_machine(platforms.Machine.this())
    platforms.check_numpy(importlib.metadata.version("numpy"))
    version = (sys.version_info[0], sys.version_info[1])
    package = _package_directory("pytriton")
    server = package / "tritonserver"
    runtime = TritonRuntime(
        binary=server / "bin" / "tritonserver",
        python_backend=server / "backends" / "python",
        stub=server / "python_backend_stubs" / f"{version[0]}.{version[1]}" / "triton_python_backend_stub",
        caches=server / "caches",
        bundled_libraries=package.parent / "nvidia_pytriton.libs",
        libpython=platforms.find_libpython(platforms.library_directories(), version),
        python_directory=platforms.python_directory(Path(sys.executable)),
    )
    for path in (runtime.binary, runtime.python_backend, runtime.stub, runtime.caches, runtime.bundled_libraries):
        if not path.exists():
            raise PlatformError(
                f"the nvidia-pytriton package lacks {path}; install it again: "
                "`pip install --force-reinstall nvidia-pytriton==0.7.0`"
            )
    return runtime


def _package_directory(name: str) -> Path:
    """Return a package's directory without importing it (pytriton's import takes seconds)."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise PlatformError(
            "Triton is not installed here: the package nvidia-pytriton is missing; "
            "run `pip install product-match[embedded]`"
        )
    return Path(found.submodule_search_locations[0])


def build_backends(runtime: TritonRuntime, target: Path) -> Path:
    """Make the backend directory: Triton wants the stub beside `libtriton_python.so`, the wheel keeps it elsewhere.

    Returns:
        `target`, for `--backend-directory`.
    """
    python = target / "python"
    python.mkdir(parents=True, exist_ok=True)
    wanted = {file.name: file for file in (*runtime.python_backend.iterdir(), runtime.stub) if file.is_file()}
    for stale in python.iterdir():
        if stale.is_symlink():
            stale.unlink()
    for name, file in wanted.items():
        (python / name).symlink_to(file)
    return target


@dataclass(frozen=True, kw_only=True)
class TritonSettings:
    """What decides the command line.

    Attributes:
        model_repository: Directory of the models.
        backends: Directory that `build_backends` made.
        listener: Ports on the loopback interface.
        shared_memory_prefix: Start of the names of shared memory regions.
        admin_key: Header value that the restricted APIs ask for.
        memory: What Triton may take.
        exit_timeout_s: Longest wait for requests in flight at the end.
        load_threads: Models that load at the same time.
        observe: Whether Triton's metrics have quantiles of latency, as in production.
        trace: The flags of `flags.trace_flags`.
    """

    model_repository: Path
    backends: Path
    listener: ListenAddress
    shared_memory_prefix: str
    admin_key: str
    memory: Memory = field(default_factory=Memory)
    exit_timeout_s: int = 5
    load_threads: int = 8
    observe: bool = False
    trace: Sequence[Flag] = ()


def command_line(runtime: TritonRuntime, settings: TritonSettings) -> list[str]:
    """Return the command that starts the embedded Triton."""
    common = flags.serving_flags(
        model_repository=settings.model_repository,
        listener=settings.listener,
        memory=settings.memory,
        admin_key=settings.admin_key,
        exit_timeout_s=settings.exit_timeout_s,
        load_threads=settings.load_threads,
    )
    own = [
        # Models are loaded later for a change of encoder, by whoever has the admin key; Triton would not be strictly
        # ready meanwhile.
        Flag(name="model-control-mode", value="explicit"),
        Flag(name="load-model", value="*"),
        Flag(name="strict-readiness", value=False),
        Flag(name="backend-directory", value=settings.backends),
        Flag(name="backend-config", value=f"python,shm-region-prefix-name={settings.shared_memory_prefix}"),
        Flag(name="cache-directory", value=runtime.caches),
        Flag(name="allow-gpu-metrics", value=False),
        Flag(name="pinned-memory-pool-byte-size", value=0),
    ]
    if settings.observe:
        own.append(flags.LATENCY_QUANTILES)
    return [str(runtime.binary), *flags.arguments([*common, *own, *settings.trace], flags.EMBEDDED_VERSION)]


def process_environment(
    runtime: TritonRuntime, inherited: Mapping[str, str], settings_variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of `tritonserver`, which its Python processes inherit.

    Args:
        runtime: Where the files are.
        inherited: The environment to start from.
        settings_variables: PRODUCT_MATCH_* variables; those inherited are dropped, so that none leaks in by accident.
    """
    environment = {
        name: value for name, value in inherited.items() if not name.startswith(("PRODUCT_MATCH_", "PYTHON"))
    }
    libraries = [str(runtime.libpython.parent), str(runtime.bundled_libraries), inherited.get("LD_LIBRARY_PATH", "")]
    environment["LD_LIBRARY_PATH"] = ":".join(entry for entry in libraries if entry)
    # From Python 3.11 on the stub ignores PYTHONPATH and takes the environment of the first `python3` on PATH.
    environment["PATH"] = os.pathsep.join([str(runtime.python_directory), inherited.get("PATH", os.defpath)])
    environment["PYTHONPATH"] = os.pathsep.join(
        entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")
    )
    environment["PYTHONNOUSERSITE"] = "1"
    # Each model is a process of its own: BLAS threads in each would only fight over the cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    # This Triton has no backend that uses a GPU; on a machine with one it would still claim memory there.
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment.update(settings_variables)
    return environment


def ready(port: int) -> bool:
    """Say whether Triton answers on this port and every model is ready."""
    return health.ready(f"{LOOPBACK}:{port}")
