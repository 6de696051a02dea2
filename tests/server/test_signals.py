"""A signal to stop is heard whatever the main thread does when it comes."""

import os
import signal
import subprocess
import sys

import pytest

from server.signals import StopSignals
from tests.server.conftest import ROOT

# The main thread blocks the signal, so another thread takes it: nothing interrupts the main thread's wait.
_ELSEWHERE = """
import os, signal, sys, threading
from server.signals import StopSignals
with StopSignals() as stop:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])
    threading.Timer(0.2, os.kill, (os.getpid(), {number})).start()
    stop.wait()
print("stopped", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_interrupts_nothing_is_heard(number: signal.Signals) -> None:
    script = _ELSEWHERE.replace("{number}", str(int(number)))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_a_signal_before_the_wait_is_kept() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.wait()


def test_another_signal_does_not_stop() -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGUSR1)
            stop.wait()
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_the_signals_are_given_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1
