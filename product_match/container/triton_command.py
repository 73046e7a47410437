"""The command line of the container's `tritonserver`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import PlatformError
from product_match.host.platforms import MIB
from product_match.triton import flags
from product_match.triton.flags import Flag, ListenAddress, Memory, Version

VERSION_VARIABLE: Final = "TRITON_SERVER_VERSION"
"""Set in NVIDIA's images."""
EXIT_TIMEOUT_S: Final = 30
CUDA_POOL_BYTES: Final = 256 * MIB
_SHARED_MEMORY_STEP: Final = 16 * MIB


@dataclass(frozen=True, kw_only=True)
class ProductionServer:
    """What decides the command line in the container.

    Attributes:
        model_repository: The models.
        listener: Where Triton listens within the container; the compose file says who reaches it.
        gpu: True if encoders run on a GPU.
        admin_key: Header value that the restricted APIs ask for.
        load_threads: Models that load at the same time.
        more: Flags of what may be wanted: traces, TLS.
    """

    model_repository: Path
    listener: ListenAddress
    gpu: bool
    admin_key: str
    load_threads: int = 8
    more: Sequence[Flag] = ()

    def command_line(self, binary: str, version: Version) -> list[str]:
        """Return the command for a Triton of `version`."""
        common = flags.serving_flags(
            model_repository=self.model_repository,
            listener=self.listener,
            memory=Memory(shared_memory_step=_SHARED_MEMORY_STEP, cache_bytes=256 * MIB),
            admin_key=self.admin_key,
            exit_timeout_s=EXIT_TIMEOUT_S,
            load_threads=self.load_threads,
        )
        own = [
            Flag(name="model-control-mode", value="none"),
            Flag(name="strict-readiness", value=True),
            flags.LATENCY_QUANTILES,
        ]
        if self.gpu:
            # Where the pool runs out, Triton falls back to pinned memory, and Python models get empty tensors.
            own.append(Flag(name="cuda-memory-pool-byte-size", value=f"0:{CUDA_POOL_BYTES}"))
        else:
            own += [Flag(name="allow-gpu-metrics", value=False), Flag(name="pinned-memory-pool-byte-size", value=0)]
        return [binary, *flags.arguments([*common, *own, *self.more], version)]


def triton_version(environment: Mapping[str, str]) -> Version:
    """Return the image's Triton version; the least supported one where the image does not tell.

    Raises:
        PlatformError: It is too old.
    """
    told = environment.get(VERSION_VARIABLE, "")
    match = re.match(r"(\d+)\.(\d+)", told)
    version = (int(match[1]), int(match[2])) if match else flags.LEAST_PRODUCTION_VERSION
    if version < flags.LEAST_PRODUCTION_VERSION:
        least = ".".join(map(str, flags.LEAST_PRODUCTION_VERSION))
        release = "{}.{:02}".format(*flags.LEAST_PRODUCTION_RELEASE)
        raise PlatformError(
            f"Triton {told} is too old for production, {least} ({release}) or later is needed; "
            "set TRITON_TAG to a newer image"
        )
    return version


def find_binary(environment: Mapping[str, str]) -> str:
    """Return the path of `tritonserver`.

    Raises:
        PlatformError: It is not on PATH.
    """
    binary = shutil.which("tritonserver", path=environment.get("PATH"))
    if binary is None:
        raise PlatformError(
            "tritonserver is not on PATH; run this inside the image of Dockerfile.triton, or start the local stack "
            "with `product-match serve`"
        )
    return binary
