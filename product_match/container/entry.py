"""Reads what the container is started with, and runs Triton with the flags that the embedded stack starts with too.

    python -m product_match.container --model-repository /encoder/model_repository
    python -m product_match.container --cpu

The first takes a repository that `ensemble-builder` made, TensorRT engines and all; the second makes one at the
start, whose encoders run ONNX Runtime on the CPU. Everything else comes from the PRODUCT_MATCH_* variables.

Exit codes: 0 asked to stop, 1 wrong settings, 2 wrong use, 69 a store did not come, 70 Triton or a model is dead.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.container import engines
from product_match.container.stores import StoreWatch, opened_stores
from product_match.container.triton_command import ProductionServer, find_binary, triton_version
from product_match.container.watch import Limits, Watch
from product_match.contract.access import KeyRing
from product_match.contract.encoder import EncoderSpec, load_encoder
from product_match.contract.errors import ConfigError, ProductMatchError, StackError, UnavailableError
from product_match.host import platforms
from product_match.host.health import HealthServer
from product_match.host.ports import LOOPBACK
from product_match.host.processes import ChildProcess
from product_match.host.signals import StopSignals
from product_match.repository.assembly import assemble_repository
from product_match.repository.shipped import shipped_adapters
from product_match.settings import IN_FILE, PREFIX, ServingSettings, VectorIndexKind, redacted
from product_match.telemetry.log_lines import JsonFormatter, json_line
from product_match.triton import health
from product_match.triton.flags import ADMIN_KEY_VARIABLE, Flag, ListenAddress, tls_flags, trace_flags

logger = logging.getLogger(__name__)

ASSEMBLED: Final = Path("/tmp/product-match/model_repository")
STOPPED, WRONG, NO_STORE, DEAD = 0, 1, 69, 70
"""Exit codes; the last two are those that sysexits.h calls EX_UNAVAILABLE and EX_SOFTWARE."""
_ANY_ADDRESS: Final = ("0.0.0.0", "::", "")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All that was read and checked before anything starts.

    Attributes:
        settings: Of the models.
        encoder: What they encode with.
        command: Triton's command line.
    """

    settings: ServingSettings
    encoder: EncoderSpec
    command: list[str]


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run Triton until it is asked to stop, or something is wrong that only a new start mends.

    Args:
        argv: Arguments, the program's own by default.
        environment: Variables, the program's own by default.

    Returns:
        The exit code; the log's last line says why.
    """
    arguments = _parser().parse_args(argv)
    variables = dict(os.environ if environment is None else environment)
    # The core of gRPC writes lines of its own form to stderr ("Got goaway"), unless told before its first channel.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    log = logging.StreamHandler(sys.stderr)
    plain = variables.get(f"{PREFIX}OBSERVE") == "off"
    log.setFormatter(logging.Formatter("%(levelname)s %(message)s") if plain else JsonFormatter())
    logging.basicConfig(handlers=[log], level=logging.INFO)
    try:
        run(arguments, prepare(arguments, variables), variables)
    except UnavailableError as error:
        return _failed(error, NO_STORE)
    except StackError as error:
        return _failed(error, DEAD)
    except ProductMatchError as error:
        return _failed(error, WRONG)
    logger.info("stopped as asked")
    return STOPPED


def _failed(error: ProductMatchError, code: int) -> int:
    logger.error("%s", error)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="product_match.container", description=(__doc__ or "").split("\n")[0])
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model-repository", type=Path, metavar="DIR", help="made by `ensemble-builder`")
    models.add_argument("--cpu", action="store_true", help="make one whose encoders run ONNX Runtime")
    parser.add_argument("--address", default="0.0.0.0", help="interface to listen on (default %(default)s)")
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002), ("health", 8003)):
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help="(default %(default)s)")
    for name, what in (
        ("certificate", "its certificate, and those between it and its authority"),
        ("key", "its key"),
    ):
        parser.add_argument(f"--grpc-{name}", type=Path, metavar="PEM", help=f"{what}, to encrypt gRPC")
    for name, seconds, meaning in (
        ("store-wait", 120.0, "longest wait for the stores before Triton is started"),
        ("start-wait", 900.0, "longest wait until all models are ready"),
        ("store-away", 10.0, "a store that has not answered for so long makes this not ready"),
    ):
        text = f"{meaning} (default %(default)g)"
        parser.add_argument(f"--{name}", type=float, default=seconds, metavar="SECONDS", help=text)
    return parser


def prepare(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Launch:
    """Check everything that can be checked before Triton starts, and make its command line.

    Raises:
        ConfigError: Something does not fit; the message says what.
    """
    settings = ServingSettings.from_environment(environment)
    if settings.vector_index is not VectorIndexKind.SERVER:
        raise ConfigError(
            "production keeps vectors in a Qdrant server: set PRODUCT_MATCH_VECTOR_INDEX=server and "
            "PRODUCT_MATCH_QDRANT_URL, or start the local stack with `product-match serve`"
        )
    if not settings.keys.value:
        raise ConfigError(
            "production asks callers for keys, and none are set: make a file of them with `product-match key "
            "keys.json NAME --may write,export,admin` and name it in PRODUCT_MATCH_KEYS_FILE; to leave a scope open "
            'to everybody, add it to `open` there, as in {"open": ["search"], "keys": [...]}'
        )
    ring = KeyRing.from_json(settings.keys.value)
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
        engines.check_engines(settings.encoder_directory)
    server = ProductionServer(
        model_repository=repository,
        listener=ListenAddress(
            address=arguments.address,
            http_port=arguments.http_port,
            grpc_port=arguments.grpc_port,
            metrics_port=arguments.metrics_port,
        ),
        gpu=not arguments.cpu,
        admin_key=_admin_key(environment),
        more=[*trace_flags(settings), *_tls(arguments)],
    )
    logger.info(
        "open without a key: %s; keys: %s",
        ", ".join(sorted(scope.value for scope in ring.open)) or "nothing",
        ", ".join(key.name for key in ring.keys) or "none",
    )
    logger.info(
        "encoder %s, precision %s, models %s, documents %s, vectors %s",
        encoder.identity,
        encoder.precision,
        repository,
        redacted(settings.mongodb_uri.value),
        settings.qdrant_url,
    )
    command = server.command_line(find_binary(environment), version)
    return Launch(settings=settings, encoder=encoder, command=command)


def _tls(arguments: argparse.Namespace) -> list[Flag]:
    given = [path for path in (arguments.grpc_certificate, arguments.grpc_key) if path is not None]
    if len(given) == 1:
        raise ConfigError("--grpc-certificate and --grpc-key go together; give both, or neither to leave gRPC plain")
    for path in given:
        if not os.access(path, os.R_OK):
            raise ConfigError(f"{path} cannot be read; give certificate and key of Triton's gRPC in PEM")
    return tls_flags(*given) if given else []


def _admin_key(environment: Mapping[str, str]) -> str:
    """Return the given key; a random one, which nobody knows, where none is."""
    path = environment.get(ADMIN_KEY_VARIABLE + IN_FILE)
    if not path:
        return environment.get(ADMIN_KEY_VARIABLE) or secrets.token_urlsafe(24)
    try:
        return Path(path).read_text(encoding="utf-8").strip() or secrets.token_urlsafe(24)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{ADMIN_KEY_VARIABLE}{IN_FILE}: {path} cannot be read ({error}); name a text file"
        ) from error


def run(arguments: argparse.Namespace, launch: Launch, environment: Mapping[str, str]) -> None:
    """Run Triton until a stop signal comes.

    Raises:
        UnavailableError: A store did not come in time.
        StackError: Triton ended, or something in it is dead.
    """
    host = LOOPBACK if arguments.address in _ANY_ADDRESS else arguments.address
    form = json_line if launch.settings.observe else None
    child = ChildProcess(name="Triton", command=launch.command, environment=environment, log_form=form)

    def guard() -> None:
        if not arguments.cpu:
            engines.guard_engines(launch.settings, f"http://{host}:{arguments.http_port}", child.pid)

    signals = StopSignals()
    signals.install()
    try:
        with (
            opened_stores(launch.settings, launch.encoder) as (questions, index_is_open),
            HealthServer(arguments.address, arguments.health_port) as server,
            StoreWatch(questions, away_s=arguments.store_away) as stores,
        ):
            Watch(
                child=child,
                signs=health.signs(f"{host}:{arguments.http_port}", f"{host}:{arguments.metrics_port}"),
                stores=stores,
                index_is_open=index_is_open,
                health=server,
                signals=signals,
                limits=Limits(stores_s=arguments.store_wait, start_s=arguments.start_wait),
            ).run(guard)
    finally:
        signals.restore()
