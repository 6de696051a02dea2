"""Orders that concern every process: answered once all follow, one of each log, and late ones are ended."""

from collections.abc import Mapping

import pytest

from server.errors import PolicyLogError
from server.processes.order_desk import FOLLOW_S_MAX, OrderDesk
from server.processes.wire import Append, Appended, Follow, Followed, NotAppended

LOG = "policy_state"


class Log:
    """A log in memory."""

    def __init__(self) -> None:
        self.count = 3
        self.full = False

    def append(self, texts: Mapping[str, str]) -> None:
        if self.full:
            raise PolicyLogError("the disk is full")
        self.count += 1


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(log: Log, clock: Clock) -> OrderDesk:
    """A desk over three processes that serve."""
    desk = OrderDesk({LOG: log}, clock)
    for number in range(3):
        desk.join(number)
    return desk


def ask(after: int) -> Append:
    return Append(LOG, after, {"kind": "overlay"})


def test_an_order_is_answered_once_every_other_process_follows(desk: OrderDesk, log: Log) -> None:
    assert desk.append(1, ask(3)) == [(0, Follow(LOG, 4)), (2, Follow(LOG, 4))]
    assert log.count == 4
    assert desk.hear(2, Followed(LOG, 4)) == []
    # What was followed before, or of another log, is no answer to this.
    assert desk.hear(0, Followed(LOG, 3)) == []
    assert desk.hear(0, Followed("catalogue_state", 4)) == []
    assert desk.hear(0, Followed(LOG, 4)) == [(1, Appended(LOG, 4))]
    assert desk.deadline_s is None


def test_an_order_that_its_process_follows_like_all_others_waits_for_it_too(
    desk: OrderDesk, clock: Clock
) -> None:
    asked = Append(LOG, 3, {"kind": "activate"}, follows=True)
    assert desk.append(1, asked) == [(number, Follow(LOG, 4)) for number in range(3)]
    desk.hear(0, Followed(LOG, 4))
    desk.hear(2, Followed(LOG, 4))
    clock.now_s += FOLLOW_S_MAX
    assert desk.list_late() == [1]
    assert desk.hear(1, Followed(LOG, 4)) == [(1, Appended(LOG, 4))]


def test_a_second_order_and_one_decided_on_old_records_are_refused(desk: OrderDesk, log: Log) -> None:
    busy = NotAppended(LOG, True, "")
    assert desk.append(0, ask(2)) == [(0, busy)]
    desk.append(0, ask(3))
    assert desk.append(1, ask(4)) == [(1, busy)]
    assert log.count == 4


def test_a_halt_waits_for_no_patch(log: Log, clock: Clock) -> None:
    patches = "catalogue_state"
    desk = OrderDesk({LOG: log, patches: Log()}, clock)
    for number in range(3):
        desk.join(number)
    desk.append(0, Append(patches, 3, {}))
    clock.now_s += 1
    assert desk.append(1, ask(3)) == [(0, Follow(LOG, 4)), (2, Follow(LOG, 4))]
    desk.hear(0, Followed(LOG, 4))
    assert desk.hear(2, Followed(LOG, 4)) == [(1, Appended(LOG, 4))]
    clock.now_s += FOLLOW_S_MAX - 1
    assert desk.list_late() == [1, 2]
    desk.leave(1)
    assert desk.leave(2) == [(0, Appended(patches, 4))]


def test_who_starts_in_the_place_of_one_that_asked_is_not_answered_for_it(desk: OrderDesk) -> None:
    desk.append(0, ask(3))
    desk.leave(0)
    desk.join(0)
    desk.hear(1, Followed(LOG, 4))
    assert desk.hear(2, Followed(LOG, 4)) == []


def test_an_order_that_cannot_be_written_concerns_nobody_else(desk: OrderDesk, log: Log) -> None:
    log.full = True
    assert desk.append(0, ask(3)) == [(0, NotAppended(LOG, False, "the disk is full"))]
    assert desk.deadline_s is None


def test_a_process_that_does_not_follow_in_time_is_ended_and_then_the_order_is_answered(
    desk: OrderDesk, clock: Clock
) -> None:
    desk.append(0, ask(3))
    desk.hear(1, Followed(LOG, 4))
    clock.now_s += FOLLOW_S_MAX - 0.01
    assert desk.list_late() == []
    clock.now_s += 0.02
    assert desk.list_late() == [2]
    assert desk.leave(2) == [(0, Appended(LOG, 4))]
    assert desk.list_late() == []


def test_what_a_process_wrote_before_it_died_is_in_force_in_all_others(desk: OrderDesk) -> None:
    desk.append(0, ask(3))
    assert desk.leave(0) == []
    assert desk.hear(1, Followed(LOG, 4)) == []
    # Nobody is left to be answered, and the next order is taken.
    assert desk.hear(2, Followed(LOG, 4)) == []
    assert desk.append(1, ask(4)) == [(2, Follow(LOG, 5))]


def test_a_process_that_joins_follows_what_came_since_it_read_the_log(desk: OrderDesk) -> None:
    desk.leave(2)
    desk.append(0, ask(3))
    # It does not serve yet, so the order is not held up by it; nor does it miss the next one.
    assert desk.join(2) == [(2, Follow(LOG, 4))]
    assert desk.hear(1, Followed(LOG, 4)) == [(0, Appended(LOG, 4))]
    assert desk.append(1, ask(4)) == [(0, Follow(LOG, 5)), (2, Follow(LOG, 5))]


def test_an_order_in_a_lone_process_is_answered_at_once(log: Log, clock: Clock) -> None:
    desk = OrderDesk({LOG: log}, clock)
    desk.join(1)
    assert desk.append(1, ask(3)) == [(1, Appended(LOG, 4))]
