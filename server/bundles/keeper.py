"""Runs the bundle manager: one thread watches CURRENT, takes orders, and does what the machine asks for."""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol

import structlog

from server.bundles.machine import FAILED, Machine
from server.bundles.messages import (
    Change,
    Drop,
    Event,
    Examine,
    Examined,
    Facts,
    Failed,
    Finding,
    Keep,
    Kept,
    Open,
    Opened,
    Order,
    Ordered,
    Outcome,
    Pointer,
    PointerRead,
    Reason,
    Refusal,
    Reply,
    Tell,
)

ORDER_COUNT_MAX: Final = 2
"""Each holds one of the four threads that take officers' calls until it is carried out; others need some."""

_CLOSE_S_MAX: Final = 10.0

_log = structlog.get_logger("server")


class Ports(Protocol):
    """What the machine's actions come to. Each call ends with its result or a refusal."""

    def read_pointer(self) -> Pointer | Refusal:
        """Reads CURRENT."""

    def examine(self, version: str) -> Facts | Refusal:
        """Reads the manifest of a bundle, and nothing else."""

    def open(self, facts: Facts) -> tuple[Finding, ...] | Refusal:
        """Opens, warms and judges a bundle, and keeps it until it is dropped or serves."""

    def keep(self, change: Change) -> Refusal | None:
        """Writes a change down and brings it into force."""

    def drop(self, version: str) -> None:
        """Lets go of a bundle that was opened."""

    def tell(self, told: Tell) -> None:
        """Says what happened."""


def play(machine: Machine, ports: Ports, event: Event, reply: Callable[[Reply], None]) -> None:
    """Hands an event to the machine and does all that follows from it."""
    events = deque([event])
    while events:
        for action in machine.handle(events.popleft()):
            match action:
                case Examine(version):
                    events.append(Examined(ports.examine(version)))
                case Open(facts):
                    events.append(Opened(ports.open(facts)))
                case Keep(change):
                    events.append(Kept(ports.keep(change)))
                case Drop(version):
                    ports.drop(version)
                case Tell():
                    ports.tell(action)
                case Reply():
                    reply(action)


class Keeper:
    """Owns the machine and its thread. Orders may come from any thread."""

    def __init__(self, machine: Machine, ports: Ports, poll_s: float) -> None:
        """Keeps what it runs; nothing happens before `start`.

        Args:
            machine: decides.
            ports: do.
            poll_s: seconds between two looks at CURRENT; 0 for none.
        """
        self.machine = machine
        self._ports = ports
        self._poll_s = poll_s
        self._events: queue.SimpleQueue[Ordered | None] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._replies: dict[int, Future[Outcome | Refusal]] = {}
        self._thread = threading.Thread(target=self._loop, name="bundles", daemon=True)

    def start(self) -> None:
        """Begins to look at CURRENT and to take orders."""
        self._thread.start()

    def carry_out(self, order: Order, timeout_s: float) -> Outcome | Refusal:
        """Has an order carried out and waits for its end.

        Raises:
            TimeoutError: it took longer; it goes on all the same.
        """
        number, future = next(self._numbers), Future[Outcome | Refusal]()
        with self._lock:
            if len(self._replies) >= ORDER_COUNT_MAX:
                return Refusal(Reason.BUSY, f"{ORDER_COUNT_MAX} orders wait already; retry later")
            self._replies[number] = future
        self._events.put(Ordered(number, order))
        return future.result(timeout=timeout_s)

    def close(self) -> None:
        """Ends the thread, after what it is at."""
        self._events.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSE_S_MAX)

    def _loop(self) -> None:
        look_s = time.monotonic()
        while True:
            order: Ordered | None = None
            looks = False
            try:
                wait_s = max(0.0, look_s - time.monotonic()) if self._poll_s > 0 else None
                order = self._events.get(timeout=wait_s)
            except queue.Empty:
                look_s, looks = time.monotonic() + self._poll_s, True
            if order is None and not looks:
                for number in [*self._replies]:
                    self._reply(Reply(number, Refusal(Reason.BUSY, "the server is draining")))
                return
            try:
                event = order or PointerRead(time.monotonic(), self._ports.read_pointer())
                play(self.machine, self._ports, event, self._reply)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a bundle does.
                _log.error("the bundle manager failed", exc_info=error)
                play(self.machine, self._ports, Failed(), self._reply)
                if order is not None:
                    self._reply(Reply(order.number, FAILED))

    def _reply(self, reply: Reply) -> None:
        future = self._replies.pop(reply.number, None)
        # What failed may have failed after its order was answered.
        if future is not None:
            future.set_result(reply.result)
