"""Settings of the serving processes. The environment is read here and nowhere else.

The local stack and the compose file set these variables for Triton, whose Python models inherit them: secrets stay
out of `config.pbtxt`, and one place says what a variable is called and what it may hold.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from product_match.contract.errors import ConfigError

PREFIX: Final = "PRODUCT_MATCH_"
IN_FILE: Final = "_FILE"
"""Ends the name of a variable that says which file holds a secret, in place of the secret itself."""

MOST_DAYS: Final = 3650
MOST_SHARDS: Final = 1000
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_SWITCHES: Final = {"on": True, "off": False}


class VectorIndexKind(enum.Enum):
    """Where vectors live."""

    EDGE = "edge"
    SERVER = "server"


class WordsKept(enum.Enum):
    """What events hold of the words that were typed."""

    KEPT = "kept"
    HASHED = "hashed"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Secret:
    """A value that never shows in a repr or a log."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "********" if self.value else ""


def _is(meaning: str, read: Callable[[str, str], Any]) -> dict[str, Any]:
    """Return what a field says of its variable: its meaning, and how `read(variable, text)` makes its value."""
    return {"meaning": meaning, "read": read}


def _text(_: str, value: str) -> str:
    return value


def _secret(_: str, value: str) -> Secret:
    return Secret(value)


def _path(_: str, value: str) -> Path:
    return Path(value)


def _kind(variable: str, value: str) -> VectorIndexKind:
    try:
        return VectorIndexKind(value)
    except ValueError as error:
        raise ConfigError(f"{variable} must be `edge` or `server`, got `{value}`") from error


def _switch(variable: str, value: str) -> bool:
    if value not in _SWITCHES:
        raise ConfigError(f"{variable} must be `on` or `off`, got `{value}`")
    return _SWITCHES[value]


def _words_kept(variable: str, value: str) -> WordsKept:
    try:
        return WordsKept(value)
    except ValueError as error:
        names = ", ".join(f"`{each.value}`" for each in WordsKept)
        raise ConfigError(f"{variable} must be one of {names}, got `{value}`") from error


