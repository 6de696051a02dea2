"""Waits for callers' messages, and cancels calls whose messages do not come: a call holds a thread meanwhile.

A stream holds its thread for as long as its caller likes, so the time that it may keep that thread waiting is
limited for each message and in all, and a stream beyond the threads is refused at once: nobody can tell when
one of them ends.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import grpc

from server.errors import DeadlineError, MalformedMessageError, OverloadError
from server.processor_share import ProcessorShare

MESSAGE_WAIT_S: Final = 5.0
"""How long a call may hold a thread before its request message is there."""
PRESSED_WAIT_S: Final = 1.0
"""The same, while other calls want a thread."""
STREAM_WAIT_S_MAX: Final = 60.0
"""How long a stream may keep its thread waiting for messages, all of them together."""
STREAM_COUNT_PER_CALLER: Final = 4
"""Streams that one caller may have open, where callers are told apart."""
WATCH_INTERVAL_S: Final = 0.25
SILENT_S: Final = 0.02
"""A call whose message has not come for so much longer than others' is silent: it holds a thread, and does no
work."""
BEHIND_COUNT: Final = 8
"""The last messages that tell how far behind the network thread is: three of four took at least as long."""
BEHIND_S_MAX: Final = 0.5
"""It is taken for no further behind than that, whatever callers do with their messages."""


class CallPool(ThreadPoolExecutor):
    """The threads that take calls; knows how many calls wait for one."""

    def __init__(self, thread_count: int, name: str) -> None:
        super().__init__(max_workers=thread_count, thread_name_prefix=name)
        self.thread_count = thread_count
        self._count_lock = threading.Lock()
        self._waiting_count = 0
        self._busy_count = 0

    @property
    def waiting_count(self) -> int:
        """Number of calls that no thread has taken yet."""
        return self._waiting_count

    @property
    def busy_count(self) -> int:
        """Number of calls that wait or are answered now."""
        return self._busy_count

    @property
    def pressed(self) -> bool:
        """Whether calls want a thread and have none."""
        return self._waiting_count > 0

    def refuses(self, waiting_limit: int) -> bool:
        """Tells whether a further call is to be refused.

        Args:
            waiting_limit: calls that may wait for a thread.
        """
        return self._waiting_count >= waiting_limit

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queues one call."""
        with self._count_lock:
            self._waiting_count += 1
            self._busy_count += 1
        return super().submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._count_lock:
            self._waiting_count -= 1
        try:
            return fn(*args, **kwargs)
        finally:
            with self._count_lock:
                self._busy_count -= 1


class StreamPool(CallPool):
    """The threads that take streams: none waits for a thread."""

    def __init__(self, thread_count: int, name: str) -> None:
        super().__init__(thread_count, name)
        self._refused_s = -MESSAGE_WAIT_S
        self._counts: Counter[str] = Counter()

    @property
    def pressed(self) -> bool:
        """Whether a stream was refused a moment ago."""
        return time.monotonic() - self._refused_s < MESSAGE_WAIT_S

    def refuses(self, waiting_limit: int) -> bool:
        """Tells whether every thread has a stream."""
        full = self.busy_count >= self.thread_count
        if full:
            self._refused_s = time.monotonic()
        return full

    @contextmanager
    def held_by(self, caller: str) -> Iterator[None]:
        """Counts a stream for its caller until the block ends.

        Args:
            caller: name; empty where callers are not told apart.

        Raises:
            OverloadError: the caller has its share of the threads already.
        """
        with self._count_lock:
            if caller and self._counts[caller] >= STREAM_COUNT_PER_CALLER:
                raise OverloadError(f"the caller has {self._counts[caller]} streams open; retry later")
            self._counts[caller] += 1
        try:
            yield
        finally:
            with self._count_lock:
                self._counts[caller] -= 1


class _Awaited(NamedTuple):
    """Since when a call's message is awaited, and whose threads wait."""

    start_s: float
    pool: CallPool


