"""Decides which bundle serves: a state machine of events and actions, without clock, disk or thread.

One bundle at a time is examined, opened and brought into force; what serves goes on serving meanwhile, and
stays where anything fails. CURRENT is a wish that counts when it changes: what an order brought into force
stays until something else is published.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from server.bundles.messages import (
    PASSING,
    Action,
    Change,
    Drop,
    Event,
    Examine,
    Examined,
    Facts,
    Failed,
    Finding,
    Goal,
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
from server.bundles.state import State, follow

WAITING_COUNT_MAX: Final = 8
RETRY_S_MIN: Final = 2.0
RETRY_S_MAX: Final = 300.0
"""A bundle that may become whole while CURRENT stays is tried again after twice as long each time."""
WATCHER: Final = "watcher"
FAILED: Final = Refusal(Reason.FAILED, "the bundle manager failed; see the log")


@dataclass(slots=True)
class _Task:
    """What is being done: an order, or what CURRENT asks for."""

    goal: Goal
    version: str
    pointer: Pointer | None
    number: int | None = None
    order: Order | None = None
    facts: Facts | None = None
    change: Change | None = None
    unwanted: bool = False  # An order came before the watcher's bundle was ready.

    @property
    def by(self) -> str:
        return WATCHER if self.order is None else self.order.by


@dataclass(slots=True)
class _Trouble:
    """What the watcher refused last, and when it looks at it again."""

    pointer: Pointer | None
    refusal: Refusal
    retry_s: float
    delay_s: float


class Machine:
    """The manager's decisions. Events of one thread go in, actions come out to be done in their order."""

    def __init__(self, state: State) -> None:
        """Begins with what serves."""
        self.state = state
        self.loaded: tuple[Facts, tuple[Finding, ...]] | None = None
        self._task: _Task | None = None
        self._waiting: deque[Ordered] = deque()
        self._pointer: Pointer | None = None
        self._trouble: _Trouble | None = None
        self._now_s = 0.0

    @property
    def current(self) -> str:
        """Version that CURRENT named when it could be read last; empty before that."""
        return "" if self._pointer is None else self._pointer.version

    @property
    def trouble(self) -> Refusal | None:
        """Why what CURRENT names does not serve; None while nothing was refused."""
        return None if self._trouble is None else self._trouble.refusal

    @property
    def busy_with(self) -> str:
        """Version of the bundle that is being worked on; empty for none."""
        return "" if self._task is None else self._task.version

    def handle(self, event: Event) -> list[Action]:
        """Takes an event and returns what is to be done."""
        match event:
            case PointerRead(now_s, read):
                self._now_s = now_s
                return self._look(read)
            case Ordered():
                return self._take(event)
            case Examined(result):
                return self._on_examined(self._current(), result)
            case Opened(result):
                return self._on_opened(self._current(), result)
            case Kept(refusal):
                return self._on_kept(self._current(), refusal)
            case Failed():
                return self._give_up()

    def _current(self) -> _Task:
        assert self._task is not None, "only what was asked for is answered"
        return self._task

    def _look(self, read: Pointer | Refusal) -> list[Action]:
        """Follows CURRENT where it names something new."""
        if isinstance(read, Refusal):
            return self._trouble_with(None, "", read)
        self._pointer = read
        if self._task is not None:
            return []
        if read.version in {self.state.settled, self.state.serving.version}:
            self.state = replace(self.state, settled=read.version)
            self._trouble = None
            return []
        if self.state.pinned or self._waits_for(read):
            return []
        if read.version in self.state.rolled_back:
            problem = f"bundle {read.version} was rolled back from; an order alone activates it again"
            return self._trouble_with(read, read.version, Refusal(Reason.ROLLED_BACK, problem))
        self._task = _Task(Goal.ACTIVATE, read.version, read)
        return [Examine(read.version)]

    def _waits_for(self, read: Pointer) -> bool:
        """Tells whether the same CURRENT was refused, and it is not time to look at it again."""
        trouble = self._trouble
        return trouble is not None and trouble.pointer == read and self._now_s < trouble.retry_s

    def _trouble_with(self, pointer: Pointer | None, version: str, refusal: Refusal) -> list[Action]:
        """Remembers what the watcher refused, and tells of it once."""
        last = self._trouble
        again = last is not None and (last.pointer, last.refusal) == (pointer, refusal)
        delay_s = RETRY_S_MIN
        if last is not None and last.pointer == pointer:
            delay_s = min(2 * last.delay_s, RETRY_S_MAX)
        retry_s = self._now_s + delay_s if refusal.reason in PASSING else float("inf")
        self._trouble = _Trouble(pointer, refusal, retry_s, delay_s)
        return [] if again else [self._tell(Goal.ACTIVATE, version, WATCHER, refusal)]

    def _take(self, event: Ordered) -> list[Action]:
        """Takes an order; it comes before whatever the watcher is at."""
        if len(self._waiting) >= WAITING_COUNT_MAX:
            problem = f"{WAITING_COUNT_MAX} orders wait already; retry later"
            return [Reply(event.number, Refusal(Reason.BUSY, problem))]
        self._waiting.append(event)
        if self._task is None:
            return self._next()
        if self._task.order is None:
            self._task.unwanted = True
        return []

    def _next(self) -> list[Action]:
        """Ends the task, and begins the order that waits longest."""
        self._task = None
        actions: list[Action] = []
        while self._waiting and self._task is None:
            actions += self._begin(self._waiting.popleft())
        return actions

    def _begin(self, event: Ordered) -> list[Action]:
        order, state = event.order, self.state
        if order.key in state.answered:
            return [Reply(event.number, self._repeat(order))]
        serving = state.serving.version
        if order.expected and order.expected != serving:
            problem = f"expected bundle {order.expected} to serve; {serving} does"
            return self._decline(event, Refusal(Reason.MISMATCH, problem))
        version = order.version
        if order.goal is Goal.ROLLBACK and not version:
            if not state.line:
                return self._decline(event, Refusal(Reason.NO_OTHER, "no other bundle served before"))
            version = state.line[-1]
        if order.goal in {Goal.PIN, Goal.UNPIN}:
            change = Change(order.goal, state.serving, state.settled, order)
            self._task = _Task(order.goal, serving, self._pointer, event.number, order, change=change)
            return [Keep(change)]
        if version == serving:
            return [Reply(event.number, Outcome(serving, serving, state.sequence, state.pinned))]
        self._task = _Task(order.goal, version, self._pointer, event.number, order)
        return [Examine(version)]

    def _decline(self, event: Ordered, refusal: Refusal) -> list[Action]:
        order = event.order
        return [Reply(event.number, refusal), self._tell(order.goal, order.version, order.by, refusal)]

    def _repeat(self, order: Order) -> Outcome | Refusal:
        first, outcome = self.state.answered[order.key]
        if first != order:
            return Refusal(Reason.KEY, "the idempotency key came with another order before")
        return replace(outcome, repeated=True)

    def _on_examined(self, task: _Task, result: Facts | Refusal) -> list[Action]:
        if task.unwanted:
            return self._next()
        if isinstance(result, Refusal):
            return self._fail(task, result)
        serving = self.state.serving
        if task.goal is Goal.ACTIVATE and result.created < serving.created:
            problem = (
                f"bundle {result.version} of {result.created.isoformat()} is older than {serving.version}, "
                f"which serves, of {serving.created.isoformat()}; only an order to roll back goes there"
            )
            return self._fail(task, Refusal(Reason.OLDER, problem))
        task.facts = result
        if self.loaded is not None and self.loaded[0] == result:
            return self._on_opened(task, self.loaded[1])
        # What was loaded and is not wanted now makes room.
        return [*self._drop_loaded(), Open(result)]

    def _drop_loaded(self) -> list[Action]:
        if self.loaded is None:
            return []
        version, self.loaded = self.loaded[0].version, None
        return [Drop(version)]

    def _on_opened(self, task: _Task, result: tuple[Finding, ...] | Refusal) -> list[Action]:
        assert task.facts is not None, "what is opened was examined"
        if isinstance(result, Refusal):
            return self._next() if task.unwanted else self._fail(task, result)
        if task.unwanted:
            return [Drop(task.version), *self._next()]
        if task.goal is Goal.LOAD:
            self.loaded = (task.facts, result)
            return [*self._succeed(task, result), *self._next()]
        refusal = _judge(task, result)
        if refusal is not None:
            self.loaded = None
            return [Drop(task.version), *self._fail(task, refusal)]
        settled = self.state.settled if task.pointer is None else task.pointer.version
        task.change = Change(task.goal, task.facts, settled, task.order, result)
        return [Keep(task.change)]

    def _on_kept(self, task: _Task, refusal: Refusal | None) -> list[Action]:
        change = task.change
        assert change is not None, "what was kept was asked for"
        actions: list[Action] = []
        if change.moves:
            # Anything else that was loaded was judged beside the bundle before.
            mine = self.loaded is not None and self.loaded[0] == change.facts
            actions = [] if mine or refusal is not None else self._drop_loaded()
            self.loaded = None if mine else self.loaded
            if refusal is not None:
                actions = [Drop(task.version)]
        if refusal is not None:
            return [*actions, *self._fail(task, refusal)]
        before, self.state = self.state.serving.version, follow(self.state, change)
        self._trouble = None if change.moves else self._trouble
        return [*actions, *self._succeed(task, change.findings, before), *self._next()]

    def _give_up(self) -> list[Action]:
        """Ends the task and every order that waits: whether the next one would fare better nobody knows."""
        task, self._task = self._task, None
        numbers = [event.number for event in self._waiting]
        self._waiting.clear()
        dropped: list[Action] = []
        if task is not None:
            numbers += [] if task.number is None else [task.number]
            kept = self.loaded is not None and self.loaded[0].version == task.version
            dropped = [] if kept else [Drop(task.version)]
        return [*dropped, *(Reply(number, FAILED) for number in numbers)]

    def _succeed(self, task: _Task, findings: tuple[Finding, ...], before: str = "") -> list[Action]:
        state = self.state
        before = before or state.serving.version
        actions: list[Action] = [Tell(task.goal, task.version, task.by, before)]
        if task.number is not None:
            outcome = Outcome(task.version, before, state.sequence, state.pinned, findings)
            actions.append(Reply(task.number, outcome))
        return actions

    def _fail(self, task: _Task, refusal: Refusal) -> list[Action]:
        if task.number is None:
            return [*self._trouble_with(task.pointer, task.version, refusal), *self._next()]
        told: list[Action] = [
            Reply(task.number, refusal),
            self._tell(task.goal, task.version, task.by, refusal),
        ]
        return [*told, *self._next()]

    def _tell(self, goal: Goal, version: str, by: str, refusal: Refusal) -> Tell:
        return Tell(goal, version, by, self.state.serving.version, refusal)


def _judge(task: _Task, findings: tuple[Finding, ...]) -> Refusal | None:
    """Returns why a bundle may not serve, None where it may."""
    allow_worse = task.goal is Goal.ROLLBACK or (task.order is not None and task.order.allow_worse)
    failed = [each for each in findings if not (each.passed or (each.comparative and allow_worse))]
    if not failed:
        return None
    told = "; ".join(map(str, failed))
    reason = Reason.WORSE if all(each.comparative for each in failed) else Reason.UNFIT
    return Refusal(reason, f"bundle {task.version}: {told}")
