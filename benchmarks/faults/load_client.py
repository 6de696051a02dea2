"""One client process of a load: sends each call at its time, cancels some, and notes how each ended.

Messages travel as bytes: a client that parsed them would compete with the server for the same cores.
"""

import functools
import gc
import threading
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np

from benchmarks.errors import BenchmarkInputError
from benchmarks.faults.calls import OK, Calls
from benchmarks.load.client import MESSAGE_BYTES_MAX, METHOD, read_reason

CONNECT_TIMEOUT_S: Final = 60.0
CLIENT_LIMIT_REASON: Final = "CLIENT_IN_FLIGHT_LIMIT"
IN_FLIGHT_LIMIT: Final = 8192
"""Calls of one client that may be under way; one more is not sent, and counted as such."""
CALL_COUNT_MAX: Final = 2_000_000

if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Future = grpc.Future[bytes]
    Method = grpc.UnaryUnaryMultiCallable[bytes, bytes]


@dataclass(frozen=True)
class Stream:
    """Calls of one kind, at Poisson times.

    Attributes:
        name: what the calls are found under afterwards.
        requests: serialized messages to draw from, with replacement.
        rate: calls each second over all clients.
        start_s, stop_s: the part of the run in which they are sent.
        timeout_s: least and greatest deadline; each call's is drawn evenly between them.
        cancelled_share: of the calls, how many are cancelled by the client.
        cancel_after_s: least and greatest time from the send to the cancellation.
        method: full name.
        keep_answers: whether to keep every distinct answer.
    """

    name: str
    requests: tuple[bytes, ...]
    rate: float
    start_s: float = 0.0
    stop_s: float = 10.0
    timeout_s: tuple[float, float] = (10.0, 10.0)
    cancelled_share: float = 0.0
    cancel_after_s: tuple[float, float] = (0.0, 0.0)
    method: str = METHOD
    keep_answers: bool = False

    def __post_init__(self) -> None:
        if not self.requests or not 0 < self.rate * (self.stop_s - self.start_s) <= CALL_COUNT_MAX:
            raise BenchmarkInputError(
                f"stream {self.name}: expected requests, and 1 to {CALL_COUNT_MAX} calls"
            )


class _Sent:
    """The calls of one stream of one client, drawn beforehand and filled in as they end."""

    def __init__(self, stream: Stream, client_count: int, random: np.random.Generator) -> None:
        rate, length_s = stream.rate / client_count, stream.stop_s - stream.start_s
        count = int(random.poisson(rate * length_s))
        self.stream = stream
        self.intended_s = stream.start_s + np.sort(random.uniform(0.0, length_s, count))
        self.request = random.integers(len(stream.requests), size=count)
        self.timeout_s = random.uniform(*stream.timeout_s, size=count)
        cancelled = random.uniform(size=count) < stream.cancelled_share
        self.cancel_s = np.where(cancelled, random.uniform(*stream.cancel_after_s, size=count), np.inf)
        self.late_s = np.zeros(count)
        self.elapsed_s = np.zeros(count)
        self.reason = [""] * count
        self.answers: set[tuple[int, bytes]] = set()

    def end(self, number: int, start_s: float, reason: str) -> None:
        """Notes how a call ended."""
        self.elapsed_s[number] = time.monotonic() - start_s - self.intended_s[number]
        self.reason[number] = reason

    def calls(self) -> Calls:
        """Returns the columns."""
        return Calls(
            self.intended_s,
            self.late_s,
            self.elapsed_s,
            np.array(self.reason, dtype=np.str_),
            self.request,
            frozenset(self.answers),
        )


def run_streams(
    target: str,
    streams: tuple[Stream, ...],
    share: tuple[int, int, int],
    ready: Barrier,
    start: Any,
    reports: "Queue[dict[str, Calls]]",
) -> None:
    """Connects, waits for the other clients, sends this client's share of every stream and reports.

    Args:
        target: `host:port`.
        streams: what all clients send together.
        share: seed of the run, number of this client, number of clients.
        ready: passed by all clients together.
        start: multiprocessing value; the instant of time.monotonic() at which the run starts.
        reports: where the report goes.
    """
    seed, client, client_count = share
    sent = [
        _Sent(stream, client_count, np.random.default_rng([seed, client, number]))
        for number, stream in enumerate(streams)
    ]
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(target, options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=CONNECT_TIMEOUT_S)
        # A collection would make calls late, and this process ends soon.
        gc.disable()
        ready.wait(timeout=CONNECT_TIMEOUT_S)
        _Sender(channel, sent, start.value).send_all()
    reports.put({part.stream.name: part.calls() for part in sent})


class _Sender:
    """Sends and cancels calls at their times."""

    def __init__(self, channel: grpc.Channel, sent: list[_Sent], start_s: float) -> None:
        self._sent = sent
        self._start_s = start_s
        self._methods: list[Method] = [
            channel.unary_unary(part.stream.method, request_serializer=None, response_deserializer=None)
            for part in sent
        ]
        self._under_way: dict[tuple[int, int], Future] = {}
        self._slots = threading.BoundedSemaphore(IN_FLIGHT_LIMIT)

    def send_all(self) -> None:
        """Goes through everything that is to be done, in the order of time, and waits for the last call."""
        for at_s, stream, number, cancels in _list_actions(self._sent):
            wait_s = self._start_s + at_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            if cancels:
                future = self._under_way.get((stream, number))
                if future is not None:
                    future.cancel()
            else:
                self._send(stream, number)
        patience_s = max(part.stream.timeout_s[1] for part in self._sent) + CONNECT_TIMEOUT_S
        for _ in range(IN_FLIGHT_LIMIT):  # Every call has a deadline, so every slot comes back.
            self._slots.acquire(timeout=patience_s)

    def _send(self, stream: int, number: int) -> None:
        part = self._sent[stream]
        part.late_s[number] = time.monotonic() - self._start_s - part.intended_s[number]
        if not self._slots.acquire(blocking=False):
            # Waiting here would turn the open loop into a closed one.
            part.end(number, self._start_s, CLIENT_LIMIT_REASON)
            return
        request = part.stream.requests[part.request[number]]
        future = self._methods[stream].future(request, timeout=float(part.timeout_s[number]))
        if part.cancel_s[number] < np.inf:
            self._under_way[stream, number] = future
        future.add_done_callback(functools.partial(self._end, stream, number))

    def _end(self, stream: int, number: int, future: "Future") -> None:
        part = self._sent[stream]
        error = None if future.cancelled() else future.exception()
        if future.cancelled():
            reason = "CANCELLED"
        elif error is None:
            reason = OK
            if part.stream.keep_answers:
                part.answers.add((int(part.request[number]), future.result()))
        else:
            assert isinstance(error, grpc.RpcError)
            reason = read_reason(error)
        part.end(number, self._start_s, reason)
        self._under_way.pop((stream, number), None)
        self._slots.release()


def _list_actions(sent: list[_Sent]) -> list[tuple[float, int, int, bool]]:
    """Lists sends and cancellations by time: when, the stream, the call, and whether it is cancelled."""
    actions = []
    for stream, part in enumerate(sent):
        for number, (at_s, after_s) in enumerate(
            zip(part.intended_s.tolist(), part.cancel_s.tolist(), strict=True)
        ):
            actions.append((at_s, stream, number, False))
            if after_s < np.inf:
                actions.append((at_s + after_s, stream, number, True))
    return sorted(actions)
