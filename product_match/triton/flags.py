"""Triton's command line, declared once for the embedded server and for production.

A flag names the Triton version that brought it, so that the same declaration starts the embedded 2.51 and the newer
one in the container.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract import options
from product_match.host.platforms import MIB
from product_match.settings import ServingSettings
from product_match.telemetry.spans import SERVICE, trace_endpoint

Version = tuple[int, int]

EMBEDDED_VERSION: Final[Version] = (2, 51)
"""The Triton inside the nvidia-pytriton wheel."""

LEAST_PRODUCTION_VERSION: Final[Version] = (2, 71)
LEAST_PRODUCTION_RELEASE: Final = (26, 7)
"""The release of that version: 26.06 and older have CVE-2026-16497, a denial of service over the network."""

RESTRICTED_APIS: Final = ("shared-memory", "model-repository", "logging", "trace")
ADMIN_KEY_VARIABLE: Final = "TRITON_ADMIN_KEY"
"""Holds the key to Triton's model control, for whoever is to load models."""

ADMIN_HEADER: Final = "product-match-admin"
HTTP_INPUT_BYTES: Final = 128 * MIB
"""Largest HTTP request in production: a full batch of two-megabyte photos. The embedded version knows no limit."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag.

    Attributes:
        name: Without the dashes.
        value: None for a switch.
        since: The Triton version that brought it.
    """

    name: str
    value: str | int | Path | None = None
    since: Version = (2, 0)

    def __str__(self) -> str:
        if self.value is None:
            return f"--{self.name}"
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"--{self.name}={value}"


LATENCY_QUANTILES: Final = Flag(name="metrics-config", value="summary_latencies=true")


@dataclass(frozen=True, kw_only=True)
class ListenAddress:
    """Where Triton listens.

    Attributes:
        address: Interface.
        http_port: Port of HTTP.
        grpc_port: Port of gRPC.
        metrics_port: Port of Prometheus metrics.
    """

    address: str
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What Triton may take.

    Attributes:
        shared_memory_step: Bytes that each Python process's region starts with and grows by; it never shrinks.
        cache_bytes: Size of the response cache.
    """

    shared_memory_step: int = 4 * MIB
    cache_bytes: int = 64 * MIB


def tls_flags(certificate: Path, key: Path) -> list[Flag]:
    """Return the flags that encrypt gRPC; Triton's HTTP knows no TLS."""
    return [
        Flag(name="grpc-use-ssl", value=True),
        Flag(name="grpc-server-cert", value=certificate),
        Flag(name="grpc-server-key", value=key),
    ]


def serving_flags(
    *,
    model_repository: Path,
    listener: ListenAddress,
    memory: Memory,
    admin_key: str,
    exit_timeout_s: int,
    load_threads: int,
) -> list[Flag]:
    """Return the flags of every Triton of this project.

    Args:
        model_repository: The models; all are loaded at the start.
        listener: Where it listens.
        memory: What it may take.
        admin_key: Header value that the restricted APIs ask for.
        exit_timeout_s: Longest wait for requests in flight at the end.
        load_threads: Models that load at the same time.
    """
    restriction = f"{','.join(RESTRICTED_APIS)}:{ADMIN_HEADER}={admin_key}"
    return [
        Flag(name="id", value="product-match"),
        Flag(name="model-repository", value=model_repository),
        Flag(name="disable-auto-complete-config"),
        Flag(name="exit-on-error", value=True),
        Flag(name="exit-timeout-secs", value=exit_timeout_s),
        Flag(name="model-load-thread-count", value=load_threads),
        Flag(name="backend-config", value=f"python,shm-default-byte-size={memory.shared_memory_step}"),
        Flag(name="backend-config", value=f"python,shm-growth-byte-size={memory.shared_memory_step}"),
        Flag(name="cache-config", value=f"local,size={memory.cache_bytes}"),
        Flag(name="http-address", value=listener.address),
        Flag(name="http-port", value=listener.http_port),
        Flag(name="http-header-forward-pattern", value=options.header_pattern()),
        Flag(name="http-restricted-api", value=restriction),
        Flag(name="http-max-input-size", value=HTTP_INPUT_BYTES, since=(2, 60)),
        Flag(name="grpc-address", value=listener.address),
        Flag(name="grpc-port", value=listener.grpc_port),
        Flag(name="grpc-header-forward-pattern", value=options.header_pattern()),
        Flag(name="grpc-restricted-protocol", value=restriction),
        Flag(name="metrics-address", value=listener.address),
        Flag(name="metrics-port", value=listener.metrics_port),
        Flag(name="allow-client-shm", value=False, since=(2, 69)),
        Flag(name="log-format", value="ISO8601"),
    ]


def trace_flags(settings: ServingSettings) -> list[Flag]:
    """Return the flags that have Triton trace requests; none where no traces are wanted.

    A request with a `traceparent` is traced whatever the rate, and whatever that says of sampling (2.51).

    Raises:
        ConfigError: The receiver is no URL.
    """
    if not settings.trace_url:
        return []
    said = (
        "mode=opentelemetry",
        f"opentelemetry,url={trace_endpoint(settings.trace_url)}",
        f"opentelemetry,resource=service.name={SERVICE}",
        "level=TIMESTAMPS",
        f"rate={settings.trace_every}",
    )
    return [Flag(name="trace-config", value=value) for value in said]


def arguments(flags: Sequence[Flag], version: Version) -> list[str]:
    """Return the command line arguments that a Triton of `version` knows."""
    return [str(flag) for flag in flags if flag.since <= version]
