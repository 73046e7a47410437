"""What a local stack is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from product_match.contract.errors import ConfigError
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY
from product_match.host.supervision import RestartPolicy
from product_match.settings import WordsKept


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What a local stack is started with.

    Attributes:
        encoder_directory: What `ensemble-builder build` made.
        encoder_is_default: True where nobody chose it: a state directory then goes on with its own encoder.
        model_repository: The models that Triton loads as they are; or else
        adapters: The committed model repository, from which the state directory's is assembled for the encoder.
        state_directory: Where everything is kept; one server at a time.
        http_port: Triton's HTTP; 0 picks a free port, as for the others.
        grpc_port: Triton's gRPC.
        metrics_port: Triton's Prometheus metrics.
        mongodb_port: The document store.
        encoder_threads: ONNX Runtime threads of each encoder; 0 lets it decide.
        observe: Whether the models tell what they do: metrics, and logs of JSON lines.
        log_level: Least level of those lines.
        trace_url: Receiver of traces, OTLP over HTTP; empty for none.
        trace_every: One request in so many is traced, besides those that come with a `traceparent`.
        event_words: What events hold of words; None to keep no events.
        event_uri: A MongoDB for events and feedback; empty for the document store.
        start_timeout_s: Longest wait until all of it is ready.
        stop_timeout_s: Longest wait for Triton's end before it is killed.
        restarts: How often the document store, or a model's process, may die.
    """

    encoder_directory: Path
    encoder_is_default: bool = False
    model_repository: Path | None = None
    adapters: Path | None = None
    state_directory: Path = DEFAULT_STATE_DIRECTORY
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    mongodb_port: int = 0
    encoder_threads: int = 0
    observe: bool = False
    log_level: str = "info"
    trace_url: str = ""
    trace_every: int = 1000
    event_words: WordsKept | None = None
    event_uri: str = ""
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 8.0
    restarts: RestartPolicy = field(default_factory=RestartPolicy)

    def __post_init__(self) -> None:
        """Check what can be checked before anything starts."""
        given = [path for path in (self.model_repository, self.adapters) if path is not None]
        if len(given) != 1:
            raise ConfigError(f"give either a model repository or the adapters to assemble one, got {len(given)}")
        if not given[0].is_dir():
            raise ConfigError(f"the model repository {given[0]} is not a directory; give one that is")
        for name in ("start_timeout_s", "stop_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
