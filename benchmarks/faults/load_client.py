"""One client process of a load: sends each call at its time, cancels some, and notes how each ended.

Messages travel as bytes: a client that parsed them would compete with the server for the same cores.
"""

import gc
import heapq
import select
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.errors import BenchmarkInputError
from benchmarks.faults.calls import OK, Calls
from benchmarks.faults.wire import CONNECTION_LOST, NOT_SEEN, Connection, Ended
from benchmarks.load.client import METHOD

CONNECT_TIMEOUT_S: Final = 60.0
CLIENT_LIMIT_REASON: Final = "CLIENT_IN_FLIGHT_LIMIT"
IN_FLIGHT_LIMIT: Final = 8192
"""Calls of one client that may be under way; one more is not sent, and counted as such."""
CALL_COUNT_MAX: Final = 2_000_000


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
    sender = _Sender(target, sent)
    sender.connect()
    # A collection would make calls late, and this process ends soon.
    gc.disable()
    ready.wait(timeout=CONNECT_TIMEOUT_S)
    sender.send_all(start.value)
    reports.put({part.stream.name: part.calls() for part in sent})


class _Sender:
    """Sends, cancels and gives up calls at their times, and reads between; connects again when it must."""

    def __init__(self, target: str, sent: list[_Sent]) -> None:
        self._target = target
        self._sent = sent
        self._start_s = 0.0
        self._connections: dict[int, Connection] = {}  # By file descriptor.
        self._readable = select.epoll()
        # By file descriptor and HTTP/2 stream: the stream of the load and the number of the call in it.
        self._under_way: dict[_Key, tuple[int, int]] = {}
        self._actions = _list_actions(sent)

    def connect(self) -> Connection:
        """Returns a connection that takes calls, a new one if need be.

        Raises:
            OSError: nobody listens.
        """
        for connection in self._connections.values():
            if connection.takes_calls:
                return connection
        made = Connection(self._target, CONNECT_TIMEOUT_S)
        self._connections[made.socket.fileno()] = made
        self._readable.register(made.socket, select.EPOLLIN)
        return made

    def send_all(self, start_s: float) -> None:
        """Does everything in the order of time, until the last call has ended; every call has a deadline.

        Args:
            start_s: instant of time.monotonic() that the times count from.
        """
        self._start_s = start_s
        heapq.heapify(self._actions)
        while self._actions or self._under_way:
            now_s = time.monotonic() - self._start_s
            wait_s = self._actions[0].at_s - now_s if self._actions else CONNECT_TIMEOUT_S
            for descriptor, _ in self._readable.poll(max(0.0, wait_s)):
                self._read(descriptor)
            now_s = time.monotonic() - self._start_s
            while self._actions and self._actions[0].at_s <= now_s:
                self._do(heapq.heappop(self._actions))
        for connection in self._connections.values():
            connection.close()

    def _read(self, descriptor: int) -> None:
        connection = self._connections[descriptor]
        for ended in connection.read():
            self._end((descriptor, ended.stream), ended)
        if connection.is_done:
            self._readable.unregister(descriptor)
            del self._connections[descriptor]
            connection.close()

    def _do(self, action: "_Action") -> None:
        if action.ends is None:
            part = self._sent[action.part]
            part.late_s[action.number] = time.monotonic() - self._start_s - part.intended_s[action.number]
            self._send(action.part, action.number)
        elif self._under_way.get(action.key) == (action.part, action.number):
            descriptor, stream = action.key
            self._connections[descriptor].cancel(stream)
            self._end(action.key, Ended(stream, action.ends, b""))

    def _send(self, part: int, number: int) -> None:
        calls = self._sent[part]
        if len(self._under_way) >= IN_FLIGHT_LIMIT:
            # Waiting here would turn the open loop into a closed one.
            calls.end(number, self._start_s, CLIENT_LIMIT_REASON)
            return
        sent_s = float(calls.intended_s[number] + calls.late_s[number])
        end_s = sent_s + float(calls.timeout_s[number])
        request = calls.stream.requests[calls.request[number]]
        try:
            connection = self.connect()
            left_s = end_s - (time.monotonic() - self._start_s)
            stream = connection.send(connection.head(calls.stream.method), request, left_s)
        except OSError:
            calls.end(number, self._start_s, CONNECTION_LOST)
            return
        key = connection.socket.fileno(), stream
        self._under_way[key] = (part, number)
        heapq.heappush(self._actions, _Action(end_s, part, number, "DEADLINE_EXCEEDED", key))
        if calls.cancel_s[number] < np.inf:
            cancel_s = sent_s + float(calls.cancel_s[number])
            heapq.heappush(self._actions, _Action(cancel_s, part, number, "CANCELLED", key))

    def _end(self, key: "_Key", ended: Ended) -> None:
        known = self._under_way.pop(key, None)
        if known is None:
            return
        part, number = known
        if ended.reason == NOT_SEEN:
            self._send(part, number)
            return
        calls = self._sent[part]
        calls.end(number, self._start_s, ended.reason)
        if ended.reason == OK and calls.stream.keep_answers:
            calls.answers.add((int(calls.request[number]), ended.answer))


_Key = tuple[int, int]


class _Action(NamedTuple):
    """What is done at a time: a call is sent, or ended by the client for a reason."""

    at_s: float
    part: int
    number: int
    ends: str | None = None
    key: _Key = (0, 0)


def _list_actions(sent: list[_Sent]) -> list[_Action]:
    """Lists the sends of all streams."""
    return [
        _Action(at_s, part, number)
        for part, calls in enumerate(sent)
        for number, at_s in enumerate(calls.intended_s.tolist())
    ]
