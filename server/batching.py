"""Natural batching: one thread computes whatever arrived while it computed the last batch. No timer.

A failure stays with the request that caused it: when a batch fails as a whole, its jobs are run one by one.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from server.errors import CancelledError, DeadlineError, NotReadyError, OverloadError

BATCH_LIMIT: Final = 64
WAIT_S_MAX: Final = 60.0

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Call:
    """What is known about the caller's patience: a monotonic deadline, and whether anybody still waits."""

    deadline_s: float
    is_live: Callable[[], bool]

    def remaining_s(self) -> float:
        """Returns how long an answer is worth waiting for."""
        return self.deadline_s - time.monotonic()


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
            ServerError: whatever the computation raised for this job.
        """
        try:
            return self.future.result(timeout=max(0.0, self.call.remaining_s()))
        except TimeoutError as error:
            # The compute thread drops a cancelled future's job if it has not begun.
            self.future.cancel()
            raise DeadlineError("the deadline passed before the answer was ready") from error


class Batcher(Generic[Job, Outcome]):
    """Owns the queue and the compute thread."""

    def __init__(
        self,
        compute: Callable[[Sequence[Job]], Sequence[Outcome | Exception]],
        *,
        queue_limit: int,
        batch_limit: int = BATCH_LIMIT,
    ) -> None:
        """Starts the thread.

        Args:
            compute: answers a batch, one outcome or exception per job, in order.
            queue_limit: jobs that may wait.
            batch_limit: jobs computed together.
        """
        self._compute = compute
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._queue: deque[Ticket[Job, Outcome]] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._loop, name="compute", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job], call: Call) -> list[Ticket[Job, Outcome] | OverloadError]:
        """Queues jobs; each gets a ticket, or an error once the queue is full.

        Raises:
            NotReadyError: the batcher is closing.
        """
        now_s = time.monotonic()
        results: list[Ticket[Job, Outcome] | OverloadError] = []
        with self._changed:
            if not self._open:
                raise NotReadyError("the server is draining")
            for job in jobs:
                if len(self._queue) >= self._queue_limit:
                    results.append(OverloadError(f"{self._queue_limit} requests wait already; retry later"))
                    continue
                ticket: Ticket[Job, Outcome] = Ticket(job, call, now_s)
                self._queue.append(ticket)
                results.append(ticket)
            self._changed.notify()
        return results

    @property
    def waiting_count(self) -> int:
        """Jobs that wait to be computed."""
        return len(self._queue)

    def close(self) -> None:
        """Refuses new jobs, computes those that wait, and ends the thread."""
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
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]
            live = [ticket for ticket in taken if _begin(ticket)]
            if live:
                self._run(live)

    def _run(self, tickets: list[Ticket[Job, Outcome]]) -> None:
        try:
            outcomes = self._compute([ticket.job for ticket in tickets])
            assert len(outcomes) == len(tickets), "one outcome per job"
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a job does.
            if len(tickets) == 1:
                tickets[0].future.set_exception(error)
                return
            for ticket in tickets:
                self._run([ticket])
            return
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            if isinstance(outcome, Exception):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)


def _begin(ticket: Ticket[Job, Outcome]) -> bool:
    """Marks a job as begun, unless nobody waits for it any more."""
    if not ticket.future.set_running_or_notify_cancel():
        return False
    if not ticket.call.is_live():
        ticket.future.set_exception(CancelledError("the call was cancelled"))
        return False
    if ticket.call.remaining_s() <= 0:
        ticket.future.set_exception(DeadlineError("the deadline passed in the queue"))
        return False
    ticket.queued_s = time.monotonic() - ticket.submitted_s
    return True
