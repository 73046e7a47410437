"""One run: warm-up, load, and what it cost."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.load import processes, stages
from benchmarks.load.inputs import Inputs
from benchmarks.load.lanes import Lanes
from benchmarks.load.loops import Measured, closed_loop, open_loop
from benchmarks.load.messages import Kind, Message, columns, grpc_message, http_message
from benchmarks.load.schedules import Profile, profile_schedule
from benchmarks.load.summaries import LatencySummary, Slice, sliced, summarise
from product_match.contract.errors import InvalidRequestError
from product_match.contract.options import DEADLINE
from product_match_client.endpoints import Endpoint, Protocol

WARM_UP_CONCURRENCY: Final = 4
SLICES: Final = 12
"""Parts of a run with a profile that are told of one by one."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to send and how fast; either `concurrency` or `rate`.

    Attributes:
        kind: Photo, words or both.
        concurrency: Closed loop: requests in flight.
        rate: Open loop: requests a second on average, at random times.
        rows: Queries in one request.
        seconds: No request starts later.
        most: Requests at most.
        warm_up: Requests before, which do not count.
        parameters: Options of every request.
        timeout_s: Longest wait for one answer.
        seed: Of the random times.
        profile: How an open loop's rate goes.
        deadlines: Whether each request carries when nobody waits for it any longer, as the clients' do.
    """

    kind: Kind
    concurrency: int | None = None
    rate: float | None = None
    rows: int = 1
    seconds: float = 10.0
    most: int = 100_000
    warm_up: int = 20
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 30.0
    seed: int = 0
    profile: Profile = Profile.STEADY
    deadlines: bool = False

    def __post_init__(self) -> None:
        """Check that the load is one of the two kinds."""
        if (self.concurrency is None) == (self.rate is None):
            raise InvalidRequestError("a load has either a concurrency (closed loop) or a rate (open loop); give one")
        if self.rate is None and self.profile is not Profile.STEADY:
            raise InvalidRequestError(f"the profile {self.profile.value} is one of an open loop; give a rate")

    @property
    def label(self) -> str:
        """The load in a few words."""
        if self.concurrency:
            return f"{self.concurrency} in flight"
        return f"{self.rate:g} a second" + ("" if self.profile is Profile.STEADY else f", {self.profile.value}")

    @property
    def sent_parameters(self) -> Mapping[str, Any]:
        """The options of a request that is sent now."""
        if not self.deadlines:
            return self.parameters
        return {**self.parameters, DEADLINE.name: round(time.time() + self.timeout_s, 3)}


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server under load.

    Attributes:
        endpoint: Where the load goes.
        http: Where statistics are read; None leaves stage times out.
        pid: Root of the server's processes on this machine; None leaves CPU and memory out.
    """

    endpoint: Endpoint
    http: Endpoint | None = None
    pid: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The figures of one run, ready for JSON."""

    kind: str
    protocol: str
    load: str
    repeated: bool
    rows: int
    concurrency: int | None
    rate: float | None
    seconds: float
    requests: int
    errors: int
    throughput: float
    latency: LatencySummary
    sent_bytes_per_request: float
    received_bytes_per_request: float
    server_cpu_ms_per_request: float | None
    server_cpu_ms_by_process: dict[str, float]
    server_memory_mb: float | None
    load_cpu_ms_per_request: float
    stages: dict[str, dict[str, float]]
    profile: str = Profile.STEADY.value
    slices: list[Slice] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


class Runner:
    """Runs loads on servers; inputs are used up across runs, so none is sent twice."""

    def __init__(self, inputs: Inputs) -> None:
        """Send `inputs`, from the first on."""
        self._inputs = inputs
        self._next = 0

    def run(self, server: Server, load: Load) -> RunResult:
        """Warm up, load the server, and return the figures."""
        return asyncio.run(self._run(server, load))

    def take(self, count: int) -> range:
        """Return the numbers of `count` inputs that no run sends."""
        taken = range(self._next, self._next + count)
        self._next += count
        return taken

    async def _run(self, server: Server, load: Load) -> RunResult:
        lanes = Lanes(server.endpoint, load.timeout_s)
        message = self._message(server.endpoint, load)
        try:
            if load.warm_up:
                warm = await closed_loop(
                    lanes,
                    message,
                    concurrency=min(WARM_UP_CONCURRENCY, load.warm_up),
                    seconds=load.timeout_s,
                    most=load.warm_up,
                    first=self._next,
                    timeout_s=load.timeout_s,
                )
                self._next += warm.requests
            watch = _Watch(server)
            sampling = asyncio.create_task(watch.sample_memory(load))
            measured = await self._measure(lanes, message, load)
            sampling.cancel()
            watch.stop()
        finally:
            await lanes.close()
        self._next += measured.requests
        return self._result(server, load, measured, watch)

    async def _measure(self, lanes: Lanes, message: Message, load: Load) -> Measured:
        if load.concurrency is not None:
            return await closed_loop(
                lanes,
                message,
                concurrency=load.concurrency,
                seconds=load.seconds,
                most=load.most,
                first=self._next,
                timeout_s=load.timeout_s,
            )
        schedule = profile_schedule(load.profile, load.rate or 0.0, load.seconds, load.seed, load.most)
        return await open_loop(lanes, message, schedule=schedule, first=self._next, timeout_s=load.timeout_s)

    def _message(self, endpoint: Endpoint, load: Load) -> Message:
        model, inputs = load.kind.model, self._inputs
        if endpoint.protocol is Protocol.HTTP:
            return lambda number: http_message(
                model, columns(load.kind, inputs, number, load.rows), load.sent_parameters, endpoint.address
            )
        return lambda number: grpc_message(model, columns(load.kind, inputs, number, load.rows), load.sent_parameters)

    def _result(self, server: Server, load: Load, measured: Measured, watch: _Watch) -> RunResult:
        requests = max(measured.requests, 1)
        return RunResult(
            kind=load.kind.value,
            protocol=server.endpoint.protocol.name.lower(),
            load=load.label,
            repeated=bool(self._inputs.repeats),
            rows=load.rows,
            concurrency=load.concurrency,
            rate=load.rate,
            seconds=round(measured.seconds, 3),
            requests=measured.requests,
            errors=measured.errors,
            throughput=round(len(measured.latencies_s) / measured.seconds, 2) if measured.seconds else 0.0,
            latency=summarise(measured.latencies_s),
            sent_bytes_per_request=round(measured.sent_bytes / requests, 1),
            received_bytes_per_request=round(measured.received_bytes / requests, 1),
            server_cpu_ms_per_request=watch.cpu_ms(requests),
            server_cpu_ms_by_process=watch.cpu_ms_by_process(requests),
            server_memory_mb=watch.memory_mb,
            load_cpu_ms_per_request=round(watch.own_cpu_s / requests * 1000, 4),
            stages=watch.stages,
            profile=load.profile.value,
            slices=[]
            if load.profile is Profile.STEADY
            else sliced(measured.moments, load.seconds, SLICES, watch.slice_memory_mb),
        )


class _Watch:
    """Reads the server's and the load's own costs at the start and at the end of a run."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pids = [] if server.pid is None else processes.process_tree(server.pid)
        self._statistics = {} if server.http is None else stages.read_statistics(server.http)
        self._before = processes.use(self._pids, memory=False)
        self._own_start_s = time.process_time()
        self.stages: dict[str, dict[str, float]] = {}
        self.own_cpu_s = 0.0
        self._spent: dict[str, float] = {}
        self._memory_bytes = 0
        self.slice_memory_mb: list[float] = []

    async def sample_memory(self, load: Load) -> None:
        """Read the memory at the end of each part of a run with a profile, in a thread: it takes milliseconds."""
        if not self._pids or load.profile is Profile.STEADY:
            return
        for _ in range(SLICES):
            await asyncio.sleep(load.seconds / SLICES)
            used = await asyncio.to_thread(processes.use, self._pids)
            self.slice_memory_mb.append(round(sum(use.memory_bytes for use in used.values()) / 1e6, 1))

    def stop(self) -> None:
        """Read the end."""
        self.own_cpu_s = time.process_time() - self._own_start_s
        after = processes.use(self._pids)
        self._spent = processes.spent(self._before, after)
        self._memory_bytes = sum(use.memory_bytes for use in after.values())
        if self._server.http is not None:
            self.stages = stages.stage_times(self._statistics, stages.read_statistics(self._server.http))

    @property
    def memory_mb(self) -> float | None:
        return round(self._memory_bytes / 1e6, 1) if self._pids else None

    def cpu_ms(self, requests: int) -> float | None:
        return round(sum(self._spent.values()) / requests * 1000, 3) if self._pids else None

    def cpu_ms_by_process(self, requests: int) -> dict[str, float]:
        return {name: round(seconds / requests * 1000, 3) for name, seconds in self._spent.items() if seconds > 0}
