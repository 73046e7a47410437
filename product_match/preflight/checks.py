"""The checks, each of one thing; what is not here (no GPU, no stores to ask) is told and not taken for wrong."""

from __future__ import annotations

import enum
import importlib.metadata
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from product_match.contract.access import KeyRing
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, PlatformError, ProductMatchError
from product_match.host import platforms
from product_match.host.platforms import MIB, Machine
from product_match.settings import ServingSettings

GIB: Final = 1024 * MIB
LEAST_MEMORY: Final = 2 * GIB
COMFORTABLE_SHARED_MEMORY: Final = 256 * MIB
LEAST_DRIVER: Final = 580
"""The first branch of NVIDIA's driver for CUDA 13, which the image needs."""
LEAST_CAPABILITY: Final = (7, 5)
LEAST_DISK: Final = GIB
MOST_CLOCK_DIFFERENCE_S: Final = 2.0
"""A lease lasts 6 s by the clocks of the hosts that compete for it."""
EXPIRES_SOON: Final = timedelta(days=14)
_SMI: Final = (
    "nvidia-smi",
    "--query-gpu=name,driver_version,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)


class State(enum.Enum):
    """How a check came out."""

    FINE = "ok"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        what: It looked at.
        state: How that is.
        found: In words.
        advice: What to do; empty where it is fine.
    """

    what: str
    state: State
    found: str
    advice: str = ""


def fine(what: str, found: str) -> Finding:
    """Return a finding that nothing is to be done about."""
    return Finding(what=what, state=State.FINE, found=found)


def wrong(what: str, found: str, advice: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(what=what, state=State.WRONG, found=found, advice=advice)


def look(what: str, found: str, advice: str) -> Finding:
    """Return a finding that may or may not be meant so."""
    return Finding(what=what, state=State.LOOK, found=found, advice=advice)


def machine(this: Machine) -> Finding:
    """Look at system, C library and Python."""
    python = ".".join(map(str, this.python))
    found = f"{this.system} on {this.architecture}, {this.libc} {this.libc_version}, Python {python}"
    try:
        platforms.check_machine(this)
    except PlatformError as error:
        return wrong("machine", found, str(error))
    return fine("machine", found)


def memory(available_bytes: int) -> Finding:
    """Look at the memory that is left, of the machine and of the container."""
    found = f"{available_bytes / GIB:.1f} GiB available"
    if available_bytes < LEAST_MEMORY:
        return wrong("memory", found, f"end what takes it, or allow at least {LEAST_MEMORY / GIB:g} GiB")
    return fine("memory", found)


def available_memory(proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that can still be taken: the machine's, or the container's where that is less."""
    lines = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    try:
        limit = (group / "memory.max").read_text(encoding="utf-8").strip()
        used = int((group / "memory.current").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return free
    return min(free, int(limit) - used) if limit.isdigit() else free


def shared_memory(free_bytes: int) -> Finding:
    """Look at the memory that carries tensors between Triton and its Python models."""
    found = f"{free_bytes / MIB:,.0f} MiB free in {platforms.SHARED_MEMORY}"
    try:
        platforms.shared_memory_step(free_bytes)
    except PlatformError as error:
        return wrong("shared memory", found, str(error))
    if free_bytes < COMFORTABLE_SHARED_MEMORY:
        return look("shared memory", found, "enough for small requests; 256 MiB for large batches (--shm-size)")
    return fine("shared memory", found)


def disk(directory: Path) -> Finding:
    """Look at the disk that the state directory is on."""
    place = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.1f} GiB free at {place}"
    if free < LEAST_DISK:
        return wrong("disk", found, "make room, or give another place with --state-dir")
    return fine("disk", found)


def gpu(needed: bool, command: Sequence[str] = _SMI) -> list[Finding]:
    """Look at the GPUs that the driver tells of."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [_no_gpu(needed, f"{command[0]} cannot be asked ({type(error).__name__})")]
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 3]
    if done.returncode != 0 or not rows:
        return [_no_gpu(needed, f"{command[0]} tells of none")]
    return [_card(*row) for row in rows]


def _no_gpu(needed: bool, found: str) -> Finding:
    if needed:
        return wrong("GPU", found, "install the driver and the NVIDIA container toolkit, or use the profile `cpu`")
    return fine("GPU", f"{found}: none is needed on the CPU")


def _card(name: str, driver: str, memory_mib: str, capability: str) -> Finding:
    found = f"{name}, {memory_mib} MiB, compute capability {capability}, driver {driver}"
    if tuple(map(int, capability.split("."))) < LEAST_CAPABILITY:
        return wrong("GPU", found, "TensorRT 11 needs compute capability 7.5 or later; use the profile `cpu`")
    if int(driver.split(".")[0]) < LEAST_DRIVER:
        return wrong("GPU", found, f"CUDA 13 needs driver {LEAST_DRIVER} or later; install one")
    return fine("GPU", found)


def ports(wanted: Mapping[str, int], host: str = "127.0.0.1") -> list[Finding]:
    """Look whether something listens where the server is to."""
    taken = [f"{port} ({name})" for name, port in wanted.items() if _taken(host, port)]
    if taken:
        advice = "is a server up already? end what listens, or choose others (--http-port and so on)"
        return [look("ports", f"in use: {', '.join(taken)}", advice)]
    return [fine("ports", f"free: {', '.join(str(port) for port in wanted.values())}")]


def _taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return True
    return False


def versions(packages: Sequence[str]) -> Finding:
    """Say which packages are here; numpy has to be one that Triton's stub was built for."""
    found = {name: _version(name) for name in packages}
    told = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    try:
        platforms.check_numpy(found.get("numpy") or "0")
    except PlatformError as error:
        return wrong("versions", told, str(error))
    return fine("versions", told)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def encoder(settings: ServingSettings) -> Finding:
    """Look at the encoder directory."""
    try:
        spec = load_encoder(settings.encoder_directory)
    except ConfigError as error:
        return wrong("encoder", str(settings.encoder_directory), str(error))
    return fine("encoder", f"{spec.identity}, {spec.precision}")


def keys(settings: ServingSettings, today: date) -> Finding:
    """Look at the callers' keys: readable, and which of them expire."""
    if not settings.keys.value:
        return look("keys", "none: all is open", "production does not start without; `product-match key` makes them")
    try:
        ring = KeyRing.from_json(settings.keys.value)
    except ConfigError as error:
        return wrong("keys", "not readable", str(error))
    ends = {key.name: key.expires for key in ring.keys if key.expires is not None}
    late = [f"{name} ({day})" for name, day in ends.items() if day < today + EXPIRES_SOON]
    if late:
        return look("keys", f"expired, or soon: {', '.join(late)}", "make new ones with `product-match key`")
    return fine("keys", f"{len(ring.keys)}, open without: {', '.join(s.value for s in ring.open) or 'nothing'}")


def store(name: str, question: Callable[[], object]) -> Finding:
    """Ask a store something."""
    try:
        question()
    except ProductMatchError as error:
        return wrong(name, "does not answer as it should", str(error))
    return fine(name, "answers")


def clock(store_time: datetime, here: datetime) -> Finding:
    """Compare this clock with the document store's."""
    difference = abs((here - store_time.replace(tzinfo=timezone.utc)).total_seconds())
    found = f"{difference:.1f} s from the document store's"
    if difference > MOST_CLOCK_DIFFERENCE_S:
        return wrong("clock", found, "let both hosts keep time by NTP: leases are taken by the clock")
    return fine("clock", found)
