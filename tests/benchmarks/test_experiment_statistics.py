"""Tests of differences keep what they promise: false alarms, power, and peeking as often as one likes."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.experiments.differences import (
    Rate,
    compare_rates,
    compare_shares,
    count_users_needed,
    judge_sample_ratio,
)
from benchmarks.experiments.promises import draw_clicks, measure_promises
from benchmarks.experiments.sequential import USER_COUNT_MIN, follow

REPEAT_COUNT = 2000
ALPHA = 0.05
TOLERANCE = 1e-6
"""How often a count of chance could be so far off, were the promise kept."""


def count_false_alarms(p_values: list[float]) -> int:
    return sum(p_value < ALPHA for p_value in p_values)


def is_promised(alarm_count: int, trial_count: int, share: float = ALPHA) -> bool:
    return bool(stats.binomtest(alarm_count, trial_count, share).pvalue > TOLERANCE)


def test_clicks_of_what_was_seen_raise_as_many_false_alarms_as_they_should() -> None:
    random = np.random.default_rng(1)
    found = [compare_rates(draw_clicks(random, 400), draw_clicks(random, 500)) for _ in range(REPEAT_COUNT)]
    assert is_promised(count_false_alarms([each.p_value for each in found]), REPEAT_COUNT)
    missed = sum(not each.low <= 0 <= each.high for each in found)
    assert is_promised(missed, REPEAT_COUNT)


def test_answers_taken_as_independent_would_raise_far_too_many() -> None:
    # What the delta method is for: the plain two-proportion test over what was seen knows nothing of users.
    random = np.random.default_rng(2)
    p_values = []
    for _ in range(500):
        sums = [(rate.part.sum(), rate.whole.sum()) for rate in (draw_clicks(random, 400) for _ in range(2))]
        table = np.array([[part, whole - part] for part, whole in sums])
        p_values.append(float(stats.chi2_contingency(table, correction=False).pvalue))
    assert count_false_alarms(p_values) > 1.5 * ALPHA * len(p_values)


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_shares_of_users_raise_as_many_false_alarms_as_they_should(share: float) -> None:
    random = np.random.default_rng(3)
    p_values, missed = [], 0
    for _ in range(REPEAT_COUNT):
        users = [(random.uniform(size=size) < share).astype(float) for size in (700, 500)]
        found = compare_shares(users[0], users[1])
        p_values.append(found.p_value)
        missed += not found.low <= 0 <= found.high
    # Counts are whole numbers, so that the true share of alarms lies a little beside the stated one.
    assert 0.5 * ALPHA < count_false_alarms(p_values) / REPEAT_COUNT < 1.4 * ALPHA
    assert missed / REPEAT_COUNT < 1.4 * ALPHA


def test_shares_agree_with_a_published_example() -> None:
    # Newcombe 1998, table II, example (a): 56 of 70 against 48 of 80, method 10.
    found = compare_shares(np.repeat([1.0, 0.0], [48, 32]), np.repeat([1.0, 0.0], [56, 14]))
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)


def test_shares_of_nobody_and_of_everybody_do_not_differ() -> None:
    for users in (np.zeros(50), np.ones(50)):
        found = compare_shares(users, users[:30])
        assert (found.value, found.p_value) == (0, 1)
        assert found.low < 0 < found.high


def test_a_plan_finds_what_it_is_for_as_often_as_it_says() -> None:
    share, difference = 0.10, 0.03
    count = count_users_needed(share, difference, power=0.8)
    random = np.random.default_rng(4)
    hits = 0
    for _ in range(REPEAT_COUNT):
        users = [(random.uniform(size=count) < each).astype(float) for each in (share, share + difference)]
        found = compare_shares(users[0], users[1])
        hits += found.p_value < ALPHA
    assert abs(hits / REPEAT_COUNT - 0.8) < 0.04
    assert count == count_users_needed(share + difference, -difference, power=0.8)


def look_often(control: Rate, variant: Rate, *, planned: int) -> float:
    """Looks after every 50 users of both; returns the last always-valid p-value."""
    count = len(control.part)
    arrivals = np.arange(count, dtype=np.int64)
    looks = np.arange(USER_COUNT_MIN, count, 25, dtype=np.int64)
    path = follow(control, variant, (arrivals, arrivals), looks, planned_user_count=planned)
    assert (np.diff(path.p_value) <= 0).all()
    return float(path.p_value[-1])


def test_looking_all_the_time_raises_no_more_false_alarms_than_stated() -> None:
    random = np.random.default_rng(5)
    trial_count, count = 600, 3000
    always_valid, naive = [], []
    for _ in range(trial_count):
        rates = [draw_clicks(random, count) for _ in range(2)]
        always_valid.append(look_often(rates[0], rates[1], planned=4000))
        looks = [
            compare_rates(*(Rate(rate.part[:seen], rate.whole[:seen]) for rate in rates)).p_value
            for seen in range(USER_COUNT_MIN, count, 100)
        ]
        naive.append(min(looks))
    assert count_false_alarms(always_valid) / trial_count <= ALPHA
    # And this is what it saves from: the same looks with a test for one look.
    assert count_false_alarms(naive) / trial_count > 3 * ALPHA


def test_the_sequential_test_finds_what_is_there_and_its_interval_holds_the_truth() -> None:
    random = np.random.default_rng(6)
    trial_count, count, truth = 200, 4000, 0.1
    found, left_out = 0, 0
    for _ in range(trial_count):
        users = [(random.uniform(size=count) < each).astype(float) for each in (0.3, 0.3 + truth)]
        rates = [Rate(each, np.ones(count)) for each in users]
        arrivals = np.arange(count, dtype=np.int64)
        looks = np.arange(USER_COUNT_MIN, count, 50, dtype=np.int64)
        path = follow(rates[0], rates[1], (arrivals, arrivals), looks, planned_user_count=4000)
        found += path.decided_us is not None
        left_out += bool(((path.low > truth) | (path.high < truth)).any())
    assert found == trial_count
    assert left_out / trial_count <= ALPHA


def test_the_interval_of_all_looks_is_wider_and_shrinks() -> None:
    random = np.random.default_rng(7)
    rates = [draw_clicks(random, 2000) for _ in range(2)]
    arrivals = np.arange(2000, dtype=np.int64)
    looks = np.array([100, 400, 1999], np.int64)
    path = follow(rates[0], rates[1], (arrivals, arrivals), looks, planned_user_count=4000)
    assert path.time_us.tolist() == [400, 1999]  # 101 users are too few to look at.
    last = compare_rates(rates[0], rates[1])
    widths = path.high - path.low
    assert last.high - last.low < widths[1] < widths[0]
    assert path.value[1] == pytest.approx(last.value, rel=1e-9)


def test_users_who_are_missing_from_a_variant_raise_an_alarm() -> None:
    shares = np.array([5000.0, 5000.0])
    assert judge_sample_ratio(np.array([10_100, 9_900]), shares) > 0.1
    assert judge_sample_ratio(np.array([10_400, 9_600]), shares) < 1e-6
    random = np.random.default_rng(8)
    p_values = [
        judge_sample_ratio(random.multinomial(3000, [0.5, 0.3, 0.2]), np.array([5.0, 3.0, 2.0]))
        for _ in range(REPEAT_COUNT)
    ]
    assert is_promised(count_false_alarms(p_values), REPEAT_COUNT)


def test_the_promises_are_counted_and_kept_with_few_draws() -> None:
    steps: list[str] = []
    found = measure_promises(200, steps.append)
    assert (found.look_count, found.planned_user_count, len(steps)) == (112, 1774, 5)
    assert [each.trial_count for each in found.false_alarms] == [200, 200, 40, 20, 20]
    one_look, _, as_answers, peeked, sequential = found.false_alarms
    assert is_promised(one_look.found_count, one_look.trial_count)
    assert sequential.share <= peeked.share
    assert as_answers.low < as_answers.share < as_answers.high
    assert found.power[1].share <= found.power[2].share
