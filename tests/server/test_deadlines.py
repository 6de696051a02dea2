"""The time that a call has left does not follow a wall clock that is set meanwhile."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from server.deadlines import READING_S_MAX, STEP_S, UNTRUSTED_S, WallClockWatch, read_time_left_s

DAY_S = 86_400.0


@dataclass
class Clocks:
    """A machine's clocks; the wall clock is off by what it was set by, and reading it may take long."""

    now_s: float = 1000.0
    offset_s: float = 1.7e9
    reading_s: float = 0.0

    def wall(self) -> float:
        self.now_s += self.reading_s
        return self.now_s + self.offset_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def watch(clocks: Clocks) -> WallClockWatch:
    return WallClockWatch(clocks.wall, clocks.monotonic)


def arrive(clocks: Clocks, timeout_s: float) -> Any:
    """Makes the context of a call that arrives now, as gRPC's Python keeps its deadline."""
    deadline_s = clocks.wall() + timeout_s
    return SimpleNamespace(time_remaining=lambda: max(deadline_s - clocks.wall(), 0.0))


def test_a_call_has_what_is_left_of_its_own_time(clocks: Clocks, watch: WallClockWatch) -> None:
    call = arrive(clocks, 2.0)
    clocks.now_s += 0.5
    assert read_time_left_s(call, watch) == pytest.approx(1.5)
    clocks.now_s += DAY_S
    assert read_time_left_s(call, watch) == 0.0


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S, 1.5, -1.5])
def test_a_clock_set_while_calls_wait_expires_none_of_them(
    clocks: Clocks, watch: WallClockWatch, step_s: float
) -> None:
    calls = [arrive(clocks, 1.0), arrive(clocks, 1.0)]
    clocks.offset_s += step_s
    clocks.now_s += 0.2
    assert [read_time_left_s(call, watch) for call in calls] == [float("inf")] * 2


def test_a_clock_is_trusted_again_after_a_while(clocks: Clocks, watch: WallClockWatch) -> None:
    clocks.offset_s += DAY_S
    assert watch.was_set()
    clocks.now_s += UNTRUSTED_S
    assert read_time_left_s(arrive(clocks, 3.0), watch) == pytest.approx(3.0)


def test_what_another_thread_takes_of_a_reading_is_no_step(clocks: Clocks, watch: WallClockWatch) -> None:
    clocks.reading_s = 10 * STEP_S
    assert not watch.was_set()
    clocks.reading_s = READING_S_MAX / 2
    assert not watch.was_set()
