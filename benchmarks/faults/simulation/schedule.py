"""One schedule: requests, deadlines, cancellations, failures, publications, orders, crashes, standstills."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.faults.simulation.disk import Bundle, Disk, Flaw
from benchmarks.faults.simulation.manager import Manager
from benchmarks.faults.simulation.process import Parts, Process, Request
from benchmarks.faults.simulation.world import Fault, World
from server.bundles.machine import Machine
from server.bundles.messages import Change, Goal, Order
from server.bundles.state import State
from server.overload.priority import Priority

LENGTH_S = 3.0
SETTLE_S = 30.0
FLAWS = (Flaw.NONE, Flaw.NONE, Flaw.NONE, *Flaw)


@dataclass(frozen=True)
class Played:
    """What a schedule came to: its number, what must never happen and did, and what happened how often."""

    number: int
    faults: tuple[tuple[Fault, str], ...]
    counts: Counter[str]


class Schedule:
    """Draws what happens, and lets it happen."""

    def __init__(
        self, seed: int, number: int, parts: Parts, make_machine: Callable[[State], Machine]
    ) -> None:
        """Draws everything that does not depend on what the server does.

        Args:
            seed: of all schedules.
            number: of this one.
            parts: what is simulated of admission and queue.
            make_machine: makes the bundle machine.
        """
        self.number = number
        self.world = World(f"{seed}/{number}")
        self.disk = Disk(self.world)
        self._parts, self._make_machine = parts, make_machine
        first = Bundle("b0", 10, Flaw.NONE)
        self.disk.bundles["b0"] = first
        self.disk.point("b0")
        self.disk.log.append(Change(Goal.ACTIVATE, first.facts(), "b0"))
        self._requests: list[Request] = []
        self._process: Process | None = self._start()
        self.world.check = self._check
        self._draw()

    def play(self) -> Played:
        """Lets it happen, waits until all is quiet, and checks that nobody was forgotten."""
        world = self.world
        world.run(world.now_s + LENGTH_S + SETTLE_S)
        waiting = [each.number for each in self._requests if each.live and not each.result]
        if waiting:
            world.report(Fault.LOST, f"requests {waiting} were not answered")
        if self._process is not None:
            self._process.manager.finish()
            if self._process.limit.under_way:
                world.report(Fault.UNBOUNDED, f"{self._process.limit.under_way} calls never left")
        return Played(self.number, tuple(world.faults), world.counts)

    def _check(self) -> None:
        if self._process is not None:
            self._process.check()

    def _start(self) -> Process:
        manager = Manager(self.world, self.disk, self._make_machine)
        return Process(self.world, manager, self._parts)

    def _draw(self) -> None:
        world = self.world
        burst_s = world.draw(0.0, LENGTH_S)
        for _ in range(world.random.randrange(20, 120)):
            # Half of them come at once.
            at_s = world.draw(0.0, LENGTH_S) if world.happens(0.5) else burst_s + world.draw(0.0, 0.1)
            world.after(at_s, self._send)
        for share, most, do in (
            (1.0, 4, self._publish),
            (0.6, 3, self._order),
            (0.3, 2, self._crash),
            (0.3, 2, self._stand_still),
        ):
            for _ in range(world.random.randrange(1, most + 1) if world.happens(share) else 0):
                world.after(world.draw(0.0, LENGTH_S), do)

    def _send(self) -> None:
        world = self.world
        patience_s = world.draw(0.001, 0.1) if world.happens(0.4) else 20.0
        number = len(self._requests)
        value, priority = world.random.randrange(1000), world.random.choice(list(Priority))
        request = Request(number, value, world.now_s + patience_s, priority)
        self._requests.append(request)
        if self._process is None:
            request.result = "CONNECTION_LOST"
            return
        self._process.receive(request)
        if world.happens(0.3):
            world.after(world.draw(0.0, 0.1), lambda: self._cancel(request))

    def _cancel(self, request: Request) -> None:
        if not request.result:
            request.live, request.result = False, "CANCELLED"
            self.world.counts["CANCELLED"] += 1

    def _publish(self) -> None:
        world, disk = self.world, self.disk
        named = world.random.choice(list(disk.bundles))
        if world.happens(0.2):
            disk.repair(named)
        elif world.happens(0.2):
            disk.point(named)
        else:
            disk.publish(world.random.randrange(5, 20), world.random.choice(FLAWS))
        world.counts["publications"] += 1

    def _order(self) -> None:
        if self._process is None:
            return
        world = self.world
        version = world.random.choice(["", "unknown", *self.disk.bundles])
        goal = world.random.choice(list(Goal))
        if not version and goal in (Goal.LOAD, Goal.ACTIVATE):
            version = "b0"
        key = world.random.choice(["", "", "key-1"])
        self._process.manager.order(Order(goal, version, allow_worse=world.happens(0.3), key=key))

    def _crash(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process = None
        self.world.counts["crashes"] += 1
        self.world.after(self.world.draw(0.0, 0.5), self._restart)

    def _restart(self) -> None:
        self._process = self._start()

    def _stand_still(self) -> None:
        """Lets the clock jump, as it does for a machine that was suspended."""
        self.world.now_s += self.world.draw(0.01, 2.0)
        self.world.counts["standstills"] += 1


def play(
    seed: int,
    number: int,
    parts: Parts | None = None,
    make_machine: Callable[[State], Machine] = Machine,
) -> Played:
    """Plays one schedule; the same seed and number play the same one again."""
    return Schedule(seed, number, parts or Parts(), make_machine).play()
