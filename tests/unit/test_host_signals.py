"""Stop signals interrupt the caller's code, and are only remembered where the stack does its own work."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from product_match.host.signals import STOP_SIGNALS, StopSignals


@pytest.fixture
def signals():
    taken = StopSignals()
    taken.install()
    yield taken
    taken.restore()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_interrupts_the_callers_code(signals, number):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert signals.requested


def test_inside_the_stacks_own_work_it_is_remembered(signals):
    with signals.deferred():
        with signals.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(5.0)
    assert signals.requested
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    signals = StopSignals()
    signals.install()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    signals.restore()
    signals.restore()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals()
    thread = threading.Thread(target=signals.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not signals.requested
