"""A simulated server process: the real admission and queue, and callers' threads reduced to their steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.simulation.manager import Manager
from benchmarks.faults.simulation.world import Fault, World
from server.batch_queue import BatchQueue, Call, Ticket
from server.errors import DeadlineError, OverloadError
from server.overload.controller import OverloadController
from server.overload.limit import LIMIT_MIN, AdaptiveLimit
from server.overload.priority import Priority
from server.overload.slot import Slot

METHOD = "/prudence.v1.RecommendationService/Recommend"
LIMIT_MAX = 7
QUEUE_LIMIT = 5
BATCH_LIMIT = 3
TARGET_S = 0.05
JOB_S = (0.001, 0.03)
RAISED: tuple[type[BaseException], ...] = (RuntimeError, MemoryError, SystemExit, KeyboardInterrupt)


@dataclass(frozen=True)
class Job:
    """One search: whose, for what, and by which bundle."""

    number: int
    value: int
    bundle: str


@dataclass(frozen=True)
class Answer:
    """What a search found: for whom, what, and the bundles that its parts are from."""

    number: int
    value: int
    bundles: tuple[str, str]


@dataclass(eq=False)
class Request:
    """One call as its caller sees it."""

    number: int
    value: int
    deadline_s: float
    priority: Priority
    live: bool = True
    result: str = ""
    bundle: str = ""
    slot: Slot | None = None
    ticket: Ticket[Job, Answer] | None = None
    outcome_count: int = 0


Queue = BatchQueue[Job, Answer]


@dataclass(frozen=True)
class Parts:
    """What is simulated; tests plant bugs by putting others in their places."""

    queue: type[Queue] = Queue
    limit: type[AdaptiveLimit] = AdaptiveLimit
    find: Callable[["Process", Job], Answer] = field(
        default=lambda process, job: Answer(job.number, job.value * job.value, (job.bundle, job.bundle))
    )


class Process:
    """Takes requests until it is killed."""

    def __init__(self, world: World, manager: Manager, parts: Parts) -> None:
        """Starts with nothing under way.

        Args:
            world: the schedule.
            manager: says which bundle serves.
            parts: what is simulated.
        """
        self.world = world
        self.manager = manager
        self.alive = True
        self.open: list[Request] = []
        self.limit = parts.limit(TARGET_S, LIMIT_MAX)
        self.queue = parts.queue(limit=QUEUE_LIMIT, batch_limit=BATCH_LIMIT, clock=lambda: world.now_s)
        self._controller = OverloadController(self.limit, None, lambda: world.now_s)
        self._controller.watch_searches(self.queue.expect)
        self._find = parts.find
        self._busy_count = 0
        self._computing = False

    def receive(self, request: Request) -> None:
        """Takes a request from the network."""
        if not self._controller.has_room(METHOD, self._busy_count):
            self._end(request, "OVERLOADED")
            return
        self._busy_count += 1
        self.open.append(request)
        self.world.after(self.world.draw(0.0, 0.004), lambda: self._begin(request))

    def kill(self) -> None:
        """Ends the process at once; whoever waits loses the connection."""
        self.alive = self.manager.alive = False
        for request in self.open:
            if request.live:
                self._end(request, "CONNECTION_LOST")
        self.open.clear()

    def check(self) -> None:
        """Checks what must hold between any two events."""
        waiting, under_way, limit = len(self.queue), self.limit.under_way, self.limit.limit
        if waiting > QUEUE_LIMIT or under_way > LIMIT_MAX or not LIMIT_MIN <= limit <= LIMIT_MAX:
            self.world.report(
                Fault.UNBOUNDED, f"{waiting} searches wait, {under_way} calls under a limit of {limit}"
            )
        if not self._computing and not waiting:
            lost = [each.number for each in self.open if each.ticket and not each.ticket.future.done()]
            if lost:
                self.world.report(Fault.LOST, f"requests {lost} wait for nothing")

    def _begin(self, request: Request) -> None:
        if not self.alive:
            return
        if not request.live:
            self._leave(request)
            return
        remaining_s = request.deadline_s - self.world.now_s
        try:
            request.slot = self._controller.enter(METHOD, request.priority, remaining_s)
        except (OverloadError, DeadlineError) as error:
            self._leave(request, type(error).__name__)
            return
        # One thread plays all of them, so that nobody has to wait for a turn.
        request.slot.give_turn()
        request.slot.turn = None
        request.bundle = self.manager.serving
        job = Job(request.number, request.value, request.bundle)
        ticket = self.queue.add(job, Call(request.deadline_s, lambda: request.live, request.slot))
        if isinstance(ticket, OverloadError):
            self._leave(request, "OVERLOADED")
            return
        request.ticket = ticket
        ticket.future.add_done_callback(lambda future: self._on_done(request))
        self.world.after(max(0.0, remaining_s), lambda: self._give_up(request))
        self._wake()

    def _wake(self) -> None:
        if not self._computing:
            self._computing = True
            self.world.after(0.0, self._compute_next)

    def _compute_next(self) -> None:
        if not self.alive:
            return
        self.queue.run(self.queue.take(), self._compute)
        self._computing = False
        if len(self.queue):
            self._wake()

    def _compute(self, jobs: Sequence[Job]) -> list[Answer | Exception]:
        world = self.world
        if self.alive:
            for job in jobs:
                self._require_wanted(job.number)
        world.counts["batches"] += 1
        # Requests, publications and crashes come meanwhile.
        world.run(world.now_s + len(jobs) * world.draw(*JOB_S))
        if world.happens(0.05):
            raise world.random.choice(RAISED)
        return [
            ValueError("this job fails") if world.happens(0.02) else self._find(self, job) for job in jobs
        ]

    def _require_wanted(self, number: int) -> None:
        request = next((each for each in self.open if each.number == number), None)
        if request is None or not request.live or request.deadline_s <= self.world.now_s:
            self.world.report(Fault.EXPIRED_COMPUTED, f"request {number} is searched for nobody")

    def _give_up(self, request: Request) -> None:
        """Ends the wait of a request's thread at its deadline, as `Ticket.wait` does."""
        if self.alive and request in self.open and request.ticket and not request.ticket.future.done():
            ticket = request.ticket
            self._leave(request, "DEADLINE_EXCEEDED")
            ticket.future.cancel()

    def _on_done(self, request: Request) -> None:
        assert request.ticket is not None
        future = request.ticket.future
        if not self.alive or future.cancelled():
            return
        request.outcome_count += 1
        if request.outcome_count > 1:
            self.world.report(Fault.DUPLICATED, f"request {request.number} has two outcomes")
        if request not in self.open:
            return
        error = future.exception()
        if error is not None:
            self._leave(request, type(error).__name__)
            return
        answer = future.result()
        if (answer.number, answer.value) != (request.number, request.value**2):
            self.world.report(Fault.CROSSED, f"request {request.number} has the answer of {answer.number}")
        if set(answer.bundles) != {request.bundle}:
            self.world.report(
                Fault.MIXED, f"request {request.number}: {answer.bundles}, {request.bundle} began"
            )
        self._leave(request, "OK")

    def _leave(self, request: Request, result: str = "") -> None:
        self._busy_count -= 1
        self.open.remove(request)
        if request.slot is not None:
            self._controller.leave(request.slot, answered=result == "OK")
        if request.live:
            self._end(request, result)

    def _end(self, request: Request, result: str) -> None:
        if request.result:
            self.world.report(Fault.DUPLICATED, f"request {request.number} has {request.result} and {result}")
        request.result = result
        self.world.counts[result] += 1
