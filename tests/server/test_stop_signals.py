"""A signal is noticed whenever it comes, whichever thread the system gives it to."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest
from tritonsmith_build.server.stopping import StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_wait_is_not_missed(number: signal.Signals) -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), number)
        assert select.select([stop], [], [], 10)[0] == [stop]


def test_a_signal_that_another_thread_gets_ends_the_wait() -> None:
    with StopSignals() as stop:
        waiting = threading.Event()

        def signalled() -> None:
            waiting.wait()
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        thread = threading.Thread(target=signalled)
        thread.start()
        waiting.set()
        told = select.select([stop], [], [], 10)[0]
        thread.join()
        assert told == [stop]


def test_a_second_signal_interrupts() -> None:
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_afterwards_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
