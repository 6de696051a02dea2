"""Jobs that wait to be computed: who may join, who is next, who is dropped, and whose each outcome is.

A state machine over an injected clock, without threads of its own: `batching.Batcher` gives it one, and the
simulation in `benchmarks/faults/simulation` runs it through schedules that no real thread would meet.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from server.errors import CancelledError, DeadlineError, OverloadError
from server.overload.priority import Priority
from server.overload.quantile import RecentQuantile
from server.overload.slot import Slot

BATCH_LIMIT: Final = 64
WAIT_S_MAX: Final = 60.0

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
Compute = Callable[[Sequence[Job]], Sequence[Outcome | Exception]]
Observe = Callable[[str, Priority], None]
"""Told of each refusal and drop: why, and of which class."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a caller: a monotonic deadline, whether anybody still waits, and the call's slot."""

    deadline_s: float
    is_live: Callable[[], bool]
    slot: Slot = field(default_factory=Slot)

    def remaining_s(self) -> float:
        """Returns how long an answer is worth waiting for."""
        return self.deadline_s - time.monotonic()

    def check(self) -> None:
        """Tells whether the next stage is worth beginning.

        Raises:
            CancelledError: nobody waits for the answer any more.
            DeadlineError: the deadline has passed.
        """
        if not self.is_live():
            raise CancelledError("the call was cancelled")
        if self.remaining_s() <= 0:
            raise DeadlineError("the deadline passed before the answer was ready")


