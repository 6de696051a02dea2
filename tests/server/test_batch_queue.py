"""The queue of searches without threads: order, classes, estimates, drops, and whose each outcome is."""

from collections.abc import Sequence

import pytest

from server.batch_queue import BatchQueue, Call, Ticket
from server.errors import CancelledError, DeadlineError, OverloadError
from server.overload.priority import Priority
from server.overload.slot import Slot

AEON_S = 1e9


class Desk:
    """A queue of numbers, its clock, and what was computed."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.observed: list[tuple[str, Priority]] = []
        self.batches: list[list[int]] = []
        self.job_s = 0.0
        self.raised: BaseException | None = None
        self.queue: BatchQueue[int, int] = BatchQueue(
            limit=4,
            batch_limit=3,
            clock=lambda: self.now_s,
            observe=lambda reason, priority: self.observed.append((reason, priority)),
        )

    def add(
        self,
        job: int,
        priority: Priority = Priority.NORMAL,
        deadline_s: float = AEON_S,
        *,
        live: bool = True,
    ) -> Ticket[int, int]:
        ticket = self.queue.add(job, Call(deadline_s, lambda: live, Slot(priority)))
        assert isinstance(ticket, Ticket)
        return ticket

    def compute(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(jobs))
        self.now_s += self.job_s * len(jobs)
        if self.raised is not None and 13 in jobs:
            raise self.raised
        return [job * job for job in jobs]

    def run(self) -> None:
        self.queue.run(self.queue.take(), self.compute)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_higher_classes_are_computed_first_and_each_in_its_order(desk: Desk) -> None:
    for job, priority in ((1, Priority.LOW), (2, Priority.NORMAL), (3, Priority.HIGH), (4, Priority.NORMAL)):
        desk.add(job, priority)
    desk.run()
    desk.run()
    assert desk.batches == [[3, 2, 4], [1]]


def test_a_higher_class_takes_a_place_in_a_full_queue(desk: Desk) -> None:
    low = [desk.add(job, Priority.LOW) for job in (1, 2)]
    normal = [desk.add(job) for job in (3, 4)]
    high = desk.add(5, Priority.HIGH)
    assert len(desk.queue) == 4
    assert isinstance(low[1].future.exception(), OverloadError)
    desk.run()
    desk.run()
    assert [ticket.future.result() for ticket in (low[0], *normal, high)] == [1, 9, 16, 25]
    assert desk.observed == [("displaced", Priority.LOW)]


def test_nobody_takes_a_place_of_the_own_class(desk: Desk) -> None:
    for job in range(4):
        desk.add(job)
    refused = desk.queue.add(9, Call(AEON_S, lambda: True, Slot(Priority.NORMAL)))
    assert isinstance(refused, OverloadError)
    assert (len(desk.queue), desk.observed) == (4, [("queue", Priority.NORMAL)])


def test_a_search_that_would_come_too_late_is_not_begun(desk: Desk) -> None:
    desk.job_s = 0.01
    desk.add(1)
    desk.run()
    late = desk.add(2, deadline_s=desk.now_s + 0.009)
    desk.run()
    assert isinstance(late.future.exception(), DeadlineError)
    assert desk.batches == [[1]]
    assert desk.observed == [("expired", Priority.NORMAL)]


def test_what_is_ahead_is_expected_and_what_is_behind_is_not(desk: Desk) -> None:
    desk.job_s = 0.01
    desk.add(0)
    desk.run()
    for job, priority in ((1, Priority.HIGH), (2, Priority.LOW)):
        desk.add(job, priority)
    assert desk.queue.expect(None) == pytest.approx(0.01)
    assert desk.queue.expect(Priority.HIGH) == pytest.approx(0.02)
    assert desk.queue.expect(Priority.LOW) == pytest.approx(0.03)


def test_the_rest_of_a_running_batch_is_expected(desk: Desk) -> None:
    desk.job_s = 0.01
    desk.add(0)
    desk.run()
    expected: list[float] = []

    def compute(jobs: Sequence[int]) -> list[int | Exception]:
        expected.append(desk.queue.expect(Priority.HIGH))
        desk.now_s += 0.015
        expected.append(desk.queue.expect(Priority.HIGH))
        return list(jobs)

    for job in (1, 2):
        desk.add(job)
    desk.queue.run(desk.queue.take(), compute)
    assert expected == [pytest.approx(0.03), pytest.approx(0.015)]


def test_a_cancelled_search_is_not_computed(desk: Desk) -> None:
    gone, kept = desk.add(1, live=False), desk.add(2)
    given_up = desk.add(3)
    assert given_up.future.cancel()
    desk.run()
    assert desk.batches == [[2]]
    assert isinstance(gone.future.exception(), CancelledError)
    assert kept.future.result() == 4
    assert [reason for reason, _ in desk.observed] == ["cancelled", "expired"]


def test_what_was_computed_for_nobody_is_counted(desk: Desk) -> None:
    desk.job_s = 0.01
    late, kept = desk.add(1, deadline_s=desk.now_s + 0.015), desk.add(2)
    desk.run()
    assert (late.future.result(), kept.future.result()) == (1, 4)
    assert desk.observed == [("wasted", Priority.NORMAL)]


def test_a_caller_that_cannot_be_asked_keeps_no_outcome_from_a_neighbour(desk: Desk) -> None:
    answers = iter([True])
    odd = desk.queue.add(1, Call(AEON_S, lambda: next(answers), Slot()))
    kept = desk.add(2)
    with pytest.raises(StopIteration):
        desk.run()
    assert isinstance(odd, Ticket)
    assert (odd.future.result(), kept.future.result()) == (1, 4)


@pytest.mark.parametrize("raised", [MemoryError(), SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_stays_with_the_job_that_caused_it(desk: Desk, raised: BaseException) -> None:
    desk.raised = raised
    tickets = [desk.add(job) for job in (12, 13, 14)]
    desk.run()
    assert (tickets[0].future.result(), tickets[2].future.result()) == (144, 196)
    # An Exception even where what was raised is none: that would end the caller's thread unanswered.
    assert isinstance(tickets[1].future.exception(), Exception)


def test_a_wrong_number_of_outcomes_answers_nobody_with_anothers(desk: Desk) -> None:
    tickets = [desk.add(job) for job in (2, 3)]
    desk.queue.run(desk.queue.take(), lambda jobs: [4])
    # Alone, each has one outcome, and that is its own.
    assert [ticket.future.result() for ticket in tickets] == [4, 4]
    tickets = [desk.add(job) for job in (2, 3)]
    desk.queue.run(desk.queue.take(), lambda jobs: [])
    assert all(isinstance(ticket.future.exception(), RuntimeError) for ticket in tickets)


def test_a_caller_that_cannot_be_asked_fails_alone(desk: Desk) -> None:
    def broken() -> bool:
        raise OSError("the connection is gone")

    odd = desk.queue.add(1, Call(AEON_S, broken))
    kept = desk.add(2)
    desk.run()
    assert isinstance(odd, Ticket)
    assert isinstance(odd.future.exception(), OSError)
    assert kept.future.result() == 4
