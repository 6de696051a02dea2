"""The concurrency limit under injected latencies: it shrinks as needed, grows back, and keeps its bounds."""

import pytest

from server.overload.limit import LIMIT_MIN, AdaptiveLimit
from server.overload.priority import SHARES, Priority, of_method
from server.overload.quantile import FRESH_S, RecentQuantile

TARGET_S = 0.05
MAXIMUM = 32


@pytest.fixture
def limit() -> AdaptiveLimit:
    return AdaptiveLimit(TARGET_S, MAXIMUM)


def saturate(limit: AdaptiveLimit, *, job_s: float, seconds: float, now_s: float = 0.0) -> float:
    """Keeps as many calls under way as the limit allows, on a server that answers one each job_s seconds.

    Returns:
        the instant at which it ended.
    """
    entered: list[float] = []
    end_s = now_s + seconds
    while now_s < end_s:
        while limit.has_room(Priority.HIGH):
            limit.enter()
            entered.append(now_s)
        now_s += job_s
        limit.leave(now_s, now_s - entered.pop(0))
    for _ in entered:
        limit.leave(now_s, None)
    return now_s


def test_nothing_changes_while_few_calls_are_quick(limit: AdaptiveLimit) -> None:
    for number in range(1000):
        limit.enter()
        limit.leave(number * 0.01, 0.002)
    assert limit.limit == MAXIMUM


def test_a_slow_server_gets_as_many_calls_as_it_answers_in_time(limit: AdaptiveLimit) -> None:
    saturate(limit, job_s=0.005, seconds=3.0)
    # Little's law: 10 calls of 5 ms each take 50 ms together.
    assert 8 <= limit.limit <= 11


def test_one_window_is_enough_to_shrink_by_half(limit: AdaptiveLimit) -> None:
    saturate(limit, job_s=0.01, seconds=0.4)
    assert limit.limit <= MAXIMUM / 2


def test_the_limit_grows_back_once_calls_are_quick_and_many(limit: AdaptiveLimit) -> None:
    now_s = saturate(limit, job_s=0.01, seconds=3.0)
    low = limit.limit
    now_s = saturate(limit, job_s=0.001, seconds=5.0, now_s=now_s)
    assert low < 8
    assert limit.limit == MAXIMUM


def test_the_limit_never_leaves_its_bounds(limit: AdaptiveLimit) -> None:
    saturate(limit, job_s=1.0, seconds=100.0)
    assert limit.limit == LIMIT_MIN
    assert AdaptiveLimit(TARGET_S, 2).limit == 2


def test_calls_that_say_nothing_of_load_change_nothing(limit: AdaptiveLimit) -> None:
    for number in range(1000):
        limit.enter()
        limit.leave(float(number), None)
    assert (limit.limit, limit.under_way) == (MAXIMUM, 0)


def test_lower_classes_are_refused_first(limit: AdaptiveLimit) -> None:
    let_in = dict.fromkeys(Priority, 0)
    for _ in range(MAXIMUM + 1):
        for each in Priority:
            let_in[each] += limit.has_room(each)
        limit.enter()
    assert let_in[Priority.LOW] < let_in[Priority.NORMAL] < let_in[Priority.HIGH] == MAXIMUM
    assert let_in[Priority.LOW] == SHARES[Priority.LOW] * MAXIMUM


def test_a_batch_is_never_more_than_low() -> None:
    service = "/prudence.v1.RecommendationService/"
    assert (of_method(service + "BatchRecommend"), of_method(service + "Recommend")) == (
        Priority.LOW,
        Priority.HIGH,
    )


def test_a_quantile_is_that_of_the_last_measurements() -> None:
    quantile = RecentQuantile()
    for number in range(1000):
        quantile.add(float(number), 0.0)
    assert quantile.read(0.0) == pytest.approx(993, abs=10)


def test_a_quantile_that_nothing_renews_fades() -> None:
    quantile = RecentQuantile()
    quantile.add(1.0, 10.0)
    assert quantile.read(10.0 + FRESH_S) == 1.0
    assert quantile.read(10.0 + FRESH_S + 10.0) < 0.001
