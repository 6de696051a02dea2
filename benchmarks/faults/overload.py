"""Test 12: two, five and ten times the calls that a server can answer, in an open loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.faults.calls import OK
from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import OVERLOADED
from benchmarks.faults.figures import FaultTest, Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.faults.load import Load, run_load
from benchmarks.faults.load_client import Stream
from benchmarks.faults.rates import count_held, measure_rate
from benchmarks.faults.server_process import ServerProcess, run_server

OVER_S: Final = 60.0
FACTORS: Final = (2.0, 5.0, 10.0)
SLOWED_S: Final = 0.005
SLOWED: Final = ("benchmarks.faults.slowed_server", str(SLOWED_S))
AGAIN_COUNT: Final = 4
AGAIN_S: Final = 12.0
"""A ratio of two p99 is the median of five pairs: an unslowed server is overloaded so often again."""
LATENCY_TARGET_S: Final = 0.05
"""The server's own default, which the other fault tests widen."""
PEAK_S: Final = 8.0
WARM_S: Final = 1.0
RECOVERY_S: Final = 5.0
SLO_MS: Final = 100.0
"""p99 of admitted calls: twice the latency that nine of ten may reach. The table of tests names no number."""


@dataclass(frozen=True)
class Phases:
    """Seconds of half the peak, of the overload, and of half the peak again, 5 s of them for recovery."""

    before_s: float
    over_s: float
    after_s: float


def find_peak(ground: Ground, server: ServerProcess, seed: int) -> float:
    """Returns the most calls answered each second: in a closed loop, or in an open one a tenth above it."""
    closed = measure_rate(ground, server)
    stream = Stream("peak", ground.requests, max(1.0, closed * 1.1), stop_s=PEAK_S)
    calls = run_load(Load(server.target, (stream,), client_count=1, seed=seed)).calls["peak"]
    return max(1.0, closed, calls.answered_per_s(WARM_S, PEAK_S))


def overload_once(
    ground: Ground, server: ServerProcess, rates: tuple[float, float], phases: Phases, seed: int
) -> Findings:
    """Overloads a server for a while, and compares what it does with its peak and with the time before.

    Args:
        ground: what is asked.
        server: whom; with metrics.
        rates: peak, and how many times of it is asked.
        phases: how long.
        seed: draws times and requests.
    """
    checker, (peak, factor) = Checker(ground.questions), rates
    checker.learn(server.target)
    over_s, end_s = phases.before_s, phases.before_s + phases.over_s
    streams = (
        Stream("before", ground.requests, peak / 2, 0.0, over_s),
        Stream("over", ground.requests, peak * factor, over_s, end_s, keep_answers=True),
        Stream("after", ground.requests, peak / 2, end_s, end_s + phases.after_s),
    )
    outcome = run_load(Load(server.target, streams, client_count=1, seed=seed))
    calls = outcome.calls["over"]
    before = outcome.calls["before"].ended(OK).percentile_ms(99)
    after = outcome.calls["after"].between(end_s + RECOVERY_S, end_s + phases.after_s).ended(OK)
    refused, ended = calls.ended(OVERLOADED), calls.count_reasons()
    # Of a call whose time is over the server says so in one of two ways.
    late = sum(count for reason, count in ended.items() if "DEADLINE" in reason)
    counts = {
        "seconds of overload": round(phases.over_s),
        "calls admitted": calls.ended(OK).count,
        "calls refused": refused.count,
        "calls ended otherwise": calls.count - calls.ended(OK).count - refused.count - late,
        "gauges not back to 0": count_held(server),
        "crashes": 0 if server.alive else 1,
    } | {f"ended {reason}": count for reason, count in ended.items()}
    name = f", {factor:g}x"
    samples = {
        f"goodput of peak{name}": (calls.answered_per_s(over_s, end_s) / peak,),
        f"admitted p99{name}, ms": (calls.ended(OK).percentile_ms(99),),
        f"refused p99{name}, ms": (refused.percentile_ms(99),) if refused.count else (),
        f"p99 5 s after{name}, times that before": (after.percentile_ms(99) / before,) if after.count else (),
        f"sent late, p99{name}, ms": (calls.late_ms(99),),
    }
    return Findings(counts, samples=samples) + checker.judge(calls.answers)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Overloads a slowed server by each factor, and one as it is by two."""
    whole, again = (_phases(over_s, scale) for over_s in (OVER_S, AGAIN_S))
    kinds: tuple[tuple[str, Sequence[str], Sequence[tuple[float, Phases]]], ...] = (
        ("slowed", SLOWED, [(factor, whole) for factor in FACTORS]),
        ("unslowed", ("server",), [(FACTORS[0], phases) for phases in (whole, *[again] * AGAIN_COUNT)]),
    )
    settings = ground.settings("--metrics-port", 0, latency_target_s=LATENCY_TARGET_S)
    found = Findings()
    for kind, program, rounds in kinds:
        with run_server(ground.make_folder(kind), settings, program=program) as server:
            peak = find_peak(ground, server, seed)
            for number, (factor, phases) in enumerate(rounds):
                rates = (peak, factor)
                found += _rename(kind, overload_once(ground, server, rates, phases, seed + number))
        found += Findings(samples={f"{kind}: peak, calls/s": (peak,)})
    return found


def _phases(over_s: float, scale: float) -> Phases:
    return Phases(10.0, max(2.0, over_s * min(scale, 1.0)), RECOVERY_S + 10.0)


def _rename(kind: str, found: Findings) -> Findings:
    samples = {f"{kind}: {name}": values for name, values in found.samples.items()}
    return Findings(found.counts, found.worst, samples)


TEST: Final = FaultTest(
    12,
    "two, five and ten times what the server can answer",
    run,
    {"seconds of overload": round(OVER_S * (len(FACTORS) + 1) + AGAIN_S * AGAIN_COUNT)},
    (
        Target("slowed: peak, calls/s", "<=", 200.0),
        Target("slowed: goodput of peak, 10x", ">=", 0.9),
        *(Target(f"slowed: refused p99, {factor:g}x, ms", "<", 10.0, "ms") for factor in FACTORS),
        *(Target(f"slowed: admitted p99, {factor:g}x, ms", "<=", SLO_MS, "ms") for factor in FACTORS),
        *(Target(f"slowed: p99 5 s after, {factor:g}x, times that before", "<", 1.2) for factor in FACTORS),
        Target("unslowed: goodput of peak, 2x", ">=", 0.7),
        Target("unslowed: admitted p99, 2x, ms", "<=", SLO_MS, "ms"),
        Target("unslowed: p99 5 s after, 2x, times that before", "<", 1.2),
        *(Target(name, "==", 0) for name in ("calls ended otherwise", "gauges not back to 0", "crashes")),
        *(Target(name, "==", 0) for name in ("suitability violations", "crossed answers")),
    ),
)
