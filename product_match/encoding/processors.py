"""Which processor this is, and what it has of the instructions that products of INT8 depend on."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Final

INT8_FEATURES: Final = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "asimddp", "i8mm")
"""As /proc/cpuinfo spells them, x86-64 and then ARM. Without VNNI, ONNX Runtime multiplies U8 by S8 in steps that
saturate at 16 bits."""


@functools.cache
def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name and its features that INT8 depends on, such as "AMD EPYC (avx512_vnni, avx2)"."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    found = [feature for feature in INT8_FEATURES if feature in flags]
    return f"{name} ({', '.join(found) or 'no INT8 instructions'})"


def gpu_name(driver: Path = Path("/proc/driver/nvidia/gpus")) -> str | None:
    """Return the name of the first GPU that NVIDIA's driver tells of, or None where there is none."""
    for information in sorted(driver.glob("*/information")):
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                return value.strip()
    return None
