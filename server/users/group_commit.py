"""Group commit: one thread writes whatever arrived while the last transaction became durable."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from server.errors import RequestError, StoreRowError, StoreWriteError

GROUP_COUNT_MAX: Final = 256
WAITING_COUNT_MAX: Final = 10_000
WAIT_S_MAX: Final = 30.0

Connection = TypeVar("Connection")
Result = TypeVar("Result")

_Entry = tuple[Callable[[Connection], object], "Future[object]"]


class GroupWriter(Generic[Connection]):
    """Owns the queue of writes and the thread that makes them durable, many in one transaction."""

    def __init__(self, transact: Callable[[Callable[[Connection], None]], None]) -> None:
        """Starts the thread.

        Args:
            transact: runs a function inside one transaction and returns once it is durable; where it raises,
                nothing of the transaction is kept, as far as is known.
        """
        self._transact = transact
        self._queue: deque[_Entry[Connection]] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    def run(self, write: Callable[[Connection], Result]) -> Result:
        """Runs one write and returns its result once that is durable.

        Args:
            write: writes inside the transaction; if it raises a RequestError or a StoreRowError, it has
                written nothing.

        Raises:
            RequestError, StoreRowError: the write refused; nothing was written.
            StoreWriteError: the store cannot be written, or too many writes wait.
        """
        future: Future[object] = Future()
        with self._changed:
            if not self._open or len(self._queue) >= WAITING_COUNT_MAX:
                raise StoreWriteError("too many changes wait, or the store is closing; retry later")
            self._queue.append((write, future))
            self._changed.notify()
        try:
            return future.result(WAIT_S_MAX)  # type: ignore[return-value]
        except TimeoutError as error:
            raise StoreWriteError(
                "the store took too long; whether the change was made is not known"
            ) from error

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout=WAIT_S_MAX)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._open:
                    self._changed.wait()
                if not self._queue:
                    return
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_COUNT_MAX))]
            self._write(taken)

    def _write(self, entries: Sequence[_Entry[Connection]]) -> None:
        """Writes entries in one transaction; where it fails as a whole, each in one of its own."""
        outcomes: list[object] = []

        def run_all(connection: Connection) -> None:
            outcomes.clear()
            for write, _ in entries:
                try:
                    outcomes.append(write(connection))
                except (RequestError, StoreRowError) as refusal:
                    outcomes.append(refusal)

        try:
            self._transact(run_all)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a write does.
            if len(entries) > 1:
                for entry in entries:
                    self._write([entry])
                return
            entries[0][1].set_exception(error)
            return
        for (_, future), outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
