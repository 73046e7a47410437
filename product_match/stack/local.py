"""The local stack: starts Triton and the document store, watches them, and stops them."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from product_match.contract.errors import ConfigError, StackError
from product_match.encoder_change.generations import (
    Generation,
    serve_generation,
    served_generation,
    starting_generation,
)
from product_match.encoder_change.models import assemble_models
from product_match.encoder_change.requests import forget_change
from product_match.encoder_change.supervision import WORKER, EncoderChangeHooks, EncoderChanges
from product_match.host import platforms
from product_match.host.ports import LOOPBACK, PortRequest, choose_ports
from product_match.host.processes import ChildProcess
from product_match.host.signals import StopSignals
from product_match.host.supervision import ModelServer, RestartedProcess
from product_match.settings import ServingSettings
from product_match.stack import document_server as documents
from product_match.stack import triton_server as triton
from product_match.stack.serving import encoder_change_worker, serving_settings, with_event_log
from product_match.stack.settings import StackSettings
from product_match.stack.state import Endpoints, StateDirectory
from product_match.telemetry.log_lines import json_line
from product_match.triton import health
from product_match.triton.flags import ListenAddress, Memory, trace_flags

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_WATCH_S = 0.25


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
        self._watched: list[Callable[[float], None]] = []
        self._mongodb_port = 0
        self._admin_key = secrets.token_urlsafe(24)
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
                for check in self._watched:
                    check(time.monotonic())

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
        default = settings.encoder_is_default
        starting_generation(self.state.path, settings.encoder_directory, is_default=default)
        self.state.lock()
        # Until here a server may have been at work that has changed the encoder.
        generation = starting_generation(self.state.path, settings.encoder_directory, is_default=default)
        forget_change(self.state.path)
        ports = choose_ports(self._port_requests())
        self._mongodb_port = ports["mongodb"]
        self._endpoints = Endpoints(
            http=f"{LOOPBACK}:{ports['http']}",
            grpc=f"{LOOPBACK}:{ports['grpc']}",
            metrics=f"{LOOPBACK}:{ports['metrics']}",
            mongodb=documents.uri(ports["mongodb"]),
            encoder=generation.encoder,
            pid=os.getpid(),
        )
        self._progress("starting the document store and Triton")
        store = self._document_store(ports["mongodb"])
        server = self._triton(runtime, ports, self._models(generation))
        waiting = {store: lambda: documents.ready(ports["mongodb"]), server: lambda: triton.ready(ports["http"])}
        for child in waiting:
            self._children.append(child)
            child.start(inherit=[self.state.lock_descriptor])
        self._wait_until_ready(waiting)
        serve_generation(self.state.path, generation)
        self._watch(store, server, ports)
        self.state.announce(self._endpoints)

    def _watch(self, store: ChildProcess, server: ChildProcess, ports: dict[str, int]) -> None:
        def restart_store() -> None:
            documents.prepare(self.state.documents)
            store.start(inherit=[self.state.lock_descriptor])

        def restart_server() -> None:
            # A dead model's process keeps Triton from ending in order, and nothing it holds is worth the wait.
            server.stop(grace_s=0.0)
            self.state.clear_shared_memory()
            self._models(served_generation(self.state.path))
            server.start(inherit=[self.state.lock_descriptor])

        policy = self.settings.restarts
        hooks = EncoderChangeHooks(
            start_worker=self._start_encoder_change,
            announce=self._announce,
            report=self._progress,
        )
        encoder_changes = EncoderChanges(self.state.path, hooks)
        models = ModelServer(
            child=server,
            signs=health.signs(f"{LOOPBACK}:{ports['http']}", f"{LOOPBACK}:{ports['metrics']}"),
            restart=restart_server,
            policy=policy,
            start_timeout_s=self.settings.start_timeout_s,
            report=self._progress,
            claim_models=encoder_changes.claim_models,
            models_ready=encoder_changes.models_ready,
        )
        encoder_changes.claim_models()
        models.models_are_ready()
        documents_watch = RestartedProcess(child=store, restart=restart_store, policy=policy, report=self._progress)
        self._watched = [
            lambda now: encoder_changes.check(models, now),
            documents_watch.check,
            models.check,
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
            log_form=json_line if self.settings.observe else None,
        )

    def _models(self, generation: Generation) -> Path:
        if self.settings.model_repository is not None:
            return self.settings.model_repository
        if self.settings.adapters is not None:
            assemble_models(self.state, self.settings.adapters, generation)
        return self.state.model_repository

    def _announce(self, generation: Generation) -> None:
        self._endpoints = dataclasses.replace(self.endpoints, encoder=generation.encoder)
        self.state.announce(self._endpoints)

    def _start_encoder_change(self) -> ChildProcess:
        """Start the process that performs a change of encoder."""
        if self.settings.adapters is None:
            raise ConfigError("the encoder cannot change on a model repository that was given ready-made")
        generation = served_generation(self.state.path)
        settings = self._serving(generation.directory or self.settings.encoder_directory, generation.name)
        worker = encoder_change_worker(
            self.state, settings, self.settings.adapters, self.endpoints.grpc, self._admin_key
        )
        worker.start(inherit=[self.state.lock_descriptor])
        self._children = [child for child in self._children if child.name != WORKER] + [worker]
        return worker

    def _serving(self, encoder_directory: Path, generation: str = "") -> ServingSettings:
        settings = self.settings
        serving = serving_settings(
            self.state, encoder_directory, self._mongodb_port, settings.encoder_threads, generation
        )
        return with_event_log(serving, settings.event_words, settings.event_uri)

    def _triton(self, runtime: triton.TritonRuntime, ports: dict[str, int], models: Path) -> ChildProcess:
        # Which generation it is stands in the models' own configurations, as it may change while Triton runs.
        serving = dataclasses.replace(
            self._serving(self.settings.encoder_directory),
            metrics_address=f"{LOOPBACK}:{ports['metrics']}",
            observe=self.settings.observe,
            trace_url=self.settings.trace_url,
            trace_every=self.settings.trace_every,
            log_level=self.settings.log_level,
        )
        settings = triton.TritonSettings(
            model_repository=models.resolve(),
            backends=triton.build_backends(runtime, self.state.backends),
            listener=ListenAddress(
                address=LOOPBACK, http_port=ports["http"], grpc_port=ports["grpc"], metrics_port=ports["metrics"]
            ),
            shared_memory_prefix=self.state.shared_memory_prefix,
            memory=Memory(shared_memory_step=platforms.shared_memory_step(platforms.free_shared_memory())),
            admin_key=self._admin_key,
            observe=self.settings.observe,
            trace=trace_flags(serving),
        )
        return ChildProcess(
            name="Triton",
            command=triton.command_line(runtime, settings),
            environment=triton.process_environment(runtime, os.environ, serving.to_environment()),
            log_file=self.state.logs / "triton.log",
            log_form=json_line if self.settings.observe else None,
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
                    f"{late.name} was not ready after {self.settings.start_timeout_s:g} s; {late.describe_log()}"
                )
            time.sleep(_POLL_S)
