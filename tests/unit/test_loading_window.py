from __future__ import annotations

import asyncio
import threading

import pytest

from product_match_client.loading.feeding import AHEAD, feed
from product_match_client.loading.retrying import FIRST_WAIT_S, LONGEST_WAIT_S, Patience, backoff_s
from product_match_client.loading.tasks import run_together
from product_match_client.loading.window import ByteBudget, Window


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def blocked(coroutine):
    """Say whether a coroutine is still waiting after all others had their turn; return its task too."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(10):
        await asyncio.sleep(0)
    return task, not task.done()


def test_the_window_starts_small_and_opens_with_each_round_of_answers():
    async def scenario():
        window = Window(10)
        assert window.limit == 4
        for _ in range(4):
            await window.acquire()
        waiting, is_blocked = await blocked(window.acquire())
        assert is_blocked
        window.succeeded()
        await waiting
        for _ in range(4):
            window.succeeded()
        assert window.limit == 5

    run(scenario())


def test_the_window_never_opens_beyond_its_most():
    async def scenario():
        window = Window(2)
        for _ in range(100):
            await window.acquire()
            window.succeeded()
        assert window.limit == 2

    run(scenario())


def test_requests_that_fail_together_halve_the_window_once():
    async def scenario():
        window = Window(8)
        tickets = [await window.acquire() for _ in range(4)]
        for ticket in tickets:
            window.overloaded(ticket)
        assert window.limit == 2
        for _ in range(5):
            window.overloaded(await window.acquire())
        assert window.limit == 1
        window.succeeded()
        await window.acquire()

    run(scenario())


def test_a_place_goes_to_one_that_still_waits_for_it():
    async def scenario():
        window = Window(1)
        await window.acquire()
        first, _ = await blocked(window.acquire())
        second, _ = await blocked(window.acquire())
        first.cancel()
        await asyncio.sleep(0)
        window.succeeded()
        await second

    run(scenario())


def test_bytes_are_held_within_the_budget():
    async def scenario():
        budget = ByteBudget(100)
        await budget.acquire(60)
        waiting, is_blocked = await blocked(budget.acquire(60))
        assert is_blocked
        await budget.release(60)
        await waiting
        assert budget.held == 60

    run(scenario())


def test_one_photo_larger_than_the_budget_passes_alone():
    async def scenario():
        budget = ByteBudget(100)
        await budget.acquire(500)
        waiting, is_blocked = await blocked(budget.acquire(1))
        assert is_blocked
        await budget.release(500)
        await waiting

    run(scenario())


def test_waits_double_up_to_the_longest_and_are_shortened_by_chance():
    assert [backoff_s(attempt, 0.0) for attempt in (1, 2, 3)] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert backoff_s(10_000, 0.0) == LONGEST_WAIT_S
    assert backoff_s(1, 1.0) == FIRST_WAIT_S / 2


def test_patience_ends_only_without_any_answer():
    now = [0.0]
    patience = Patience(10, 3, clock=lambda: now[0])
    now[0] = 3.0
    assert not patience.exhausted()
    now[0] = 3.1
    assert patience.exhausted()
    patience.answered()
    now[0] = 10.0
    assert not patience.exhausted()
    patience.answered()
    now[0] = 20.0
    assert not patience.exhausted()
    now[0] = 20.1
    assert patience.exhausted()


def test_the_first_failure_ends_the_others():
    async def scenario():
        ended = []

        async def waits():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async def fails():
            raise ValueError("x")

        with pytest.raises(ValueError, match="x"):
            await run_together(waits(), fails(), waits())
        assert ended == [True, True]

    run(scenario())


def test_items_of_a_thread_come_in_order():
    async def scenario():
        return [item async for item in feed(iter(range(5 * AHEAD)))]

    assert run(scenario()) == list(range(5 * AHEAD))


def test_a_failure_in_the_thread_is_raised_in_the_loop():
    def broken():
        yield 1
        raise ValueError("the disk is gone")

    async def scenario():
        seen = []
        with pytest.raises(ValueError, match="the disk is gone"):
            async for item in feed(broken()):
                seen.append(item)  # noqa: PERF401  what came before the failure counts
        return seen

    assert run(scenario()) == [1]


def test_the_thread_does_not_run_ahead():
    taken = []

    def counted():
        for number in range(100 * AHEAD):
            taken.append(number)
            yield number

    async def scenario():
        items = feed(counted())
        async for _ in items:
            break
        await items.aclose()

    run(scenario())
    for thread in threading.enumerate():
        if thread.name == "product-match-reader":
            thread.join(20)
            assert not thread.is_alive()
    assert len(taken) <= 4 * AHEAD


def test_a_thread_whose_loop_has_closed_ends():
    release = threading.Event()

    def slow():
        yield 1
        release.wait(20)
        yield 2

    async def scenario():
        async for _ in feed(slow()):
            return

    run(scenario())
    release.set()
    for thread in threading.enumerate():
        if thread.name == "product-match-reader":
            thread.join(20)
            assert not thread.is_alive()
