"""Who is let in: by the limit, by class, and by what is left of a call's time; a clock that tests move."""

import pytest
from prometheus_client import CollectorRegistry

from server.errors import DeadlineError, OverloadError
from server.overload.controller import (
    PRESSED_S,
    PRESSED_SWITCH_INTERVAL_S,
    SWITCH_INTERVAL_S,
    OverloadController,
)
from server.overload.limit import AdaptiveLimit
from server.overload.metrics import OverloadMetrics
from server.overload.priority import Priority
from server.overload.slot import Slot, current_slot

RECOMMEND = "/prudence.v1.RecommendationService/Recommend"
BATCH = "/prudence.v1.RecommendationService/BatchRecommend"
AEON_S = 1e9


class Desk:
    """A controller whose clock and expected searches tests set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.alone_s = 0.0
        self.wait_s = 0.0
        self.intervals_s: list[float] = []
        self.registry = CollectorRegistry()
        self.limit = AdaptiveLimit(0.05, 10)
        self.controller = OverloadController(
            self.limit, OverloadMetrics(self.registry), lambda: self.now_s, self.intervals_s.append
        )
        self.controller.watch_searches(
            lambda priority: self.alone_s if priority is None else self.alone_s + self.wait_s
        )

    def enter(
        self, priority: Priority = Priority.HIGH, remaining_s: float = AEON_S, method: str = RECOMMEND
    ) -> Slot:
        slot = self.controller.enter(method, priority, remaining_s)
        # As a thread does that waits for its search.
        slot.give_turn()
        slot.turn = None
        return slot

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"prudence_overload_{name}", labels)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_calls_beyond_the_limit_are_refused_until_one_leaves(desk: Desk) -> None:
    slots = [desk.enter() for _ in range(10)]
    with pytest.raises(OverloadError):
        desk.enter()
    desk.controller.leave(slots[0], answered=True)
    assert desk.enter().priority is Priority.HIGH


def test_a_call_goes_no_further_while_as_many_are_there(desk: Desk) -> None:
    assert desk.controller.has_room(RECOMMEND, 9)
    assert not desk.controller.has_room(RECOMMEND, 10)


def test_a_batch_is_refused_while_single_calls_come_in(desk: Desk) -> None:
    for _ in range(5):
        desk.enter()
    assert not desk.controller.has_room(BATCH, 5)
    with pytest.raises(OverloadError):
        desk.enter(method=BATCH)
    assert desk.enter().priority is Priority.HIGH


def test_a_caller_of_a_low_class_is_refused_first(desk: Desk) -> None:
    for _ in range(5):
        desk.enter()
    with pytest.raises(OverloadError):
        desk.enter(Priority.LOW)
    assert desk.count("rejected_total", cause="limit", priority="low") == 1


def test_a_call_with_less_time_than_an_answer_takes_is_not_begun(desk: Desk) -> None:
    desk.alone_s = 0.02
    with pytest.raises(DeadlineError):
        desk.enter(remaining_s=0.019)
    assert desk.enter(remaining_s=0.021).timed
    assert desk.limit.under_way == 1


def test_what_was_measured_beside_searches_counts(desk: Desk) -> None:
    for _ in range(20):
        slot = desk.enter()
        desk.now_s += 0.03
        slot.searching_s = 0.02
        desk.controller.leave(slot, answered=True)
    with pytest.raises(DeadlineError):
        desk.enter(remaining_s=0.009)
    assert desk.enter(remaining_s=0.011).timed


def test_a_call_that_would_wait_too_long_is_told_to_retry(desk: Desk) -> None:
    desk.wait_s = 0.5
    with pytest.raises(OverloadError):
        desk.enter(remaining_s=0.4)
    assert desk.count("rejected_total", cause="wait", priority="high") == 1


def test_methods_without_a_search_have_no_such_estimate(desk: Desk) -> None:
    desk.alone_s = 1.0
    assert not desk.enter(remaining_s=0.1, method="/prudence.v1.ProfileService/GetProfile").timed


def test_failed_calls_say_nothing_about_load(desk: Desk) -> None:
    for _ in range(100):
        slot = desk.enter()
        desk.now_s += 1.0
        desk.controller.leave(slot, answered=False)
    assert (desk.limit.limit, desk.limit.under_way) == (10, 0)
    assert desk.count("limit") == 10
    assert desk.count("admitted_total", priority="high") == 100


def test_time_that_a_call_waited_for_the_network_thread_counts_twice(desk: Desk) -> None:
    for _ in range(20):
        slot = desk.enter()
        desk.now_s += 0.02
        desk.controller.leave(slot, answered=True, behind_s=0.1)
    assert desk.limit.limit < 10


def test_a_thread_finds_the_slot_of_its_call_and_no_other(desk: Desk) -> None:
    slot = desk.enter()
    with slot:
        assert current_slot() is slot
    assert current_slot() is not slot


def test_threads_take_turns_and_hand_over_sooner_until_a_while_after_the_last_refusal(desk: Desk) -> None:
    assert desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S).turn is None
    assert not desk.controller.has_room(RECOMMEND, 10)
    slot = desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S)
    assert slot.turn is not None
    slot.give_turn()
    assert desk.intervals_s == [PRESSED_SWITCH_INTERVAL_S]
    desk.now_s += PRESSED_S
    assert desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S).turn is None
    assert desk.intervals_s == [PRESSED_SWITCH_INTERVAL_S, SWITCH_INTERVAL_S]


def test_one_thread_works_at_a_time_and_none_while_it_waits(desk: Desk) -> None:
    desk.controller.has_room(RECOMMEND, 10)
    slot = desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S)
    turn = slot.turn
    assert turn is not None
    assert turn.locked()
    assert slot.aside(lambda asked: (asked, turn.locked()), "a user") == ("a user", False)
    assert turn.locked()
    desk.controller.leave(slot, answered=True)
    assert not turn.locked()


def test_a_call_goes_on_without_its_turn_where_whoever_has_it_hangs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.overload.slot.TURN_S_MAX", 0.001)
    desk.controller.has_room(RECOMMEND, 10)
    hung = desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S)
    other = desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S)
    assert other.turn is None
    desk.controller.leave(other, answered=True)
    assert hung.turn is not None
    assert hung.turn.locked()


def test_the_compute_thread_takes_the_turn_of_calls_under_pressure_alone(desk: Desk) -> None:
    with desk.controller.take_turn() as unpressed:
        assert unpressed is None
    desk.controller.has_room(RECOMMEND, 10)
    slot = desk.controller.enter(RECOMMEND, Priority.HIGH, AEON_S)
    turn = slot.turn
    assert turn is not None
    slot.give_turn()
    with desk.controller.take_turn():
        assert turn.locked()
    assert not turn.locked()
