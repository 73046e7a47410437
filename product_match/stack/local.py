"""The local stack: starts Triton and the document store, watches them, and stops them."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from product_match.contract.encoder import EncoderSpec, load_encoder
from product_match.contract.errors import ConfigError, StackError
from product_match.repository.assembly import assemble_repository
from product_match.settings import Secret, ServingSettings
from product_match.stack import documents, logs, platforms, triton
from product_match.stack.flags import Listener, Memory
from product_match.stack.ports import LOOPBACK, PortRequest, choose_ports
from product_match.stack.processes import ChildProcess
from product_match.stack.signals import StopSignals
from product_match.stack.state import DEFAULT_STATE_DIRECTORY, Endpoints, StateDirectory
from product_match.stack.supervision import ModelServer, RestartedProcess, RestartPolicy

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_WATCH_S = 0.25


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What a local stack is started with.

    Attributes:
        encoder_directory: What `ensemble-builder build` made.
        model_repository: The models that Triton loads as they are; or else
        adapters: The committed model repository, from which the state directory's is assembled for the encoder.
        state_directory: Where everything is kept; one server at a time.
        http_port: Triton's HTTP; 0 picks a free port, as for the others.
        grpc_port: Triton's gRPC.
        metrics_port: Triton's Prometheus metrics.
        mongodb_port: The document store.
        encoder_threads: ONNX Runtime threads of each encoder; 0 lets it decide.
        start_timeout_s: Longest wait until all of it is ready.
        stop_timeout_s: Longest wait for Triton's end before it is killed.
        restarts: How often the document store, or a model's process, may die.
        allow_other_encoder: True to start on a catalogue that another encoder made, in order to encode it again.
    """

    encoder_directory: Path
    model_repository: Path | None = None
    adapters: Path | None = None
    state_directory: Path = DEFAULT_STATE_DIRECTORY
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    mongodb_port: int = 0
    encoder_threads: int = 0
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 8.0
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    allow_other_encoder: bool = False

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


