"""The open loop of the fault tests against a small real gRPC server in this process."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.faults.calls import Calls, CpuTimes
from benchmarks.faults.load import Load, LoadOutcome, run_load
from benchmarks.faults.load_client import Stream

STALL_S = 0.4
WAIT_S = 20.0


class Echo:
    """Echoes; waits on b"slow"; refuses b"bad"; stalls every call once, from the tenth on."""

    def __init__(self) -> None:
        self.call_count = 0
        self.gone_count = 0
        self._counting, self._stalled = threading.Lock(), threading.Lock()

    def answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._counting:
            self.call_count += 1
            number = self.call_count
        if request == b"bad":
            context.abort(grpc.StatusCode.UNAVAILABLE, "refused")
        if request == b"slow":
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait(WAIT_S)
            with self._counting:
                self.gone_count += 1
        if request == b"stall":
            with self._stalled:
                if number == 10:
                    time.sleep(STALL_S)
        return request


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def outcome(echo: Echo) -> Iterator[LoadOutcome]:
    server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(echo.answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Echo": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    streams = (
        Stream("kept", (b"a", b"b"), 40.0, stop_s=1.0, keep_answers=True, method="/test.Service/Echo"),
        Stream("bad", (b"bad",), 20.0, stop_s=1.0, method="/test.Service/Echo"),
        Stream(
            "cancelled",
            (b"slow",),
            10.0,
            start_s=0.5,
            stop_s=1.0,
            cancelled_share=1.0,
            cancel_after_s=(0.05, 0.1),
            method="/test.Service/Echo",
        ),
        Stream(
            "late",
            (b"slow",),
            10.0,
            start_s=0.5,
            stop_s=1.0,
            timeout_s=(0.05, 0.1),
            method="/test.Service/Echo",
        ),
    )
    yield run_load(Load(f"127.0.0.1:{port}", streams, client_count=1, seed=3), os.getpid())
    server.stop(None).wait(5)


def test_every_call_of_every_stream_is_accounted_for(outcome: LoadOutcome) -> None:
    assert {name: set(calls.count_reasons()) for name, calls in outcome.calls.items()} == {
        "kept": {"OK"},
        "bad": {"UNAVAILABLE"},
        "cancelled": {"CANCELLED"},
        "late": {"DEADLINE_EXCEEDED"},
    }


def test_answers_are_kept_with_their_requests(outcome: LoadOutcome) -> None:
    assert outcome.calls["kept"].answers == {(0, b"a"), (1, b"b")}


def test_a_cancelled_call_ends_when_it_is_cancelled(outcome: LoadOutcome, echo: Echo) -> None:
    calls = outcome.calls["cancelled"]
    assert (calls.elapsed_s >= 0.05).all()
    # The server hears of it a moment later.
    deadline_s = time.monotonic() + WAIT_S
    while echo.gone_count < calls.count:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_the_seed_draws_the_same_calls_again(outcome: LoadOutcome) -> None:
    calls = outcome.calls["kept"]
    assert np.all(np.diff(calls.intended_s) >= 0)
    assert (calls.late_s >= 0).all()
    # Another number means that a seed no longer replays the load that it stood for.
    assert calls.count == 29


def test_the_server_s_cpu_time_grows(outcome: LoadOutcome) -> None:
    assert outcome.cpu is not None
    assert outcome.cpu.between(0.0, 1.0) > 0


def test_latency_counts_from_the_intended_send() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(Echo().answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Echo": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stream = Stream("stall", (b"stall",), 100.0, stop_s=1.0, method="/test.Service/Echo")
    calls = run_load(Load(f"127.0.0.1:{port}", (stream,), client_count=1)).calls["stall"]
    server.stop(None).wait(5)
    # Calls meant for the time of the stall waited for what was left of it.
    assert np.count_nonzero(calls.elapsed_s > STALL_S / 2) > 5


def test_goodput_counts_answers_in_time_when_they_end() -> None:
    calls = Calls(
        intended_s=np.array([0.0, 0.1, 0.9, 1.5]),
        late_s=np.zeros(4),
        elapsed_s=np.array([0.1, 0.5, 0.3, 0.1]),
        reason=np.array(["OK", "OK", "OK", "OVERLOADED"]),
        request=np.zeros(4, np.int64),
    )
    assert calls.answered_per_s(0.0, 1.0) == 2.0
    assert calls.answered_per_s(0.0, 1.0, within_s=0.2) == 1.0
    assert calls.answered_per_s(1.0, 2.0) == 1.0
    assert calls.between(0.5, 1.0).ended("OK").percentile_ms(50) == pytest.approx(300.0)


def test_cpu_time_between_two_readings_is_interpolated() -> None:
    times = CpuTimes(np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.5, 7.5]))
    assert times.between(0.5, 1.5) == pytest.approx(1.25)


def test_only_this_machine_is_overloaded() -> None:
    with pytest.raises(BenchmarkInputError, match="target"):
        Load("example.com:80", (Stream("a", (b"a",), 1.0),))
