"""What takes long is prepared by every process before it is written: all can do it, or nothing happens."""

import pytest

from server.processes.preparations import PREPARE_S_MAX, Preparations
from server.processes.wire import Prepare, Prepared, Release

LOG, OTHER = "policy_state", "bundle_state"
ASKED = Prepare(LOG, {"sha256": "a"})


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def preparations(clock: Clock) -> Preparations:
    """Three processes that serve."""
    made = Preparations(clock)
    for number in range(3):
        assert made.join(number) == []
    return made


def test_whoever_asked_is_answered_once_all_are_ready_and_releases_all(preparations: Preparations) -> None:
    assert preparations.begin(1, ASKED) == [(each, Prepare(LOG, ASKED.texts, 1)) for each in range(3)]
    assert preparations.hear(0, Prepared(LOG, 1)) == preparations.hear(1, Prepared(LOG, 1)) == []
    assert preparations.hear(2, Prepared(LOG, 1)) == [(1, Prepared(LOG))]
    assert preparations.deadline_s is None
    assert preparations.release(1, Release(LOG)) == [(each, Release(LOG)) for each in range(3)]


def test_one_of_each_log_is_under_way_until_it_is_released(preparations: Preparations) -> None:
    preparations.begin(0, ASKED)
    for number in range(3):
        preparations.hear(number, Prepared(LOG, 1))
    # All are ready, and its record is on its way.
    assert preparations.begin(1, ASKED) == [(1, Prepared(LOG, busy=True))]
    assert preparations.release(1, Release(LOG)) == []
    assert len(preparations.begin(1, Prepare(OTHER, {}))) == 3
    preparations.release(0, Release(LOG))
    assert preparations.begin(1, ASKED)[0] == (0, Prepare(LOG, ASKED.texts, 3))
    # What a process says of the one before is no answer to this.
    for number in range(3):
        assert preparations.hear(number, Prepared(LOG, 1)) == []


def test_one_that_cannot_ends_it_for_all(preparations: Preparations) -> None:
    preparations.begin(0, ASKED)
    preparations.hear(0, Prepared(LOG, 1))
    said = preparations.hear(2, Prepared(LOG, 1, problem="no memory"))
    assert said == [
        *((each, Release(LOG)) for each in range(3)),
        (0, Prepared(LOG, problem="process 2: no memory")),
    ]
    assert preparations.hear(1, Prepared(LOG, 1)) == []
    assert len(preparations.begin(1, ASKED)) == 3


def test_what_takes_too_long_is_given_up(preparations: Preparations, clock: Clock) -> None:
    preparations.begin(0, ASKED)
    preparations.hear(1, Prepared(LOG, 1))
    assert preparations.deadline_s == clock.now_s + PREPARE_S_MAX
    clock.now_s += PREPARE_S_MAX - 1
    assert preparations.expire() == []
    clock.now_s += 1
    assert preparations.expire()[-1] == (0, Prepared(LOG, problem="process 0, 2: not ready within 60 s"))
    assert (preparations.deadline_s, preparations.expire()) == (None, [])


def test_who_dies_is_waited_for_no_longer_and_who_joins_prepares_too(preparations: Preparations) -> None:
    preparations.begin(0, ASKED)
    preparations.hear(0, Prepared(LOG, 1))
    preparations.hear(1, Prepared(LOG, 1))
    assert preparations.join(3) == [(3, Prepare(LOG, ASKED.texts, 1))]
    assert preparations.leave(2) == []
    assert preparations.hear(3, Prepared(LOG, 1)) == [(0, Prepared(LOG))]
    # What comes now finds the record in the log.
    assert preparations.join(2) == []


def test_with_whoever_asked_ends_what_it_asked_for(preparations: Preparations) -> None:
    preparations.begin(0, ASKED)
    assert preparations.leave(0) == [(1, Release(LOG)), (2, Release(LOG))]
    assert len(preparations.begin(1, ASKED)) == 2
