"""Tests 13 and 14: callers whose time is over at once, and callers who hang up."""

from collections.abc import Callable
from typing import Final

from benchmarks.faults.calls import OK, Calls
from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import OVERLOADED
from benchmarks.faults.figures import FaultTest, Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.faults.load import Load, run_load
from benchmarks.faults.load_client import Stream
from benchmarks.faults.overload import LATENCY_TARGET_S
from benchmarks.faults.rates import count_held, measure_rate, read_metrics
from benchmarks.faults.server_process import ServerProcess, run_server

PAIR_COUNT: Final = 5
ROUND_S: Final = 10.0
STORM_TIMEOUT_S: Final = (0.001, 0.05)
NORMAL_SHARE: Final = 0.25
CALLED_SHARE: Final = 0.4
"""Of what a closed loop reaches; the storm of deadlines comes at all of it."""
WASTED: Final = "prudence_overload_dropped_total wasted"
SEARCHES: Final = "prudence_batch_size_count"

_Once = Callable[[Ground, ServerProcess, float, float, int], Findings]


def storm_once(ground: Ground, server: ServerProcess, rate: float, round_s: float, seed: int) -> Findings:
    """Compares normal callers beside a storm of short deadlines with the same alone.

    Args:
        ground: what is asked.
        server: whom; with metrics.
        rate: calls a second that the server can answer.
        round_s: seconds alone, and as many in the storm.
        seed: draws times, requests and deadlines.
    """
    checker, before = Checker(ground.questions), read_metrics(server)
    checker.learn(server.target)
    streams = (
        Stream("normal", ground.requests, rate * NORMAL_SHARE, 0.0, 2 * round_s, keep_answers=True),
        Stream("storm", ground.requests, rate, round_s, 2 * round_s, STORM_TIMEOUT_S),
    )
    calls = run_load(Load(server.target, streams, client_count=1, seed=seed)).calls
    normal, held, after = calls["normal"], count_held(server), read_metrics(server)
    alone, beside = (normal.between(place * round_s, (place + 1) * round_s).ended(OK) for place in (0, 1))
    wasted, searches = (after.get(name, 0.0) - before.get(name, 0.0) for name in (WASTED, SEARCHES))
    counts = {"pairs": 1, "calls of the storm": calls["storm"].count, "searches wasted": round(wasted)}
    samples = {
        # A search takes the same time whoever asks for it, so that its CPU time is a share of their number.
        "wasted share of all searches": (wasted / max(1.0, searches),),
        "p99, times that without": (beside.percentile_ms(99) / alone.percentile_ms(99),),
    }
    return _note(normal, server, held) + Findings(counts, samples=samples) + checker.judge(normal.answers)


def cancel_once(ground: Ground, server: ServerProcess, rate: float, round_s: float, seed: int) -> Findings:
    """Compares the CPU time of calls half of which are cancelled with that of as many full calls.

    Args:
        ground: what is asked.
        server: whom; with metrics.
        rate: calls a second that the server can answer.
        round_s: seconds without cancellations, and as many with them.
        seed: draws times, requests and cancellations.
    """
    checker, asked = Checker(ground.questions), rate * CALLED_SHARE
    checker.learn(server.target)
    full = Stream("full", ground.requests, asked, stop_s=round_s)
    alone = run_load(Load(server.target, (full,), client_count=1, seed=seed), server.pid)
    # A random point of a call lies between its send and the time that a call takes.
    within_s = (0.0, alone.calls["full"].ended(OK).percentile_ms(50) / 1e3)
    half = Stream(
        "half", ground.requests, asked, 0.0, round_s, (10.0, 10.0), 0.5, within_s, keep_answers=True
    )
    beside = run_load(Load(server.target, (half,), client_count=1, seed=seed), server.pid)
    assert alone.cpu is not None, "the server's process was named"
    assert beside.cpu is not None, "the server's process was named"
    calls, gone = beside.calls["half"], beside.calls["half"].ended("CANCELLED").count
    each_s = alone.cpu.between(0.0, round_s) / max(1, alone.calls["full"].count)
    gone_s = beside.cpu.between(0.0, round_s) - (calls.count - gone) * each_s
    counts = {"pairs": 1, "calls cancelled": gone}
    samples = {"CPU of a cancelled call, share of a full one": (gone_s / max(1, gone) / max(each_s, 1e-9),)}
    noted = _note(calls, server, count_held(server), gone)
    return noted + Findings(counts, samples=samples) + checker.judge(calls.answers)


def _note(calls: Calls, server: ServerProcess, held: int, cancelled: int = 0) -> Findings:
    """Counts what became of those who neither hurried nor hung up."""
    answered, refused = calls.ended(OK).count, calls.ended(OVERLOADED).count
    return Findings(
        {
            "others answered": answered,
            "others refused, OVERLOADED": refused,
            "others failed": calls.count - answered - refused - cancelled,
            "gauges not back to 0": held,
            "crashes": 0 if server.alive else 1,
        }
    )


def _repeat(once: _Once, name: str, ground: Ground, scale: float, seed: int) -> Findings:
    settings, found = ground.settings("--metrics-port", 0, latency_target_s=LATENCY_TARGET_S), Findings()
    with run_server(ground.make_folder(name), settings) as server:
        rate = max(5.0, measure_rate(ground, server))
        for pair in range(PAIR_COUNT):
            found += once(ground, server, rate, max(2.0, ROUND_S * min(scale, 1.0)), seed * 100 + pair)
    return found + Findings(samples={"closed loop, calls/s": (rate,)})


_OTHERS: Final = tuple(
    Target(name, "==", 0)
    for name in (
        "others failed",
        "others refused, OVERLOADED",
        "gauges not back to 0",
        "crashes",
        "suitability violations",
        "crossed answers",
    )
)
STORM: Final = FaultTest(
    13,
    "a storm of calls with deadlines of 1 to 50 ms",
    lambda ground, scale, seed: _repeat(storm_once, "storm", ground, scale, seed),
    {"pairs": PAIR_COUNT},
    (
        Target("wasted share of all searches", "<", 0.05),
        Target("p99, times that without", "<", 1.2),
        *_OTHERS,
    ),
)
CANCELLED: Final = FaultTest(
    14,
    "half of the calls cancelled at random points",
    lambda ground, scale, seed: _repeat(cancel_once, "cancelled", ground, scale, seed),
    {"pairs": PAIR_COUNT},
    (Target("CPU of a cancelled call, share of a full one", "<", 0.3), *_OTHERS),
)
