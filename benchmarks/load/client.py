"""One client process: sends requests in a closed or an open loop and times the answers.

Messages travel as bytes: a client that parsed every answer would compete with the server for the same cores.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING

import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from benchmarks.load.plan import IN_FLIGHT_LIMIT, ClientReport, LoadPlan

METHOD = "/prudence.v1.RecommendationService/Recommend"
CONNECT_TIMEOUT_S = 30.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024

if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Call = grpc.UnaryUnaryMultiCallable[bytes, bytes]
    Future = grpc.Future[bytes]


def run_client(plan: LoadPlan, client: int, ready: Barrier, reports: "Queue[ClientReport]") -> None:
    """Connects, waits for the other clients, runs the plan's share and reports.

    Args:
        plan: the run, the same for every client.
        client: this client's number, from 0.
        ready: passed by all clients together, so that they send at the same time.
        reports: where the report goes.
    """
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(plan.target, options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=CONNECT_TIMEOUT_S)
        call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
        run = _run_closed if plan.mode == "closed" else _run_open
        random = np.random.default_rng([plan.seed, client])
        ready.wait(timeout=CONNECT_TIMEOUT_S)
        reports.put(run(plan, client, call, random))


class _Tally:
    """Collects latencies and errors from several threads."""

    def __init__(self, *, keep_answers: bool) -> None:
        self.latencies_s: list[float] = []
        self.answers: set[tuple[int, bytes]] = set()
        self._keep_answers = keep_answers
        self.errors: Counter[str] = Counter()
        self.end_s = 0.0
        self._lock = threading.Lock()

    def add(self, intended_s: float, request: int, answer: bytes) -> None:
        now = time.monotonic()
        with self._lock:
            self.end_s = max(self.end_s, now)
            self.latencies_s.append(now - intended_s)
            if self._keep_answers:
                self.answers.add((request, answer))

    def add_error(self, error: grpc.RpcError) -> None:
        now = time.monotonic()
        with self._lock:
            self.end_s = max(self.end_s, now)
            self.errors[read_reason(error)] += 1

    def report(self, start_s: float) -> ClientReport:
        end_s = max(self.end_s, start_s)
        answers = frozenset(self.answers)
        return ClientReport(tuple(self.latencies_s), dict(self.errors), start_s, end_s, answers)


def _run_closed(plan: LoadPlan, client: int, call: "Call", random: np.random.Generator) -> ClientReport:
    caller_count = _share(plan.concurrency, plan.client_count, client)
    request_count = _share(plan.request_count_max, plan.client_count, client)
    tally = _Tally(keep_answers=plan.keep_answers)
    start_s = time.monotonic()

    def loop(caller: int, draws: np.random.Generator) -> None:
        for _ in range(_share(request_count, caller_count, caller)):
            sent_s = time.monotonic()
            if sent_s - start_s >= plan.duration_s:
                return
            request = int(draws.integers(len(plan.requests)))
            try:
                answer = call(plan.requests[request], timeout=plan.timeout_s)
            except grpc.RpcError as error:
                tally.add_error(error)
            else:
                tally.add(sent_s, request, answer)

    seeds = random.spawn(caller_count) if caller_count else []
    threads = [threading.Thread(target=loop, args=(caller, draws)) for caller, draws in enumerate(seeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally.report(start_s)


def _run_open(plan: LoadPlan, client: int, call: "Call", random: np.random.Generator) -> ClientReport:
    rate = plan.rate / plan.client_count
    count_max = _share(plan.request_count_max, plan.client_count, client)
    expected = min(count_max, int(rate * plan.duration_s * 1.5) + 20)
    offsets = np.cumsum(random.exponential(1.0 / rate, size=expected))  # [expected] seconds
    offsets = offsets[offsets < plan.duration_s]
    draws = random.integers(len(plan.requests), size=offsets.size)
    tally = _Tally(keep_answers=plan.keep_answers)
    slots = threading.BoundedSemaphore(IN_FLIGHT_LIMIT)
    start_s = time.monotonic()
    for offset, draw in zip(offsets.tolist(), draws.tolist(), strict=True):
        intended_s = start_s + offset
        wait_s = intended_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        if not slots.acquire(blocking=False):
            # Waiting here would turn the open loop into a closed one.
            tally.errors["CLIENT_IN_FLIGHT_LIMIT"] += 1
            continue
        future = call.future(plan.requests[draw], timeout=plan.timeout_s)
        future.add_done_callback(_finisher(tally, slots, intended_s, draw))
    for _ in range(IN_FLIGHT_LIMIT):  # Every call has a deadline, so every slot comes back.
        slots.acquire(timeout=plan.timeout_s + CONNECT_TIMEOUT_S)
    return tally.report(start_s)


def _finisher(
    tally: _Tally, slots: threading.BoundedSemaphore, intended_s: float, request: int
) -> "Callable[[Future], None]":
    def finish(future: "Future") -> None:
        error = future.exception()
        assert error is None or isinstance(error, grpc.RpcError)
        if error is None:
            tally.add(intended_s, request, future.result())
        else:
            tally.add_error(error)
        slots.release()

    return finish


def read_reason(error: grpc.RpcError) -> str:
    """Returns the reason in the error's google.rpc.ErrorInfo, or the name of its status code without one."""
    assert isinstance(error, grpc.Call), f"a failed call is no grpc.Call but {type(error).__name__}"
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is not None and any(detail.Unpack(info) for detail in status.details):
        return str(info.reason)
    return str(error.code().name)


def _share(total: int, parts: int, part: int) -> int:
    """Returns part number `part` of a total divided into near-equal whole parts."""
    return total // parts + (1 if part < total % parts else 0)