class MessageWatch:
    """Waits for messages on the calls' threads; a thread of its own cancels those that keep them too long."""

    def __init__(self, is_busy: Callable[[], bool] | None = None) -> None:
        """Starts the thread.

        Args:
            is_busy: tells whether this process is; by default its share of a processor does.
        """
        self._is_busy = is_busy or ProcessorShare().is_busy
        self._awaited: dict[grpc.ServicerContext, _Awaited] = {}
        self._waits_s: deque[float] = deque((0.0,), maxlen=BEHIND_COUNT)
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def receive(self, requests: Iterator[Any], context: grpc.ServicerContext, pool: CallPool) -> Any:
        """Returns a call's one message.

        Raises:
            MalformedMessageError: there is none, or it does not parse.
        """
        start_s = time.monotonic()
        request = self._next(requests, context, pool)
        self._waits_s.append(time.monotonic() - start_s)
        if request is None:
            raise MalformedMessageError("expected one request message, got none")
        return request

    @property
    def behind_s(self) -> float:
        """How long three of four messages wait at least for the thread that takes them from the network.

        Nothing where the process is not busy: messages that come late are their callers' doing then, and who
        sent slowly on purpose would have others refused.
        """
        if not self._is_busy():
            return 0.0
        waits_s = sorted(self._waits_s)
        return min(waits_s[len(waits_s) // 4], BEHIND_S_MAX)

    def receive_all(
        self, requests: Iterator[Any], context: grpc.ServicerContext, pool: CallPool
    ) -> Iterator[Any]:
        """Yields a stream's messages.

        Raises:
            DeadlineError: they kept the thread waiting for too long, all of them together.
            MalformedMessageError: one of them does not parse.
        """
        waited_s = 0.0
        while True:
            start_s = time.monotonic()
            request = self._next(requests, context, pool)
            waited_s += time.monotonic() - start_s
            if request is None:
                return
            if waited_s > STREAM_WAIT_S_MAX:
                raise DeadlineError(
                    f"the stream kept its thread waiting for more than {STREAM_WAIT_S_MAX:g} s; "
                    "send fewer and larger messages, or use RecordEvents"
                )
            yield request

    @contextmanager
    def limited(self, context: grpc.ServicerContext, pool: CallPool) -> Iterator[None]:
        """Cancels a call whose caller keeps the thread in this block for too long."""
        self._awaited[context] = _Awaited(time.monotonic(), pool)
        try:
            yield
        finally:
            del self._awaited[context]

    def count_silent(self, pool: CallPool) -> int:
        """Counts the calls on a pool's threads whose messages do not come."""
        # A message that waits for the network thread is not its caller's fault.
        since_s = time.monotonic() - SILENT_S - 2 * self.behind_s
        # A copy is made in one step; other threads change the table meanwhile.
        waits = self._awaited.copy().values()
        return sum(awaited.pool is pool and awaited.start_s < since_s for awaited in waits)

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()

    def _next(self, requests: Iterator[Any], context: grpc.ServicerContext, pool: CallPool) -> Any:
        """Waits for a message while the watch is on; None once the caller has sent its last."""
        self._awaited[context] = _Awaited(time.monotonic(), pool)
        try:
            return require_sound(next(requests, None))
        finally:
            del self._awaited[context]

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_INTERVAL_S):
            now_s = time.monotonic()
            # A copy is made in one step; other threads change the table meanwhile.
            for context, awaited in self._awaited.copy().items():
                patience_s = PRESSED_WAIT_S if awaited.pool.pressed else MESSAGE_WAIT_S
                if now_s - awaited.start_s > patience_s:
                    context.cancel()  # type: ignore[no-untyped-call]


def require_sound(request: Any) -> Any:
    """Returns a message, or raises the error that stands in its place."""
    if isinstance(request, MalformedMessageError):
        raise request
    return request