class LocalStack:
    """Triton and the document store of one machine.

    Use it as a context manager, from the main thread: Ctrl-C, SIGTERM and SIGHUP then end it in order.
    """

    def __init__(self, settings: StackSettings, progress: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.state = StateDirectory(settings.state_directory)
        self._progress = progress
        self._signals = StopSignals()
        self._children: list[ChildProcess] = []
        self._watched: list[RestartedProcess | ModelServer] = []
        self._endpoints: Endpoints | None = None

    def __enter__(self) -> LocalStack:
        """Start; see `start`."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; see `stop`."""
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Where the running stack answers.

        Raises:
            StackError: It is not running.
        """
        if self._endpoints is None:
            raise StackError("the local stack is not running; call start() first")
        return self._endpoints

    def start(self) -> None:
        """Start everything and return when it is ready.

        Raises:
            ConfigError: The encoder directory, the state directory or the machine does not fit.
            StackError: A port is taken, another server uses the state directory, or a process did not start.
            KeyboardInterrupt: A stop signal came meanwhile; everything is stopped again.
        """
        self._signals.install()
        try:
            with self._signals.deferred():
                self._start()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Watch the processes until a stop signal comes.

        Raises:
            StackError: Triton ended, or the document store or a model's process died too often.
        """
        with self._signals.deferred():
            while not self._signals.wait(_WATCH_S):
                for watched in self._watched:
                    watched.check(time.monotonic())

    def stop(self) -> None:
        """Stop everything, within a bounded time; calling it again does nothing."""
        with self._signals.deferred():
            # Triton first: what it still answers may need the store.
            for child in reversed(self._children):
                self._progress(f"stopping {child.name}")
                child.stop(self.settings.stop_timeout_s)
            self._children.clear()
            self._watched.clear()
            self._endpoints = None
            self.state.release()
        self._signals.restore()

    def _start(self) -> None:
        settings = self.settings
        runtime = triton.locate_runtime()
        spec = load_encoder(settings.encoder_directory)
        encoder = spec.identity
        self.state.lock()
        if not settings.allow_other_encoder:
            self.state.check_encoder(encoder)
        ports = choose_ports(self._port_requests())
        self._endpoints = Endpoints(
            http=f"{LOOPBACK}:{ports['http']}",
            grpc=f"{LOOPBACK}:{ports['grpc']}",
            metrics=f"{LOOPBACK}:{ports['metrics']}",
            mongodb=documents.uri(ports["mongodb"]),
            encoder=encoder,
            pid=os.getpid(),
        )
        self._progress("starting the document store and Triton")
        store = self._document_store(ports["mongodb"])
        server = self._triton(runtime, ports, self._models(spec))
        waiting = {store: lambda: documents.ready(ports["mongodb"]), server: lambda: triton.ready(ports["http"])}
        for child in waiting:
            self._children.append(child)
            child.start(inherit=[self.state.lock_descriptor])
        self._wait_until_ready(waiting)
        self._watch(store, server, waiting[server])
        if self.state.encoder is None:
            self.state.set_encoder(encoder)
        self.state.announce(self._endpoints)

    def _watch(self, store: ChildProcess, server: ChildProcess, server_ready: Callable[[], bool]) -> None:
        def restart_store() -> None:
            documents.prepare(self.state.documents)
            store.start(inherit=[self.state.lock_descriptor])

        def restart_server() -> None:
            # A dead model's process keeps Triton from ending in order, and nothing it holds is worth the wait.
            server.stop(grace_s=0.0)
            self.state.clear_shared_memory()
            server.start(inherit=[self.state.lock_descriptor])

        policy = self.settings.restarts
        models = ModelServer(
            child=server,
            is_ready=server_ready,
            restart=restart_server,
            policy=policy,
            start_timeout_s=self.settings.start_timeout_s,
            report=self._progress,
        )
        models.note_models()
        self._watched = [
            RestartedProcess(child=store, restart=restart_store, policy=policy, report=self._progress),
            models,
        ]

    def _port_requests(self) -> dict[str, PortRequest]:
        settings = self.settings
        return {
            "http": PortRequest(port=settings.http_port, purpose="Triton's HTTP", option="--http-port"),
            "grpc": PortRequest(port=settings.grpc_port, purpose="Triton's gRPC", option="--grpc-port"),
            "metrics": PortRequest(port=settings.metrics_port, purpose="Triton's metrics", option="--metrics-port"),
            "mongodb": PortRequest(port=settings.mongodb_port, purpose="the document store", option="--mongodb-port"),
        }

    def _document_store(self, port: int) -> ChildProcess:
        documents.prepare(self.state.documents)
        return ChildProcess(
            name="the document store",
            command=documents.command_line(self.state.documents, port),
            environment=documents.process_environment(os.environ),
            log_file=self.state.logs / "documents.log",
        )

    def _models(self, encoder: EncoderSpec) -> Path:
        if self.settings.adapters is not None:
            assemble_repository(self.settings.adapters, encoder, self.state.model_repository)
        return self.settings.model_repository or self.state.model_repository

    def _triton(self, runtime: triton.TritonRuntime, ports: dict[str, int], models: Path) -> ChildProcess:
        serving = ServingSettings(
            encoder_directory=self.settings.encoder_directory.resolve(),
            mongodb_uri=Secret(documents.uri(ports["mongodb"])),
            index_directory=self.state.index,
            owner_socket=self.state.owner_socket,
            encoder_threads=self.settings.encoder_threads,
        )
        settings = triton.TritonSettings(
            model_repository=models.resolve(),
            backends=triton.build_backends(runtime, self.state.backends),
            listener=Listener(
                address=LOOPBACK, http_port=ports["http"], grpc_port=ports["grpc"], metrics_port=ports["metrics"]
            ),
            shared_memory_prefix=self.state.shared_memory_prefix,
            memory=Memory(shared_memory_step=platforms.shared_memory_step(platforms.free_shared_memory())),
            admin_key=secrets.token_urlsafe(24),
        )
        return ChildProcess(
            name="Triton",
            command=triton.command_line(runtime, settings),
            environment=triton.process_environment(runtime, os.environ, serving.to_environment()),
            log_file=self.state.logs / "triton.log",
        )

    def _wait_until_ready(self, waiting: dict[ChildProcess, Callable[[], bool]]) -> None:
        started = time.monotonic()
        pending = dict(waiting)
        while pending:
            for child in waiting:
                if not child.running:
                    raise StackError(f"the local stack did not start: {child.describe_end()}")
            for child, is_ready in list(pending.items()):
                if is_ready():
                    del pending[child]
                    self._progress(f"{child.name} is ready after {time.monotonic() - started:.1f} s")
            if self._signals.requested:
                raise KeyboardInterrupt
            if pending and time.monotonic() - started > self.settings.start_timeout_s:
                late = next(iter(pending))
                raise StackError(
                    f"{late.name} was not ready after {self.settings.start_timeout_s:g} s; "
                    f"{logs.describe(late.log_file)}"
                )
            time.sleep(_POLL_S)
