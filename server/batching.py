"""Natural batching: one thread computes whatever arrived while it computed the last batch. No timer."""

import threading
from collections.abc import Sequence
from typing import Generic

import structlog

from server.batch_queue import (
    BATCH_LIMIT,
    WAIT_S_MAX,
    BatchQueue,
    Call,
    Compute,
    Job,
    Observe,
    Outcome,
    Ticket,
)
from server.errors import NotReadyError, OverloadError
from server.overload.priority import Priority

_log = structlog.get_logger("server")


class Batcher(Generic[Job, Outcome]):
    """Owns the queue and the compute thread."""

    def __init__(
        self,
        compute: "Compute[Job, Outcome]",
        *,
        queue_limit: int,
        batch_limit: int = BATCH_LIMIT,
        observe: Observe | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            compute: answers a batch, one outcome or exception per job, in order.
            queue_limit: jobs that may wait.
            batch_limit: jobs computed together.
            observe: told of refusals and drops; None for nobody.
        """
        self._compute = compute
        self._queue: BatchQueue[Job, Outcome] = BatchQueue(
            limit=queue_limit, batch_limit=batch_limit, observe=observe
        )
        self._changed = threading.Condition()
        self._open = True
        self._batch, self._computing = 0, False
        self._thread = threading.Thread(target=self._loop, name="compute", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job], call: Call) -> list[Ticket[Job, Outcome] | OverloadError]:
        """Queues jobs; each gets a ticket, or an error once the queue is full.

        Raises:
            NotReadyError: the batcher is closing.
        """
        with self._changed:
            if not self._open:
                raise NotReadyError("the server is draining")
            results = [self._queue.add(job, call) for job in jobs]
            self._changed.notify()
        return results

    def expect(self, priority: Priority | None) -> float:
        """Estimates the seconds until a job that came now would be computed, as `BatchQueue.expect`."""
        with self._changed:
            return self._queue.expect(priority)

    @property
    def waiting_count(self) -> int:
        """Jobs that wait to be computed."""
        return len(self._queue)

    def find_batch(self) -> int | None:
        """Returns the number of the batch that is due or being computed, None while no job waits.

        Whoever reads the same number for long knows that nobody is answered any more. It takes no lock.
        """
        return self._batch if self._computing or len(self._queue) else None

    def close(self) -> None:
        """Refuses new jobs, computes those that wait, and ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout=WAIT_S_MAX)

    def _loop(self) -> None:
        while True:
            taken: list[Ticket[Job, Outcome]] = []
            try:
                with self._changed:
                    while not len(self._queue) and self._open:
                        self._changed.wait()
                    if not len(self._queue):
                        return
                    taken, self._computing = self._queue.take(), True
                self._queue.run(taken, self._compute)
            except BaseException as error:  # noqa: BLE001 - without this thread nobody is answered any more.
                _log.error("batch failed", exc_info=error)
                for ticket in taken:
                    if not ticket.future.done():
                        ticket.fail(RuntimeError("the batch could not be settled"))
            self._batch, self._computing = self._batch + 1, False