@dataclass(slots=True)
class Ticket(Generic[Job, Outcome]):
    """A job in the queue; becomes an outcome or an error."""

    job: Job
    call: Call
    submitted_s: float
    queued_s: float = 0.0
    future: "Future[Outcome]" = field(default_factory=Future)

    def wait(self) -> Outcome:
        """Waits for the outcome.

        Raises:
            DeadlineError: the caller's deadline passed first.
            CancelledError: the outcome is there, and nobody waits for what would be made of it.
            ServerError: whatever the computation raised for this job.
        """
        self.call.slot.give_turn()
        start_s = time.monotonic()
        try:
            outcome = self.future.result(timeout=max(0.0, self.call.remaining_s()))
        except TimeoutError as error:
            # The compute thread drops a cancelled future's job if it has not begun.
            self.future.cancel()
            raise DeadlineError("the deadline passed before the answer was ready") from error
        finally:
            self.call.slot.searching_s += time.monotonic() - start_s
            self.call.slot.take_turn()
        self.call.check()
        return outcome

    def fail(self, error: Exception) -> None:
        """Ends the job with an error, unless its caller gave up already."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class BatchQueue(Generic[Job, Outcome]):
    """The queue: one line for each class, the highest first."""

    def __init__(
        self,
        *,
        limit: int,
        batch_limit: int = BATCH_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        observe: Observe | None = None,
    ) -> None:
        """Starts empty.

        Args:
            limit: jobs that may wait.
            batch_limit: jobs computed together.
            clock: seconds that never go back.
            observe: told of refusals and drops; None for nobody.
        """
        self._limit = limit
        self._batch_limit = batch_limit
        self._clock = clock
        self._observe: Observe = observe or (lambda reason, priority: None)
        self._lines: dict[Priority, deque[Ticket[Job, Outcome]]] = {each: deque() for each in Priority}
        self._job_s = RecentQuantile()
        self._running_count = 0
        self._running_since_s = 0.0

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def add(self, job: Job, call: Call) -> Ticket[Job, Outcome] | OverloadError:
        """Queues a job; once the queue is full it takes the place of one of a lower class, or is refused."""
        priority = call.slot.priority
        if len(self) >= self._limit and not self._displace(priority):
            self._observe("queue", priority)
            return OverloadError(f"{self._limit} requests wait already; retry later")
        ticket: Ticket[Job, Outcome] = Ticket(job, call, self._clock())
        self._lines[priority].append(ticket)
        return ticket

    def expect(self, priority: Priority | None) -> float:
        """Estimates the seconds until a job that came now would be computed.

        Args:
            priority: its class; None for a job that nothing is ahead of.
        """
        now_s = self._clock()
        job_s = self._job_s.read(now_s)
        if priority is None:
            return job_s
        ahead = sum(len(line) for each, line in self._lines.items() if each <= priority)
        running_s = self._running_count * job_s - (now_s - self._running_since_s)
        return max(0.0, running_s) + (ahead + 1) * job_s

    def take(self) -> list[Ticket[Job, Outcome]]:
        """Takes the next batch; whatever is not worth computing any more is dropped on the way.

        A batch is as long as `batch_limit`, and what was dropped counts: it was next.
        """
        taken: list[Ticket[Job, Outcome]] = []
        for line in self._lines.values():
            taken.extend(line.popleft() for _ in range(min(len(line), self._batch_limit - len(taken))))
        now_s = self._clock()
        # The last of a batch is done when all of it is.
        needed_s = len(taken) * self._job_s.read(now_s)
        return [ticket for ticket in taken if self._begins(ticket, now_s, needed_s)]

    def run(self, tickets: Sequence[Ticket[Job, Outcome]], compute: "Compute[Job, Outcome]") -> None:
        """Computes a batch that was taken, and gives every job of it its outcome, whatever happens.

        A batch that fails as a whole is run again job by job, so that a failure stays with its cause.
        """
        if not tickets:
            return
        self._running_count, self._running_since_s = len(tickets), self._clock()
        try:
            outcomes = compute([ticket.job for ticket in tickets])
            if len(outcomes) != len(tickets):
                raise RuntimeError(f"expected {len(tickets)} outcomes, got {len(outcomes)}")
        except BaseException as error:  # noqa: BLE001 - what native code raises need not be an Exception.
            if len(tickets) == 1:
                tickets[0].fail(_as_exception(error))
                return
            for ticket in tickets:
                # What was tried may have taken long.
                if self._is_wanted(ticket, self._clock()):
                    self.run([ticket], compute)
            return
        finally:
            self._running_count = 0
        now_s = self._clock()
        self._job_s.add((now_s - self._running_since_s) / len(tickets), now_s)
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                ticket.fail(_as_exception(outcome))
            else:
                ticket.future.set_result(outcome)
        # Only now: whoever cannot be asked keeps no outcome from a neighbour.
        for ticket in tickets:
            if ticket.call.deadline_s <= now_s or not ticket.call.is_live():
                self._observe("wasted", ticket.call.slot.priority)

    def _begins(self, ticket: Ticket[Job, Outcome], now_s: float, needed_s: float) -> bool:
        """Begins a job that was taken; one that cannot even be asked about fails alone."""
        try:
            return self._begin(ticket, now_s, needed_s)
        except Exception as error:  # noqa: BLE001 - the others of its batch were taken, too.
            ticket.fail(error)
            return False

    def _begin(self, ticket: Ticket[Job, Outcome], now_s: float, needed_s: float) -> bool:
        """Marks a job as begun, unless nobody waits for it any more or it would come too late."""
        if not ticket.future.set_running_or_notify_cancel():
            self._observe("expired", ticket.call.slot.priority)
            return False
        ticket.queued_s = now_s - ticket.submitted_s
        return self._is_wanted(ticket, now_s, needed_s)

    def _is_wanted(self, ticket: Ticket[Job, Outcome], now_s: float, needed_s: float = 0.0) -> bool:
        """Tells whether a job is worth computing; ends one that is not."""
        priority = ticket.call.slot.priority
        if not ticket.call.is_live():
            self._observe("cancelled", priority)
            ticket.fail(CancelledError("the call was cancelled"))
            return False
        if ticket.call.deadline_s - now_s <= needed_s:
            self._observe("expired", priority)
            ticket.fail(DeadlineError("the deadline passed in the queue, or would before the search is done"))
            return False
        return True

    def _displace(self, priority: Priority) -> bool:
        """Drops the latest job of the lowest class below another; tells whether there was one."""
        for each in reversed(Priority):
            if each > priority and self._lines[each]:
                self._observe("displaced", each)
                self._lines[each].pop().fail(OverloadError("more urgent requests wait; retry later"))
                return True
        return False


def _as_exception(error: BaseException) -> Exception:
    """Wraps what is no Exception: it would end the caller's thread, which could then answer nobody."""
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"the computation raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
