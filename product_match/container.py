"""Becomes the `tritonserver` of the container, with the flags that the embedded stack starts with too.

    python -m product_match.container --model-repository /encoder/model_repository
    python -m product_match.container --cpu

The first takes a repository that `ensemble-builder` made, TensorRT engines and all; the second makes one at the
start, whose encoders run ONNX Runtime on the CPU. Everything else comes from the PRODUCT_MATCH_* variables.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, PlatformError, ProductMatchError
from product_match.encoding.reference import REFERENCE_FILE
from product_match.host import platforms
from product_match.host.platforms import MIB
from product_match.repository.assembly import assemble_repository
from product_match.repository.shipped import shipped_adapters
from product_match.settings import ServingSettings, redacted
from product_match.triton import flags
from product_match.triton.flags import ADMIN_KEY_VARIABLE, Flag, ListenAddress, Memory, Version
from product_match.triton.proof import place

logger = logging.getLogger(__name__)

VERSION_VARIABLE: Final = "TRITON_SERVER_VERSION"
"""Set in NVIDIA's images."""
EXIT_TIMEOUT_S: Final = 30
ASSEMBLED: Final = Path("/tmp/product-match/model_repository")
CUDA_POOL_BYTES: Final = 256 * MIB
ENGINE_CHECK: Final = ("ensemble-builder", "engines", "--check", "--directory")
"""Run as a program: what serves does not import what builds."""
ENGINE_CHECK_S: Final = 120.0
ENGINE_GUARD: Final = ("ensemble-builder", "verify", "--wait", "900")
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
    """

    model_repository: Path
    listener: ListenAddress
    gpu: bool
    admin_key: str
    load_threads: int = 8

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
        return [binary, *flags.arguments([*common, *own], version)]


def main(
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    become: Callable[[str, list[str]], object] = os.execv,
) -> int:
    """Become Triton.

    Args:
        argv: Arguments, the program's own by default.
        environment: Variables, the program's own by default.
        become: Replaces this process; returns only in tests.

    Returns:
        1 if something is wrong, and 2 on misuse; else it does not return.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    arguments = _parser().parse_args(argv)
    variables = os.environ if environment is None else environment
    try:
        command = _command(arguments, variables)
    except ProductMatchError as error:
        logger.error("%s", error)
        return 1
    if not arguments.cpu:
        guard_engines(ServingSettings.from_environment(variables), arguments.grpc_port)
    become(command[0], command)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="product_match.container", description=(__doc__ or "").split("\n")[0])
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model-repository", type=Path, metavar="DIR", help="made by `ensemble-builder`")
    models.add_argument("--cpu", action="store_true", help="make one whose encoders run ONNX Runtime")
    parser.add_argument("--address", default="0.0.0.0", help="interface to listen on (default %(default)s)")
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help="(default %(default)s)")
    return parser


def _command(arguments: argparse.Namespace, environment: Mapping[str, str]) -> list[str]:
    settings = ServingSettings.from_environment(environment)
    encoder = load_encoder(settings.encoder_directory)
    version = triton_version(environment)
    platforms.shared_memory_step(platforms.free_shared_memory())
    if arguments.cpu:
        assemble_repository(shipped_adapters(), encoder, ASSEMBLED)
    repository = arguments.model_repository or ASSEMBLED
    if not any(repository.glob("*/config.pbtxt")):
        raise ConfigError(
            f"{repository} is not a model repository; make one with `ensemble-builder engines` on the GPU that serves"
        )
    if not arguments.cpu:
        check_engines(settings.encoder_directory)
    server = ProductionServer(
        model_repository=repository,
        listener=ListenAddress(
            address=arguments.address,
            http_port=arguments.http_port,
            grpc_port=arguments.grpc_port,
            metrics_port=arguments.metrics_port,
        ),
        gpu=not arguments.cpu,
        admin_key=environment.get(ADMIN_KEY_VARIABLE) or secrets.token_urlsafe(24),
    )
    logger.info(
        "encoder %s, precision %s, models %s, documents %s, vectors %s",
        encoder.identity,
        encoder.precision,
        repository,
        redacted(settings.mongodb_uri.value),
        settings.qdrant_url or settings.index_directory,
    )
    return server.command_line(find_binary(environment), version)


def check_engines(encoder_directory: Path, command: Sequence[str] = ENGINE_CHECK) -> None:
    """Refuse engines of another TensorRT, GPU or encoder, before Triton fails on them with a page of errors.

    Raises:
        ConfigError: They do not fit, or cannot be checked.
    """
    try:
        done = subprocess.run(
            [*command, str(encoder_directory)], capture_output=True, text=True, check=False, timeout=ENGINE_CHECK_S
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"the engines in {encoder_directory} cannot be checked: no answer within {ENGINE_CHECK_S:g} s; check "
            "that `nvidia-smi` answers on this machine"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the engines cannot be checked: {command[0]}: {error.strerror}; build the image again"
        ) from error
    if done.returncode != 0:
        raise ConfigError(f"the engines in {encoder_directory} cannot be served: {done.stderr.strip()[-1000:]}")


def guard_engines(
    settings: ServingSettings, grpc_port: int, command: Sequence[str] = ENGINE_GUARD
) -> subprocess.Popen[bytes] | None:
    """Start what compares the engines with FP32 once they are served, and ends Triton where they differ.

    Only Triton can run them, and this process becomes Triton: so another one asks it. Without TensorRT the encoders
    compare themselves.

    Returns:
        The process; None where the build has left nothing to compare with.
    """
    directory = settings.encoder_directory
    if not (directory / REFERENCE_FILE).is_file():
        logger.warning("%s has no %s, so its engines are served unchecked", directory, REFERENCE_FILE)
        return None
    options = ("--directory", str(directory), "--url", f"127.0.0.1:{grpc_port}", "--record", str(place(settings)))
    return subprocess.Popen([*command, *options, "--guard", str(os.getpid())], stdin=subprocess.DEVNULL)


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
        raise PlatformError(
            f"Triton {told} is too old for production, {least} (26.05) or later is needed; set TRITON_TAG to a newer "
            "image"
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


if __name__ == "__main__":
    sys.exit(main())
