"""Both loops send what they say, count every answer once, and end although a server misbehaves."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from benchmarks.load.inputs import Inputs
from benchmarks.load.lanes import Lanes
from benchmarks.load.loops import closed_loop, open_loop
from benchmarks.load.messages import GRPC_METHOD, Kind
from benchmarks.load.runs import Load, Runner, Server
from benchmarks.load.schedules import Profile
from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match_client.endpoints import parse_endpoint
from tests.fakes.load_server import ANSWER, REFUSAL, HttpServer, ServerThread


def message(number):
    body = b"%d" % number
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 30))


async def closed(server, **arguments):
    lanes = Lanes(server.endpoint, 5.0)
    try:
        return await closed_loop(
            lanes, message, **{"concurrency": 1, "seconds": 20.0, "most": 10, "timeout_s": 5.0, **arguments}
        )
    finally:
        await lanes.close()


def test_a_closed_loop_sends_each_input_once_and_counts_every_answer():
    async def work():
        async with HttpServer(ANSWER) as server:
            measured = await closed(server, most=25, concurrency=4, first=100)
            return server, measured

    server, measured = run(work())
    assert sorted(map(int, server.bodies)) == list(range(100, 125))
    assert len(measured.latencies_s) == measured.requests == 25
    assert measured.errors == 0
    assert measured.received_bytes == 25 * len(ANSWER)
    assert measured.sent_bytes == sum(len(message(number)) for number in range(100, 125))
    assert measured.seconds >= max(measured.latencies_s) > 0


def test_a_closed_loop_has_no_more_in_flight_than_it_says():
    async def work():
        async with HttpServer(ANSWER) as server:
            await closed(server, most=40, concurrency=3)
            return server.most_in_flight

    assert 1 <= run(work()) <= 3


def test_a_closed_loop_ends_when_its_time_is_up():
    async def work():
        async with HttpServer(ANSWER) as server:
            return await closed(server, seconds=1e-9, most=1000, concurrency=2)

    assert run(work()).requests == 2


def test_a_refusal_is_an_error_and_its_lane_rests():
    async def work():
        async with HttpServer(REFUSAL) as server:
            return await closed(server, concurrency=3)

    measured = run(work())
    assert (measured.requests, measured.errors, measured.received_bytes) == (3, 3, 0)


def test_a_connection_that_breaks_is_an_error():
    async def work():
        async with HttpServer(ANSWER, b"") as server:
            return await closed(server)

    measured = run(work())
    assert (len(measured.latencies_s), measured.errors) == (1, 1)


def test_what_is_never_answered_counts_as_failed():
    async def work():
        async with HttpServer(None) as server:
            return await closed(server, concurrency=2, seconds=0.01, timeout_s=0.01)

    assert run(work()).errors == 2


def test_a_server_that_is_not_there_is_named():
    async def work():
        await closed(type("Gone", (), {"endpoint": parse_endpoint("http://127.0.0.1:9")})())

    with pytest.raises(UnavailableError, match="takes no connection"):
        run(work())


def test_a_grpc_server_that_is_not_there_is_named():
    async def work():
        lanes = Lanes(parse_endpoint("grpc://127.0.0.1:9"), 0.05)
        try:
            await lanes.lane()
        finally:
            await lanes.close()

    with pytest.raises(UnavailableError, match="takes no connection"):
        run(work())


def test_an_open_loop_sends_the_whole_schedule_and_counts_waiting_as_latency():
    async def work():
        async with HttpServer(ANSWER) as server:
            lanes = Lanes(server.endpoint, 5.0)
            try:
                schedule = [0.0, 0.001, 0.002, 0.002, 0.01]
                return server, await open_loop(lanes, message, schedule=schedule, first=7, timeout_s=5.0)
            finally:
                await lanes.close()

    server, measured = run(work())
    assert sorted(map(int, server.bodies)) == list(range(7, 12))
    assert (len(measured.latencies_s), measured.errors) == (5, 0)


def test_an_open_loop_with_fewer_lanes_than_requests_lets_them_wait(monkeypatch):
    monkeypatch.setattr("benchmarks.load.loops.MOST_LANES", 1)

    async def work():
        async with HttpServer(ANSWER) as server:
            lanes = Lanes(server.endpoint, 5.0)
            try:
                return await open_loop(lanes, message, schedule=[0.0] * 6, timeout_s=5.0)
            finally:
                await lanes.close()

    measured = run(work())
    assert len(measured.latencies_s) == 6
    assert measured.latencies_s == sorted(measured.latencies_s)


class GrpcServer:
    def __init__(self, *, fails=False):
        self.fails = fails
        self.received = []

    async def __aenter__(self):
        async def answer(request, context):
            self.received.append(request)
            if self.fails:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
            return b"answer"

        service, _, method = GRPC_METHOD[1:].partition("/")
        handler = grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(answer)})
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((handler,))
        self.endpoint = parse_endpoint(f"grpc://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}")
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(None)


@pytest.mark.parametrize("fails", [False, True])
def test_grpc_lanes_count_answers_and_refusals(fails):
    async def work():
        async with GrpcServer(fails=fails) as server:
            measured = await closed(server, most=6, concurrency=2)
            return server, measured

    server, measured = run(work())
    assert measured.errors == (2 if fails else 0)
    assert len(measured.latencies_s) == (0 if fails else 6)
    assert server.received[0] == message(0)


def test_a_load_is_closed_or_open_not_both():
    for arguments in ({}, {"concurrency": 1, "rate": 2.0}):
        with pytest.raises(InvalidRequestError, match="either a concurrency"):
            Load(kind=Kind.TEXT, **arguments)


def test_a_runner_warms_up_and_never_sends_an_input_twice():
    inputs = Inputs(photos=(), texts=[b"text %d" % n for n in range(1000)])
    with ServerThread() as http:
        runner = Runner(inputs)
        server = Server(endpoint=http.endpoint)
        closed_result = runner.run(server, Load(kind=Kind.TEXT, concurrency=2, most=10, warm_up=4))
        open_result = runner.run(server, Load(kind=Kind.TEXT, rate=1000.0, most=5, warm_up=0, rows=2))
        assert runner.take(3) == range(19, 22)
        bodies = http.bodies
    assert len(bodies) == 4 + 10 + 5
    assert len(set(bodies)) == len(bodies)
    assert (closed_result.requests, closed_result.errors, closed_result.load) == (10, 0, "2 in flight")
    assert (open_result.requests, open_result.errors, open_result.load) == (5, 0, "1000 a second")
    assert closed_result.server_cpu_ms_per_request is None
    assert closed_result.to_json()["latency"]["count"] == 10


def test_a_profile_is_told_in_parts_and_a_server_that_refuses_goes_on_being_asked():
    runner = Runner(Inputs(photos=(), texts=[b"hat %d" % number for number in range(2000)]))
    load = Load(
        kind=Kind.TEXT, rate=200.0, seconds=1.0, profile=Profile.RAMP, warm_up=0, timeout_s=5.0, deadlines=True
    )
    with ServerThread(REFUSAL) as server:
        result = runner.run(Server(endpoint=server.endpoint), load)
    assert result.requests == result.errors == sum(part.requests for part in result.slices) > 50
    assert result.slices[0].requests < result.slices[-1].requests
    assert result.load == "200 a second, ramp"
    assert b'"deadline"' in server.bodies[0]


def test_a_profile_without_a_rate_is_refused():
    with pytest.raises(InvalidRequestError, match="the profile soak is one of an open loop; give a rate"):
        Load(kind=Kind.TEXT, concurrency=1, profile=Profile.SOAK)
