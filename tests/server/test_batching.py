"""Natural batching: who shares a batch, what a failure touches, and what is dropped before it costs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog

from server.batch_queue import Call, Ticket
from server.batching import Batcher
from server.errors import CancelledError, DeadlineError, NotReadyError, OverloadError

WAIT_S = 120.0


def patient(**changes: Any) -> Call:
    values: dict[str, Any] = {"deadline_s": time.monotonic() + WAIT_S, "is_live": lambda: True}
    return Call(**(values | changes))


class Recorder:
    """Squares numbers; keeps the batches; waits at the gate when told to; fails on 13 and dies on 99."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.running = threading.Event()

    def compute(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.running.set()
        assert self.may_run.wait(WAIT_S)
        self.batches.append(list(jobs))
        if 99 in jobs:
            raise RuntimeError("the whole batch failed")
        return [ValueError("thirteen") if job == 13 else job * job for job in jobs]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def batcher(recorder: Recorder) -> Iterator[Batcher[int, int]]:
    made: Batcher[int, int] = Batcher(recorder.compute, queue_limit=8, batch_limit=5)
    yield made
    recorder.may_run.set()
    made.close()


Queue = Callable[..., "list[Ticket[int, int] | OverloadError]"]


@pytest.fixture
def queue_behind(recorder: Recorder, batcher: Batcher[int, int]) -> Queue:
    """Keeps the compute thread busy with job 1, then queues more."""

    def submit(*jobs: int, call: Call | None = None) -> list[Ticket[int, int] | OverloadError]:
        if recorder.may_run.is_set():
            recorder.may_run.clear()
            recorder.running.clear()
            batcher.submit([1], patient())
            assert recorder.running.wait(WAIT_S)
        return batcher.submit(jobs, call or patient())

    return submit


def wait_for(entry: Ticket[int, int] | OverloadError) -> int:
    assert isinstance(entry, Ticket)
    return entry.wait()


def test_jobs_that_arrive_during_a_batch_are_computed_together(
    queue_behind: Queue, recorder: Recorder
) -> None:
    tickets = [*queue_behind(2), *queue_behind(3, 4)]
    recorder.may_run.set()
    assert [wait_for(ticket) for ticket in tickets] == [4, 9, 16]
    assert recorder.batches == [[1], [2, 3, 4]]


def test_a_batch_that_lasts_shows_as_the_same_number_and_rest_as_none(
    queue_behind: Queue, recorder: Recorder, batcher: Batcher[int, int]
) -> None:
    assert batcher.find_batch() is None
    ticket = queue_behind(2)[0]
    stuck = batcher.find_batch()
    assert stuck == batcher.find_batch() == 0
    recorder.may_run.set()
    wait_for(ticket)
    while batcher.find_batch() is not None:
        assert batcher.find_batch() != stuck
        time.sleep(0.001)
    queue_behind(3)
    assert batcher.find_batch() == 2


def test_a_batch_has_a_limit(queue_behind: Queue, recorder: Recorder) -> None:
    tickets = queue_behind(2, 3, 4, 5, 6, 7, 8)
    recorder.may_run.set()
    assert [wait_for(ticket) for ticket in tickets] == [4, 9, 16, 25, 36, 49, 64]
    assert recorder.batches == [[1], [2, 3, 4, 5, 6], [7, 8]]


def test_a_full_queue_refuses_the_rest_at_once(queue_behind: Queue, recorder: Recorder) -> None:
    entries = queue_behind(*range(2, 13))
    assert [isinstance(entry, OverloadError) for entry in entries] == [False] * 8 + [True] * 3
    recorder.may_run.set()
    assert wait_for(entries[7]) == 81


def test_an_error_of_one_job_does_not_touch_its_neighbours(queue_behind: Queue, recorder: Recorder) -> None:
    tickets = queue_behind(12, 13, 14)
    recorder.may_run.set()
    assert wait_for(tickets[0]) == 144
    with pytest.raises(ValueError, match="thirteen"):
        wait_for(tickets[1])
    assert wait_for(tickets[2]) == 196


def test_a_batch_that_fails_as_a_whole_is_run_one_by_one(queue_behind: Queue, recorder: Recorder) -> None:
    tickets = queue_behind(2, 99, 3)
    recorder.may_run.set()
    assert (wait_for(tickets[0]), wait_for(tickets[2])) == (4, 9)
    with pytest.raises(RuntimeError, match="whole batch"):
        wait_for(tickets[1])


def test_the_thread_outlives_every_failure(batcher: Batcher[int, int]) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError):
            wait_for(batcher.submit([99], patient())[0])
    assert wait_for(batcher.submit([5], patient())[0]) == 25


@pytest.mark.parametrize("raised", [MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_the_thread_outlives_what_is_no_exception(raised: type[BaseException]) -> None:
    def compute(jobs: Sequence[int]) -> list[int | Exception]:
        if 99 in jobs:
            raise raised
        return list(jobs)

    batcher: Batcher[int, int] = Batcher(compute, queue_limit=8)
    for _ in range(2):
        with pytest.raises((MemoryError, RuntimeError)):
            wait_for(batcher.submit([99], patient())[0])
    assert wait_for(batcher.submit([5], patient())[0]) == 5
    batcher.close()


def test_the_thread_outlives_a_batch_that_cannot_be_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    batcher: Batcher[int, int] = Batcher(list, queue_limit=8)
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logs:
        broken.setattr(batcher._queue, "run", lambda tickets, compute: 1 / 0)
        with pytest.raises(RuntimeError, match="settled"):
            wait_for(batcher.submit([1], patient())[0])
    assert logs[0]["event"] == "batch failed"
    assert wait_for(batcher.submit([5], patient())[0]) == 5
    batcher.close()


def test_a_job_whose_deadline_passed_in_the_queue_is_not_computed(
    queue_behind: Queue, recorder: Recorder
) -> None:
    late = queue_behind(7, call=patient(deadline_s=time.monotonic() - 1.0))[0]
    kept = queue_behind(8)[0]
    recorder.may_run.set()
    assert wait_for(kept) == 64
    with pytest.raises(DeadlineError):
        wait_for(late)
    assert recorder.batches == [[1], [8]]


def test_a_caller_stops_waiting_at_its_deadline(queue_behind: Queue, recorder: Recorder) -> None:
    ticket = queue_behind(7, call=patient(deadline_s=time.monotonic() + 0.05))[0]
    with pytest.raises(DeadlineError):
        wait_for(ticket)
    kept = queue_behind(8)[0]
    recorder.may_run.set()
    assert wait_for(kept) == 64
    assert recorder.batches == [[1], [8]]


def test_a_cancelled_call_is_not_computed(queue_behind: Queue, recorder: Recorder) -> None:
    gone = queue_behind(7, call=patient(is_live=lambda: False))[0]
    kept = queue_behind(8)[0]
    recorder.may_run.set()
    assert wait_for(kept) == 64
    with pytest.raises(CancelledError):
        wait_for(gone)
    assert recorder.batches == [[1], [8]]


def test_closing_computes_what_waits_and_refuses_what_comes(recorder: Recorder) -> None:
    batcher: Batcher[int, int] = Batcher(recorder.compute, queue_limit=8)
    tickets = batcher.submit([2, 3], patient())
    batcher.close()
    assert [wait_for(ticket) for ticket in tickets] == [4, 9]
    with pytest.raises(NotReadyError):
        batcher.submit([4], patient())