def _number(variable: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{variable} must be a number, got `{value}`") from error


def _whole_number(variable: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise ConfigError(f"{variable} must be a whole number, got `{value}`") from error


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """What the Python models need to know.

    Each is declared once: its name in capitals is the variable, its metadata say what that is and how it is read.
    The store's time limit is below the two seconds in which a dead store is told.
    """

    encoder_directory: Path = field(metadata=_is("Directory that `ensemble-builder build` made.", _path))
    mongodb_uri: Secret = field(
        metadata=_is("Where documents live, such as mongodb://user:password@host:27017.", _secret)
    )
    mongodb_database: str = field(
        default="product_match", metadata=_is("Database name; product_match unless set.", _text)
    )
    vector_index: VectorIndexKind = field(
        default=VectorIndexKind.EDGE,
        metadata=_is("`edge` (in process, the default) or `server` (a Qdrant server).", _kind),
    )
    index_directory: Path | None = field(
        default=None, metadata=_is("Where the index in process keeps its files; edge only.", _path)
    )
    owner_socket: Path | None = field(
        default=None, metadata=_is("Unix socket of the process that owns the index; edge only.", _path)
    )
    qdrant_url: str = field(
        default="",
        metadata=_is("host:port of the Qdrant server's gRPC, https:// before it for TLS; server only.", _text),
    )
    qdrant_api_key: Secret = field(default=Secret(""), metadata=_is("Its API key; server only.", _secret))
    qdrant_ca_file: Path | None = field(
        default=None,
        metadata=_is("Certificates (PEM) to believe the Qdrant server's by; the system's unless set.", _path),
    )
    qdrant_shards: int = field(
        default=0,
        metadata=_is("Shards of a collection that is made; 0: the server's choice.", _whole_number),
    )
    qdrant_replicas: int = field(default=0, metadata=_is("Copies of each shard; 0: the server's.", _whole_number))
    qdrant_write_copies: int = field(
        default=0,
        metadata=_is("Copies that have to take a write before it counts; 0: the server's.", _whole_number),
    )
    qdrant_quantised: bool = field(
        default=False,
        metadata=_is("`on` to keep vectors as INT8 in memory, originals on disk; `off` unless set.", _switch),
    )
    collection: str = field(
        default="products", metadata=_is("Name of the collection in both stores; products unless set.", _text)
    )
    generation: str = field(
        default="",
        metadata=_is("What follows that name after a change of encoder; `product-match serve` sets it.", _text),
    )
    state_directory: Path | None = field(
        default=None,
        metadata=_is("Where a change of encoder is written down; `product-match serve` sets it.", _path),
    )
    store_timeout_s: float = field(
        default=0.8, metadata=_is("Longest wait for one call to a store, in seconds; 0.8 unless set.", _number)
    )
    encoder_threads: int = field(
        default=0,
        metadata=_is("ONNX Runtime threads of each encoder; 0 (the default) lets it decide.", _whole_number),
    )
    metrics_address: str = field(
        default="",
        metadata=_is(
            "host:port of Triton's metrics, which tell when too many requests wait; unset, all are taken.", _text
        ),
    )
    keys: Secret = field(
        default=Secret(""),
        metadata=_is("Callers' keys and what each may do, made by `product-match key`; unset, all is open.", _secret),
    )
    feedback_keys: Secret = field(
        default=Secret(""),
        metadata=_is("JSON Web Key Set that signs answers for feedback; unset, no feedback is taken.", _secret),
    )
    feedback_days: float = field(
        default=30.0, metadata=_is("Days after an answer in which feedback is taken; 30 unless set.", _number)
    )
    event_log: bool = field(
        default=False, metadata=_is("`on` to keep an event of each answer and error; `off` unless set.", _switch)
    )
    event_words: WordsKept = field(
        default=WordsKept.KEPT,
        metadata=_is("What events hold of words: `kept` (the default), `hashed` or `left_out`.", _words_kept),
    )
    event_hash_key: Secret = field(
        default=Secret(""),
        metadata=_is("Key of the digests that stand for words and for the keys of persons.", _secret),
    )
    event_uri: Secret = field(
        default=Secret(""), metadata=_is("Where events and feedback are kept; MONGODB_URI unless set.", _secret)
    )
    event_database: str = field(
        default="product_match_events",
        metadata=_is("Database of events and feedback; product_match_events unless set.", _text),
    )
    event_days: float = field(
        default=90.0, metadata=_is("Days that events and feedback are kept; 90 unless set.", _number)
    )
    observe: bool = field(
        default=True,
        metadata=_is("`on` (the default) publishes metrics, and makes the log one of JSON lines; `off`.", _switch),
    )
    log_level: str = field(
        default="info", metadata=_is("Least level of JSON lines: debug, info (the default), warning, error.", _text)
    )
    trace_url: str = field(
        default="",
        metadata=_is(
            "Receiver of traces, such as http://localhost:4318 (OTLP over HTTP); unset, none are made.", _text
        ),
    )
    trace_every: int = field(
        default=1000,
        metadata=_is(
            "One request in so many is traced, besides those that come with a `traceparent`; 1000 unless set.",
            _whole_number,
        ),
    )

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
        self._check_collections()
        if not 0 <= self.encoder_threads <= 256:
            raise ConfigError(f"{PREFIX}ENCODER_THREADS must be 0 to 256, got {self.encoder_threads}")
        for name, value in (("FEEDBACK_DAYS", self.feedback_days), ("EVENT_DAYS", self.event_days)):
            if not 0 < value <= MOST_DAYS:
                raise ConfigError(f"{PREFIX}{name} must be above 0 and at most {MOST_DAYS:,} days, got {value:g}")
        if self.event_log and self.event_words is WordsKept.HASHED and not self.event_hash_key.value:
            raise ConfigError(
                f"{PREFIX}EVENT_WORDS=hashed needs {PREFIX}EVENT_HASH_KEY, or who has the digests could guess "
                "the words; set it, such as to the output of `openssl rand -hex 24`"
            )
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"{PREFIX}LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}, got `{self.log_level}`")
        if self.trace_every < 1:
            raise ConfigError(f"{PREFIX}TRACE_EVERY must be 1 (every request) or more, got {self.trace_every}")
        if self.metrics_address and not _is_address(self.metrics_address):
            raise ConfigError(f"{PREFIX}METRICS_ADDRESS must be host:port, got `{self.metrics_address}`")

    def _check_collections(self) -> None:
        for name, number in (
            ("SHARDS", self.qdrant_shards),
            ("REPLICAS", self.qdrant_replicas),
            ("WRITE_COPIES", self.qdrant_write_copies),
        ):
            if not 0 <= number <= MOST_SHARDS:
                raise ConfigError(f"{PREFIX}QDRANT_{name} must be 0 to {MOST_SHARDS}, got {number}")
        if self.qdrant_write_copies > max(self.qdrant_replicas, 1):
            raise ConfigError(
                f"{PREFIX}QDRANT_WRITE_COPIES is {self.qdrant_write_copies} and {PREFIX}QDRANT_REPLICAS "
                f"{self.qdrant_replicas}: no write could ever count; ask for no more copies than there are"
            )

    @property
    def document_collection(self) -> str:
        """Name of the collection of documents that is served."""
        return f"{self.collection}_{self.generation}" if self.generation else self.collection

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads back to the same settings."""
        values = {each.name.upper(): _written(getattr(self, each.name)) for each in fields(self)}
        return {PREFIX + variable: value for variable, value in values.items() if value}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ServingSettings:
        """Read the settings.

        Raises:
            ConfigError: A variable is missing, unknown, still a `${...}` placeholder, or holds a wrong value.
        """
        given = {name[len(PREFIX) :]: value for name, value in environment.items() if name.startswith(PREFIX)}
        given = _with_files_read(given)
        for name, value in given.items():
            if name not in VARIABLES:
                raise ConfigError(f"{PREFIX}{name} is not a setting; known are {', '.join(sorted(VARIABLES))}")
            if value.startswith("${"):
                raise ConfigError(f"{PREFIX}{name} still holds the placeholder {value}; set the variable it names")
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = each.name.upper()
            if given.get(variable):
                values[each.name] = each.metadata["read"](PREFIX + variable, given[variable])
            elif each.default is MISSING:
                raise ConfigError(f"{PREFIX}{variable} is not set; {VARIABLES[variable]}")
        return cls(**values)


VARIABLES: Final[Mapping[str, str]] = {
    each.name.upper(): each.metadata["meaning"] for each in fields(ServingSettings)
}
"""What each variable is, by its name after the prefix; a secret's has a twin that names a file (`IN_FILE`)."""


def _with_files_read(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with what the files hold that are named in place of secrets."""
    secrets = {each.name.upper() for each in fields(ServingSettings) if each.metadata["read"] is _secret}
    read = dict(given)
    for name in sorted(secrets):
        path = read.pop(name + IN_FILE, "")
        if not path:
            continue
        if read.get(name):
            raise ConfigError(f"{PREFIX}{name} and {PREFIX}{name}{IN_FILE} are both set; keep one of them")
        try:
            read[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{PREFIX}{name}{IN_FILE}: {path} cannot be read ({error}); name a text file"
            ) from error
    return read


def _written(value: Any) -> str:
    if isinstance(value, Secret | VectorIndexKind | WordsKept):
        value = value.value
    if isinstance(value, bool):
        return next(word for word, meant in _SWITCHES.items() if meant is value)
    return "" if value is None else str(value)


def redacted(uri: str) -> str:
    """Return a URI with its password, if any, replaced by stars."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:********@{host}"))


def _is_address(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
