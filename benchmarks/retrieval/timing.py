"""CPU time of several searches, taken in turns so that what disturbs the machine disturbs them alike."""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.retrieval.catalogue import Filter, Users
from benchmarks.retrieval.strategies import Strategy
from benchmarks.retrieval.truth import K

_CALLS_MAX: Final = 256


@dataclass(frozen=True)
class Timing:
    """Microseconds of CPU time per request.

    Attributes:
        us: median over the passes.
        us_low, us_high: quartiles.
        pass_count: passes.
    """

    us: float
    us_low: float
    us_high: float
    pass_count: int


def time_in_turns(
    strategies: Sequence[Strategy], users: Users, which: Filter, batch: int, pass_count: int, pass_s: float
) -> list[Timing]:
    """Times each strategy under one filter.

    Args:
        strategies: what is timed.
        users: who ask, in batches; each call takes the next batch.
        which: the filter.
        batch: users of one call.
        pass_count: passes over all strategies, at least 2.
        pass_s: CPU time that one pass over a strategy should take.
    """
    waiting = [itertools.cycle(users.chunks(batch)) for _ in strategies]
    counts = [
        max(1, min(_CALLS_MAX, int(pass_s / _time_calls(strategy, chunks, which, 2))))
        for strategy, chunks in zip(strategies, waiting, strict=True)
    ]
    times: list[list[float]] = [[] for _ in strategies]
    for _ in range(pass_count):
        for place, strategy in enumerate(strategies):
            call_s = _time_calls(strategy, waiting[place], which, counts[place])
            times[place].append(call_s / batch * 1e6)
    return [_summarise(each) for each in times]


def _time_calls(strategy: Strategy, chunks: Iterator[Users], which: Filter, count: int) -> float:
    """Returns the CPU seconds of a call, of all threads, so that a library's own are counted."""
    asked = list(itertools.islice(chunks, count))
    start_ns = time.process_time_ns()
    for users in asked:
        strategy.search(users, which, K)
    return max(1, time.process_time_ns() - start_ns) / 1e9 / count


def _summarise(times: Sequence[float]) -> Timing:
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(middle, low, high, len(times))
