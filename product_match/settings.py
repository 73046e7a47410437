"""Settings of the serving processes. The environment is read here and nowhere else.

The local stack and the compose file set these variables for Triton, whose Python models inherit them: secrets stay
out of `config.pbtxt`, and one place says what a variable is called and what it may hold.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from product_match.contract.errors import ConfigError

PREFIX: Final = "PRODUCT_MATCH_"


class VectorIndexKind(enum.Enum):
    """Where vectors live."""

    EDGE = "edge"
    SERVER = "server"


@dataclass(frozen=True)
class Secret:
    """A value that never shows in a repr or a log."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "********" if self.value else ""


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """What the Python models need to know.

    Attributes:
        encoder_directory: Holds `encoder.json` and its files.
        mongodb_uri: Where documents live; may hold a password.
        mongodb_database: Database name.
        vector_index: Edge (in the retrieval process) or a Qdrant server.
        index_directory: Edge only: where the index is kept.
        owner_socket: Edge only: Unix socket on which the process that owns the index answers the others.
        qdrant_url: Server only: `host:port` of its gRPC.
        qdrant_api_key: Server only.
        collection: Alias of the collection (server) and name of the document collection.
        generation: What follows that name once the catalogue has changed its encoder; see Generation.
        state_directory: Embedded only: where a change of encoder is written down; None where none can happen.
        store_timeout_s: Longest wait for one call to a store; below the two seconds in which a dead store is told.
        encoder_threads: ONNX Runtime threads of each encoder; 0 lets it decide.
        metrics_address: `host:port` of Triton's metrics, which tell how many requests wait; empty refuses none.
    """

    encoder_directory: Path
    mongodb_uri: Secret
    mongodb_database: str = "product_match"
    vector_index: VectorIndexKind = VectorIndexKind.EDGE
    index_directory: Path | None = None
    owner_socket: Path | None = None
    qdrant_url: str = ""
    qdrant_api_key: Secret = field(default_factory=lambda: Secret(""))
    collection: str = "products"
    generation: str = ""
    state_directory: Path | None = None
    store_timeout_s: float = 0.8
    encoder_threads: int = 0
    metrics_address: str = ""

    def __post_init__(self) -> None:
        """Check what depends on something else."""
        if self.vector_index is VectorIndexKind.EDGE and (self.index_directory is None or self.owner_socket is None):
            raise ConfigError(
                f"{PREFIX}VECTOR_INDEX=edge needs {PREFIX}INDEX_DIRECTORY and {PREFIX}OWNER_SOCKET; set both"
            )
        if self.vector_index is VectorIndexKind.SERVER and not self.qdrant_url:
            raise ConfigError(f"{PREFIX}VECTOR_INDEX=server needs {PREFIX}QDRANT_URL as host:port; set it")
        if not 0 < self.store_timeout_s <= 30:
            raise ConfigError(
                f"{PREFIX}STORE_TIMEOUT_S must be above 0 and at most 30 seconds, got {self.store_timeout_s}"
            )
        if not 0 <= self.encoder_threads <= 256:
            raise ConfigError(f"{PREFIX}ENCODER_THREADS must be 0 to 256, got {self.encoder_threads}")
        if self.metrics_address and not _is_address(self.metrics_address):
            raise ConfigError(f"{PREFIX}METRICS_ADDRESS must be host:port, got `{self.metrics_address}`")

    @property
    def document_collection(self) -> str:
        """Name of the collection of documents that is served."""
        return f"{self.collection}_{self.generation}" if self.generation else self.collection

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads back to the same settings."""
        variables = {
            "ENCODER_DIRECTORY": str(self.encoder_directory),
            "MONGODB_URI": self.mongodb_uri.value,
            "MONGODB_DATABASE": self.mongodb_database,
            "VECTOR_INDEX": self.vector_index.value,
            "INDEX_DIRECTORY": str(self.index_directory or ""),
            "OWNER_SOCKET": str(self.owner_socket or ""),
            "QDRANT_URL": self.qdrant_url,
            "QDRANT_API_KEY": self.qdrant_api_key.value,
            "COLLECTION": self.collection,
            "GENERATION": self.generation,
            "STATE_DIRECTORY": str(self.state_directory or ""),
            "STORE_TIMEOUT_S": str(self.store_timeout_s),
            "ENCODER_THREADS": str(self.encoder_threads),
            "METRICS_ADDRESS": self.metrics_address,
        }
        return {PREFIX + name: value for name, value in variables.items() if value}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ServingSettings:
        """Read the settings.

        Raises:
            ConfigError: A variable is missing, unknown, still a `${...}` placeholder, or holds a wrong value.
        """
        given = {name[len(PREFIX) :]: value for name, value in environment.items() if name.startswith(PREFIX)}
        for name, value in given.items():
            if name not in VARIABLES:
                raise ConfigError(f"{PREFIX}{name} is not a setting; known are {', '.join(sorted(VARIABLES))}")
            if value.startswith("${"):
                raise ConfigError(f"{PREFIX}{name} still holds the placeholder {value}; set the variable it names")
        for name in ("ENCODER_DIRECTORY", "MONGODB_URI"):
            if not given.get(name):
                raise ConfigError(f"{PREFIX}{name} is not set; {VARIABLES[name]}")
        return cls(
            encoder_directory=Path(given["ENCODER_DIRECTORY"]),
            mongodb_uri=Secret(given["MONGODB_URI"]),
            mongodb_database=given.get("MONGODB_DATABASE") or cls.mongodb_database,
            vector_index=_kind(given.get("VECTOR_INDEX") or VectorIndexKind.EDGE.value),
            index_directory=_path(given.get("INDEX_DIRECTORY")),
            owner_socket=_path(given.get("OWNER_SOCKET")),
            qdrant_url=given.get("QDRANT_URL", ""),
            qdrant_api_key=Secret(given.get("QDRANT_API_KEY", "")),
            collection=given.get("COLLECTION") or cls.collection,
            generation=given.get("GENERATION", ""),
            state_directory=_path(given.get("STATE_DIRECTORY")),
            store_timeout_s=_number("STORE_TIMEOUT_S", given.get("STORE_TIMEOUT_S"), cls.store_timeout_s),
            encoder_threads=int(_number("ENCODER_THREADS", given.get("ENCODER_THREADS"), cls.encoder_threads)),
            metrics_address=given.get("METRICS_ADDRESS", ""),
        )


VARIABLES: Final[Mapping[str, str]] = {
    "ENCODER_DIRECTORY": "Directory that `ensemble-builder build` made.",
    "MONGODB_URI": "Where documents live, such as mongodb://user:password@host:27017.",
    "MONGODB_DATABASE": "Database name; product_match unless set.",
    "VECTOR_INDEX": "`edge` (in process, the default) or `server` (a Qdrant server).",
    "INDEX_DIRECTORY": "Where the index in process keeps its files; edge only.",
    "OWNER_SOCKET": "Unix socket of the process that owns the index; edge only.",
    "QDRANT_URL": "host:port of the Qdrant server's gRPC; server only.",
    "QDRANT_API_KEY": "Its API key; server only.",
    "COLLECTION": "Name of the collection in both stores; products unless set.",
    "GENERATION": "What follows that name after a change of encoder; `product-match serve` sets it.",
    "STATE_DIRECTORY": "Where a change of encoder is written down; `product-match serve` sets it.",
    "STORE_TIMEOUT_S": "Longest wait for one call to a store, in seconds; 0.8 unless set.",
    "ENCODER_THREADS": "ONNX Runtime threads of each encoder; 0 (the default) lets it decide.",
    "METRICS_ADDRESS": "host:port of Triton's metrics, which tell when too many requests wait; unset, all are taken.",
}


def redacted(uri: str) -> str:
    """Return a URI with its password, if any, replaced by stars."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:********@{host}"))


def _kind(value: str) -> VectorIndexKind:
    try:
        return VectorIndexKind(value)
    except ValueError as error:
        raise ConfigError(f"{PREFIX}VECTOR_INDEX must be `edge` or `server`, got `{value}`") from error


def _is_address(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


def _number(name: str, value: str | None, default: float) -> float:
    if not value:
        return default
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{PREFIX}{name} must be a number, got `{value}`") from error
