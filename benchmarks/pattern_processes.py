"""The client-orchestrated application as one or more processes of its own, as it would be deployed."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.catalogue_copy import DATABASE, copy_index, open_documents
from benchmarks.client_orchestrated import WARM_UP_S, Application, Reads
from benchmarks.load.inputs import Inputs
from benchmarks.load.loops import Measured
from benchmarks.load.messages import Kind
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import StackError

ANSWER_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where the application finds everything.

    Attributes:
        encoder_directory: The server's.
        http: Address of Triton.
        mongodb: URI of the document store.
        scratch: A directory for the processes' own indexes.
        inputs: What is asked.
    """

    encoder_directory: Path
    http: str
    mongodb: str
    scratch: Path
    inputs: Inputs


@dataclass(frozen=True, kw_only=True)
class Order:
    """One measurement: process n takes the inputs `first` + n, `first` + n + `processes`, and so on."""

    kind: Kind
    reads: Reads
    concurrency: int
    seconds: float
    first: int
    processes: int


class Processes:
    """So many processes of the application, each with an index of its own."""

    def __init__(self, deployment: Deployment, count: int) -> None:
        """Start them, and wait until they are ready."""
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for place in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, deployment, place), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            _answer(pipe)

    def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(END_TIMEOUT_S)

    def run(
        self, kind: Kind, reads: Reads, *, processes: int, concurrency: int, seconds: float, first: int
    ) -> tuple[Measured, float, int]:
        """Share the queries among `processes` of them.

        Returns:
            What was measured, the CPU milliseconds that the application spent on an answer, and the number of the
            first input that no process has taken.
        """
        order = Order(
            kind=kind,
            reads=reads,
            concurrency=concurrency // processes,
            seconds=seconds,
            first=first,
            processes=processes,
        )
        for pipe in self._pipes[:processes]:
            pipe.send(order)
        whole, cpu_s, after = Measured(), 0.0, first
        for pipe in self._pipes[:processes]:
            measured, spent_s, used = _answer(pipe)
            whole.latencies_s += measured.latencies_s
            whole.seconds = max(whole.seconds, measured.seconds)
            cpu_s += spent_s
            after = max(after, used)
        return whole, cpu_s / max(1, len(whole.latencies_s)) * 1000, after


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(ANSWER_TIMEOUT_S):
        raise StackError(f"a process of the client-orchestrated application said nothing for {ANSWER_TIMEOUT_S:g} s")
    return pipe.recv()


def _serve(pipe: Connection, deployment: Deployment, place: int) -> None:
    encoder = load_encoder(deployment.encoder_directory)
    directory = deployment.scratch / f"application-{place}"
    directory.mkdir(parents=True)
    documents = open_documents(deployment.encoder_directory, deployment.mongodb, directory)
    index = copy_index(documents, directory / "index", encoder.embedding_dim)
    documents.close()
    application = Application(
        encoder,
        deployment.encoder_directory,
        index,
        http=deployment.http,
        mongodb=deployment.mongodb,
        database=DATABASE,
    )
    pipe.send(None)
    while (order := pipe.recv()) is not None:
        numbers = itertools.count(order.first + place, order.processes)
        started = time.process_time()
        measured = application.run(
            order.kind,
            deployment.inputs,
            numbers,
            order.reads,
            concurrency=order.concurrency,
            seconds=order.seconds,
        )
        # The warm-up is paid for too; it is as long for one answer as the rest.
        spent = (time.process_time() - started) * measured.seconds / (measured.seconds + WARM_UP_S)
        pipe.send((measured, spent, next(numbers)))
    index.close()
