"""Which processes hang: those that are silent or stuck, and none because the supervisor was late."""

import pytest

from server.processes.heartbeat import BATCH_S_MAX, PERIOD_S, SILENCE_S_MAX, Heartbeat
from server.processes.wire import Ping, Pong


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeat(clock: Clock) -> Heartbeat:
    """Watches two processes that serve; a third one starts."""
    heartbeat = Heartbeat(clock)
    assert heartbeat.next_s is None
    for number in range(2):
        heartbeat.join(number)
    return heartbeat


def pass_time(
    heartbeat: Heartbeat, clock: Clock, duration_s: float, *answering: int, batch: int | None = None
) -> list[int]:
    """Runs the supervisor's loop for a while in which some processes answer; returns those that hang."""
    end_s = clock.now_s + duration_s
    while heartbeat.next_s is not None and heartbeat.next_s <= end_s:
        clock.now_s = heartbeat.next_s
        for number, message in heartbeat.beat():
            assert message == Ping()
            if number in answering:
                heartbeat.hear(number, Pong(batch))
        if hanging := heartbeat.list_hanging():
            return [number for number, _ in hanging]
    clock.now_s = end_s
    return []


def test_who_serves_is_asked_once_per_period_and_not_again_before_it_answers(
    heartbeat: Heartbeat, clock: Clock
) -> None:
    assert heartbeat.next_s == clock.now_s + PERIOD_S
    assert heartbeat.beat() == []
    clock.now_s += PERIOD_S
    assert heartbeat.beat() == [(0, Ping()), (1, Ping())]
    heartbeat.hear(1, Pong(None))
    assert heartbeat.beat() == []
    clock.now_s += PERIOD_S
    assert heartbeat.beat() == [(1, Ping())]


def test_a_silent_process_hangs_and_one_that_answers_does_not(heartbeat: Heartbeat, clock: Clock) -> None:
    assert pass_time(heartbeat, clock, SILENCE_S_MAX - PERIOD_S, 0) == []
    assert pass_time(heartbeat, clock, PERIOD_S, 0) == [1]
    assert heartbeat.list_hanging() == [(1, "it has not answered for 10.0 s")]
    heartbeat.leave(1)
    assert pass_time(heartbeat, clock, 10 * SILENCE_S_MAX, 0) == []


def test_a_late_answer_is_an_answer(heartbeat: Heartbeat, clock: Clock) -> None:
    for _ in range(5):
        assert pass_time(heartbeat, clock, SILENCE_S_MAX - PERIOD_S / 2, 0) == []
        heartbeat.hear(1, Pong(None))
    assert pass_time(heartbeat, clock, SILENCE_S_MAX + PERIOD_S, 0) == [1]


def test_a_process_that_stays_at_one_batch_hangs_though_it_answers(
    heartbeat: Heartbeat, clock: Clock
) -> None:
    assert pass_time(heartbeat, clock, BATCH_S_MAX - PERIOD_S, 0, 1, batch=7) == []
    # One of them goes on in time, be it to the next batch or to rest.
    heartbeat.hear(0, Pong(8))
    assert pass_time(heartbeat, clock, 2 * PERIOD_S, 0, 1, batch=7) == [1]
    assert heartbeat.list_hanging() == [(1, "it has been at one batch for 60.0 s")]


def test_a_process_without_work_may_rest_for_ever(heartbeat: Heartbeat, clock: Clock) -> None:
    assert pass_time(heartbeat, clock, 3 * BATCH_S_MAX, 0, 1) == []
    assert pass_time(heartbeat, clock, BATCH_S_MAX, 0, 1, batch=7) == []


def test_a_supervisor_that_stood_still_counts_anew(heartbeat: Heartbeat, clock: Clock) -> None:
    pass_time(heartbeat, clock, SILENCE_S_MAX - PERIOD_S, 0)
    clock.now_s += 3600.0
    heartbeat.beat()
    assert heartbeat.list_hanging() == []
    heartbeat.hear(0, Pong(None))
    assert pass_time(heartbeat, clock, SILENCE_S_MAX - PERIOD_S, 0) == []
    assert pass_time(heartbeat, clock, PERIOD_S, 0) == [1]


def test_a_supervisor_that_is_a_little_late_finds_who_hangs_all_the_same(
    heartbeat: Heartbeat, clock: Clock
) -> None:
    for _ in range(6):
        clock.now_s += 1.9 * PERIOD_S
        heartbeat.beat()
        heartbeat.hear(0, Pong(None))
    assert [number for number, _ in heartbeat.list_hanging()] == [1]


def test_a_process_that_starts_is_not_asked_and_begins_with_a_full_count(
    heartbeat: Heartbeat, clock: Clock
) -> None:
    heartbeat.leave(1)
    # What it says before it serves is of no account.
    heartbeat.hear(1, Pong(3))
    assert pass_time(heartbeat, clock, 2 * SILENCE_S_MAX, 0) == []
    heartbeat.join(1)
    assert pass_time(heartbeat, clock, SILENCE_S_MAX - PERIOD_S, 0) == []
    assert pass_time(heartbeat, clock, PERIOD_S, 0) == [1]


def test_nobody_is_asked_once_all_have_ended(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.leave(0)
    heartbeat.leave(1)
    assert heartbeat.next_s is None
    clock.now_s += PERIOD_S
    assert heartbeat.beat() == []
