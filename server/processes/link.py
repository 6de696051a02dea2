"""The end of the pipes that a supervised process has: it follows the shared logs and has them written."""

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Final

import structlog

from server.errors import OrderUnsureError, ProcessError
from server.followed_log import Refused
from server.processes.wire import (
    Append,
    Appended,
    Follow,
    Followed,
    FromProcess,
    Joining,
    NotAppended,
    Ping,
    Pong,
    Ready,
    read_to_process,
    write,
)

APPEND_S_MAX: Final = 30.0
"""The supervisor ends whoever does not follow long before."""
JOIN_S_MAX: Final = 60.0
_READ_BYTES: Final = 1 << 16

_log = structlog.get_logger("server")


class Link:
    """Speaks with the supervisor. Records may come from any thread; one thread follows."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        """Keeps the descriptors; nothing is read before `read_line` or `start`."""
        self._incoming, self._outgoing = incoming, outgoing
        self._heard = b""
        self._write_lock, self._append_lock = threading.Lock(), threading.Lock()
        self._appends: dict[str, Future[Refused | None]] = {}
        self._follows: queue.SimpleQueue[Follow] = queue.SimpleQueue()
        self._followers: Mapping[str, Callable[[int], None]] = {}
        self._behind: set[str] = set()
        self._joined = threading.Event()
        self._find_batch: Callable[[], int | None] = lambda: None

    def read_line(self) -> bytes:
        """Waits for the next line, past Python's buffer; empty once the supervisor is gone."""
        while b"\n" not in self._heard:
            read = os.read(self._incoming, _READ_BYTES)
            if not read:
                return b""
            self._heard += read
        line, _, self._heard = self._heard.partition(b"\n")
        return line + b"\n"

    def start(self, on_end: Callable[[], None]) -> None:
        """Begins to listen, in a thread of its own; `on_end` is called when the supervisor is gone."""

        def listen() -> None:
            while line := self.read_line():
                self._take(line)
            with self._append_lock:
                lost = [self._appends.pop(log) for log in [*self._appends]]
            for future in lost:
                if future.set_running_or_notify_cancel():
                    future.set_exception(OrderUnsureError("the supervisor ended before it answered"))
            on_end()

        threading.Thread(target=listen, name="supervised", daemon=True).start()

    def join(self, followers: Mapping[str, Callable[[int], None]]) -> None:
        """Returns once this process follows the shared logs, as every process must before it serves.

        Args:
            followers: by log, what brings it into force up to a sequence.

        Raises:
            ProcessError: the supervisor did not answer.
        """
        self._followers, self._behind = followers, set(followers)
        threading.Thread(target=self._follow, name="follower", daemon=True).start()
        self._tell(Joining())
        if followers and not self._joined.wait(JOIN_S_MAX):
            raise ProcessError(f"processes: the supervisor did not answer within {JOIN_S_MAX:.0f} s")

    def tell_ready(self, metrics_address: str, find_batch: Callable[[], int | None]) -> None:
        """Says that this process serves.

        Args:
            metrics_address: where its metrics are read, empty for nowhere.
            find_batch: tells which batch of calls is being computed; the supervisor asks for it ever again.
        """
        self._find_batch = find_batch
        self._tell(Ready(metrics_address))

    def append(self, log: str, after: int, texts: Mapping[str, str]) -> Refused | None:
        """Has a record written, as `Appender` says."""
        future = Future[Refused | None]()
        with self._append_lock:
            if log in self._appends:
                # The answer to one that was given up is to come: it would be taken for this one's.
                return Refused(True, "the supervisor has not answered for the last change")
            self._appends[log] = future
        try:
            self._tell(Append(log, after, texts))
        except OSError as error:
            raise OrderUnsureError("the supervisor is gone") from error
        wait([future], APPEND_S_MAX)
        if future.cancel():
            # If it is written after all, this process follows it like any other.
            raise OrderUnsureError(f"the supervisor did not answer within {APPEND_S_MAX:.0f} s")
        return future.result()

    def _take(self, line: bytes) -> None:
        message = read_to_process(line)
        if isinstance(message, Follow):
            self._follows.put(message)
            return
        if isinstance(message, Ping):
            # This thread waits for nothing but the supervisor. If that is gone, the next line says so.
            with contextlib.suppress(OSError):
                self._tell(Pong(self._find_batch()))
            return
        with self._append_lock:
            future = self._appends.pop(message.log, None)
        awaited = future is not None and future.set_running_or_notify_cancel()
        match message:
            case Appended(log, sequence) if not awaited:
                self._follows.put(Follow(log, sequence))
            case Appended() if future is not None:
                future.set_result(None)
            case NotAppended(_, busy, problem) if future is not None and awaited:
                future.set_result(Refused(busy, problem))

    def _follow(self) -> None:
        while True:
            told = self._follows.get()
            try:
                self._followers[told.log](told.sequence)
            except Exception as error:  # noqa: BLE001 - whatever it is, this process must not go on.
                # It would show what is halted. The one that starts in its place reads the log anew.
                _log.critical("this process cannot follow its supervisor", log=told.log, exc_info=error)
                os._exit(1)
            # Without a supervisor this process drains.
            with contextlib.suppress(OSError):
                self._tell(Followed(told.log, told.sequence))
            self._behind.discard(told.log)
            if not self._behind:
                self._joined.set()

    def _tell(self, message: FromProcess) -> None:
        left = memoryview(write(message))
        with self._write_lock:
            while left:
                left = left[os.write(self._outgoing, left) :]
