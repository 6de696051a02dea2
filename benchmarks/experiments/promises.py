"""Measures what the tests of differences promise, on drawn users: false alarms, peeking, power."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.experiments.differences import (
    LEVEL,
    Rate,
    compare_rates,
    compare_shares,
    count_users_needed,
)
from benchmarks.experiments.log import Codes
from benchmarks.experiments.sequential import USER_COUNT_MIN, Path, follow

ALPHA: Final = 1 - LEVEL
USER_COUNTS: Final = (400, 2000)
PEEKED_USER_COUNT: Final = 3000
PLANNED_USER_COUNT: Final = 4000
LOOK_EVERY: Final = 25
SHARE: Final = 0.10
DIFFERENCE: Final = 0.03
POWER: Final = 0.8
SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Promise:
    """How often a test found a difference, with the interval that the number of trials leaves open.

    Attributes:
        test: what was asked, for people.
        promised: how often it should find one at most, or at least where one is there; None for no promise.
        found_count: trials in which it found one.
        trial_count: trials.
        low, high: 95 % interval of the share, Wilson.
    """

    test: str
    promised: float | None
    found_count: int
    trial_count: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share of trials in which it found one."""
        return self.found_count / self.trial_count


@dataclass(frozen=True, slots=True)
class Promises:
    """False alarms where nothing differs, and power where something does."""

    false_alarms: tuple[Promise, ...]
    power: tuple[Promise, ...]
    look_count: int
    planned_user_count: int


def measure_promises(trial_count: int, tell: Callable[[str], None]) -> Promises:
    """Draws experiments and counts what the tests find.

    Args:
        trial_count: of those that take one look; the others, which cost more, take fewer.
        tell: told of each step.
    """
    looks = np.arange(USER_COUNT_MIN, PEEKED_USER_COUNT, LOOK_EVERY, dtype=np.int64)
    alarms = []
    for number, user_count in enumerate(USER_COUNTS):
        tell(f"one look at {user_count} users of each variant")
        random = np.random.default_rng(SEED + number)
        found = sum(_differs(random, user_count) for _ in range(trial_count))
        name = f"delta method, {user_count:,} users of each variant, one look"
        alarms.append(_make(name, ALPHA, found, trial_count))
    tell("answers taken as independent")
    random, fewer = np.random.default_rng(SEED + 2), max(1, trial_count // 5)
    found = sum(_differs_as_answers(random, USER_COUNTS[0]) for _ in range(fewer))
    alarms.append(
        _make("two proportions over what was seen, as if answers were independent", None, found, fewer)
    )
    tell("looking again and again")
    alarms.extend(_peek(max(1, trial_count // 10), looks))
    tell("power")
    planned = count_users_needed(SHARE, DIFFERENCE, power=POWER)
    return Promises(tuple(alarms), _find_power(max(1, trial_count // 20), planned), len(looks), planned)


def draw_clicks(random: np.random.Generator, user_count: int) -> Rate:
    """Draws users of unlike habits: some see a lot, and these click more often of what they see."""
    habit = random.gamma(1.5, 1.0, user_count)
    seen = 1 + random.poisson(6 * habit)
    clicks = random.binomial(seen, np.minimum(0.03 * (0.5 + habit), 1.0))
    return Rate(clicks.astype(float), seen.astype(float))


def _differs(random: np.random.Generator, user_count: int) -> bool:
    return compare_rates(draw_clicks(random, user_count), draw_clicks(random, user_count)).p_value < ALPHA


def _differs_as_answers(random: np.random.Generator, user_count: int) -> bool:
    """Judges as if no two answers had a user in common."""
    rates = [draw_clicks(random, user_count) for _ in range(2)]
    sums = [(rate.part.sum(), rate.whole.sum()) for rate in rates]
    table = np.array([[part, whole - part] for part, whole in sums])
    return float(stats.chi2_contingency(table, correction=False).pvalue) < ALPHA


def _peek(trial_count: int, looks: Codes) -> list[Promise]:
    """Looks at equal variants often, with the test for one look and with the sequential one."""
    random = np.random.default_rng(SEED + 3)
    naive = sequential = 0
    for _ in range(trial_count):
        first, second = (draw_clicks(random, PEEKED_USER_COUNT) for _ in range(2))
        path = _follow(first, second, looks, PLANNED_USER_COUNT)
        sequential += path.decided_us is not None
        # The same looks, each judged as if it were the only one.
        naive += any(
            compare_rates(
                Rate(first.part[:seen], first.whole[:seen]), Rate(second.part[:seen], second.whole[:seen])
            ).p_value
            < ALPHA
            for seen in looks + 1
        )
    times = f"looked at {len(looks)} times up to {PEEKED_USER_COUNT:,} users of each variant"
    return [
        _make(f"delta method, {times}", None, naive, trial_count),
        _make(f"sequential test, {times}", ALPHA, sequential, trial_count),
    ]


def _find_power(trial_count: int, planned: int) -> tuple[Promise, ...]:
    """Looks for a difference that is there: once at the end of the plan, and again and again."""
    random = np.random.default_rng(SEED + 4)
    once = by_then = by_twice = 0
    looks = np.arange(USER_COUNT_MIN, 2 * planned, LOOK_EVERY, dtype=np.int64)
    for _ in range(trial_count):
        users = [
            (random.uniform(size=2 * planned) < share).astype(float) for share in (SHARE, SHARE + DIFFERENCE)
        ]
        once += compare_shares(users[0][:planned], users[1][:planned]).p_value < ALPHA
        control, variant = (Rate(each, np.ones(2 * planned)) for each in users)
        decided = _follow(control, variant, looks, 2 * planned).decided_us
        by_then += decided is not None and decided < planned
        by_twice += decided is not None
    return (
        _make(f"one look at {planned:,} users of each variant", POWER, once, trial_count),
        _make(f"sequential test, by {planned:,} users of each variant", None, by_then, trial_count),
        _make(f"sequential test, by {2 * planned:,} users of each variant", None, by_twice, trial_count),
    )


def _follow(control: Rate, variant: Rate, looks: Codes, planned: int) -> Path:
    arrivals = np.arange(len(control.part), dtype=np.int64)
    return follow(control, variant, (arrivals, arrivals), looks, planned_user_count=planned)


def _make(test: str, promised: float | None, found_count: int, trial_count: int) -> Promise:
    interval = stats.binomtest(found_count, trial_count).proportion_ci(LEVEL, method="wilson")
    return Promise(test, promised, found_count, trial_count, float(interval.low), float(interval.high))
