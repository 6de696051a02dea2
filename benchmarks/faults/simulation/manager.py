"""The bundle manager of a simulated process: the real machine, and a thread that may end after any step."""

from collections import deque
from collections.abc import Callable, Generator, Iterator

from benchmarks.faults.simulation.disk import Bundle, Disk
from benchmarks.faults.simulation.world import Fault, World
from server.bundles.machine import WAITING_COUNT_MAX, Machine
from server.bundles.messages import (
    Change,
    Drop,
    Event,
    Examine,
    Examined,
    Finding,
    Keep,
    Kept,
    Open,
    Opened,
    Order,
    Ordered,
    PointerRead,
    Reason,
    Refusal,
    Reply,
)
from server.bundles.state import State

POLL_S = 0.2
STEP_S_MAX = 0.15


class Manager:
    """Takes orders, follows CURRENT, and says which bundle serves."""

    def __init__(self, world: World, disk: Disk, make_machine: Callable[[State], Machine]) -> None:
        """Starts with what the disk says was in force.

        Args:
            world: the schedule.
            disk: what outlives the process.
            make_machine: makes the machine under test.
        """
        self.world = world
        self.disk = disk
        self.machine = make_machine(disk.state())
        self.serving = self.machine.state.serving.version
        self.alive = True
        self._opened: dict[str, Bundle] = {}
        self._inbox: deque[Ordered] = deque()
        self._open_orders: set[int] = set()
        self._number = 0
        self._thread = self._loop()
        self._resume()

    def order(self, order: Order) -> None:
        """Gives an order."""
        self._number += 1
        self._open_orders.add(self._number)
        self._inbox.append(Ordered(self._number, order))

    def finish(self) -> None:
        """Checks that every order was answered."""
        if self._open_orders:
            self.world.report(Fault.LOST, f"orders {sorted(self._open_orders)} were not answered")

    def _resume(self) -> None:
        """Runs the thread up to its next step, unless the process is gone."""
        if not self.alive:
            return
        delay_s = next(self._thread, None)
        if delay_s is not None:
            self.world.after(delay_s, self._resume)

    def _loop(self) -> Iterator[float]:
        """Yields how long each step takes."""
        while True:
            yield POLL_S
            event: Event = PointerRead(self.world.now_s, self.disk.read_pointer())
            yield from self._play(event)
            while self._inbox:
                yield from self._play(self._inbox.popleft())

    def _play(self, event: Event) -> Iterator[float]:
        events = deque([event])
        while events:
            for action in self.machine.handle(events.popleft()):
                yield self.world.draw(0.0, STEP_S_MAX)
                match action:
                    case Examine(version):
                        events.append(Examined(self.disk.examine(version)))
                    case Open(facts):
                        events.append(Opened(self._open(facts.version)))
                    case Keep(change):
                        refusal = yield from self._keep(change)
                        events.append(Kept(refusal))
                    case Drop(version):
                        self._opened.pop(version, None)
                    case Reply(number):
                        self._reply(number)
                self._check()

    def _open(self, version: str) -> tuple[Finding, ...] | Refusal:
        found = self.disk.open(version)
        if isinstance(found, Refusal):
            return found
        self._opened[version] = found
        return self.disk.judge(found)

    def _keep(self, change: Change) -> Generator[float, None, Refusal | None]:
        if self.world.happens(0.1):
            if change.moves:
                self._opened.pop(change.facts.version, None)
            return Refusal(Reason.STATE, "the disk is full")
        if change.moves:
            bundle = self._opened.pop(change.facts.version, None)
            self.disk.require_allowed(change, bundle, self.machine.state)
        self.disk.log.append(change)
        # A crash may come after the write and before the effect: the next start serves it then.
        yield self.world.draw(0.0, STEP_S_MAX)
        if change.moves:
            self.serving = change.facts.version
            self.world.counts["swaps"] += 1
        return None

    def _reply(self, number: int) -> None:
        if number not in self._open_orders:
            self.world.report(Fault.DUPLICATED, f"order {number} was answered twice")
        self._open_orders.discard(number)
        self.world.counts["orders"] += 1

    def _check(self) -> None:
        if len(self.machine._waiting) > WAITING_COUNT_MAX:
            self.world.report(Fault.UNBOUNDED, "orders wait beyond their limit")
