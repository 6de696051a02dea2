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
    Prepare,
    Prepared,
    Ready,
    Release,
    read_to_process,
    write,
)

APPEND_S_MAX: Final = 30.0
"""The supervisor ends whoever does not follow long before."""
PREPARE_S_MAX: Final = 90.0
"""The supervisor gives it up before (`preparations.py`)."""
JOIN_S_MAX: Final = 60.0
_READ_BYTES: Final = 1 << 16

_log = structlog.get_logger("server")


class Link:
    """Speaks with the supervisor. Records may come from any thread; one thread follows, one prepares."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        """Keeps the descriptors; nothing is read before `read_line` or `start`."""
        self._incoming, self._outgoing = incoming, outgoing
        self._heard = b""
        self._write_lock, self._asked_lock = threading.Lock(), threading.Lock()
        self._asked: dict[tuple[str, str], Future[Refused | None]] = {}
        self._follows: queue.SimpleQueue[Follow] = queue.SimpleQueue()
        self._prepares: queue.SimpleQueue[Prepare | Release] = queue.SimpleQueue()
        self._followers: Mapping[str, Callable[[int], None]] = {}
        self._preparers: Mapping[str, Callable[[Mapping[str, str] | None], None]] = {}
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
            with self._asked_lock:
                lost = [self._asked.pop(key) for key in [*self._asked]]
            for future in lost:
                if future.set_running_or_notify_cancel():
                    future.set_exception(OrderUnsureError("the supervisor ended before it answered"))
            on_end()

        threading.Thread(target=listen, name="supervised", daemon=True).start()

    def join(
        self,
        followers: Mapping[str, Callable[[int], None]],
        preparers: Mapping[str, Callable[[Mapping[str, str] | None], None]],
    ) -> None:
        """Returns once this process follows the shared logs, as every process must before it serves.

        Args:
            followers: by log, what brings it into force up to a sequence.
            preparers: by log, what prepares for a record; told None it lets go of what it keeps for one.

        Raises:
            ProcessError: the supervisor did not answer.
        """
        self._followers, self._behind, self._preparers = followers, set(followers), preparers
        threading.Thread(target=self._follow, name="follower", daemon=True).start()
        # A thread of its own: a halt waits for no compilation.
        threading.Thread(target=self._prepare, name="preparer", daemon=True).start()
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

    def append(
        self, log: str, after: int, texts: Mapping[str, str], *, follows: bool = False
    ) -> Refused | None:
        """Has a record written, as `Appender` says."""
        return self._ask(Append(log, after, texts, follows), APPEND_S_MAX)

    def prepare(self, log: str, texts: Mapping[str, str]) -> Refused | None:
        """Has every process prepare, as `Appender` says."""
        return self._ask(Prepare(log, texts), PREPARE_S_MAX)

    def release(self, log: str) -> None:
        """Ends what was prepared for, as `Appender` says."""
        # Without a supervisor this process drains.
        with contextlib.suppress(OSError):
            self._tell(Release(log))

    def _ask(self, asked: Append | Prepare, wait_s: float) -> Refused | None:
        key, future = (asked.kind, asked.log), Future[Refused | None]()
        with self._asked_lock:
            if key in self._asked:
                # The answer to one that was given up is to come: it would be taken for this one's.
                return Refused(True, "the supervisor has not answered for the last change")
            self._asked[key] = future
        try:
            self._tell(asked)
        except OSError as error:
            raise OrderUnsureError("the supervisor is gone") from error
        wait([future], wait_s)
        if future.cancel():
            # If it is written after all, this process follows it like any other.
            raise OrderUnsureError(f"the supervisor did not answer within {wait_s:.0f} s")
        return future.result()

    def _take(self, line: bytes) -> None:
        message = read_to_process(line)
        match message:
            case Follow():
                self._follows.put(message)
            case Ping():
                # This thread waits for nothing but the supervisor. If that is gone, the next line says so.
                with contextlib.suppress(OSError):
                    self._tell(Pong(self._find_batch()))
            case Prepare() | Release():
                self._prepares.put(message)
            case Appended() | NotAppended() | Prepared():
                self._take_answer(message)

    def _take_answer(self, message: Appended | NotAppended | Prepared) -> None:
        asked = "prepare" if isinstance(message, Prepared) else "append"
        with self._asked_lock:
            future = self._asked.pop((asked, message.log), None)
        awaited = future is not None and future.set_running_or_notify_cancel()
        if future is None or not awaited:
            match message:
                case Appended(log, sequence):
                    self._follows.put(Follow(log, sequence))
                case Prepared(log, busy=False, problem=""):
                    self.release(log)
            return
        match message:
            case Appended() | Prepared(busy=False, problem=""):
                future.set_result(None)
            case NotAppended(busy=busy, problem=problem) | Prepared(busy=busy, problem=problem):
                future.set_result(Refused(busy, problem))

    def _prepare(self) -> None:
        while True:
            told = self._prepares.get()
            prepare = self._preparers[told.log]
            if isinstance(told, Release):
                prepare(None)
                continue
            problem = ""
            try:
                prepare(told.texts)
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing has changed, and nothing will.
                _log.error("this process cannot prepare for a change", log=told.log, exc_info=error)
                problem = f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):
                self._tell(Prepared(told.log, told.number, problem=problem))

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
