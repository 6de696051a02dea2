"""Tests 13 and 14: callers whose time is over at once, and callers who hang up."""

from dataclasses import replace
from typing import Final

from benchmarks.faults.calls import OK, Calls
from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import OVERLOADED
from benchmarks.faults.figures import FaultTest, Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.faults.load import Load, run_load
from benchmarks.faults.load_client import Stream
from benchmarks.faults.overload import LATENCY_TARGET_S, SLOWED
from benchmarks.faults.rates import count_held, measure_rate, read_metrics
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.load.driver import read_server_cpu_s

PAIR_COUNT: Final = 5
ROUND_S: Final = 10.0
STORM_TIMEOUT_S: Final = (0.001, 0.05)
NORMAL_SHARE: Final = 0.25
STORM_SHARES: Final = {"": 0.25, "flood: ": 1.0}
"""Of what a closed loop reaches. The second storm is more than the server can answer: normal calls wait
for it whatever its deadlines are, which test 12 judges."""
CANCEL_PAIR_COUNT: Final = 5
CANCEL_ROUND_S: Final = 4.0
WAITING_SHARE: Final = 0.9
"""Of what a closed loop of a slowed server reaches: a call waits for most of its life."""
ALONE_SHARE: Final = 0.2
"""Of what a closed loop reaches: a call seldom waits for another."""
THREAD_COUNT: Final = 512
WASTED: Final = "prudence_overload_dropped_total wasted"
SEARCHES: Final = "prudence_batch_size_count"


def storm_once(
    ground: Ground, server: ServerProcess, rates: tuple[float, float], round_s: float, seed: int
) -> Findings:
    """Compares normal callers beside a storm of short deadlines with the same alone.

    Args:
        ground: what is asked.
        server: whom; with metrics.
        rates: of normal calls and of the storm, each second.
        round_s: seconds alone, and as many in the storm.
        seed: draws times, requests and deadlines.
    """
    checker, before = Checker(ground.questions), read_metrics(server)
    checker.learn(server.target)
    streams = (
        Stream("normal", ground.requests, rates[0], 0.0, 2 * round_s, keep_answers=True),
        Stream("storm", ground.requests, rates[1], round_s, 2 * round_s, STORM_TIMEOUT_S),
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
        rate: full calls a second; with cancellations twice as many are sent, so that as many stay.
        round_s: seconds without cancellations, and as many with them.
        seed: draws times, requests and cancellations.
    """
    checker = Checker(ground.questions)
    checker.learn(server.target)
    full = Stream("full", ground.requests, rate, stop_s=round_s)
    alone, full_s = _take_cpu(server, full, seed)
    # A random point of a call lies between its send and the time that a call takes.
    within_s = (0.0, alone.ended(OK).percentile_ms(50) / 1e3)
    half = Stream(
        "half", ground.requests, 2 * rate, 0.0, round_s, (10.0, 10.0), 0.5, within_s, keep_answers=True
    )
    calls, half_s = _take_cpu(server, half, seed)
    gone, each_s = calls.ended("CANCELLED").count, full_s / max(1, alone.count)
    gone_s = half_s - (calls.count - gone) * each_s
    counts = {"pairs": 1, "calls cancelled": gone}
    samples = {
        "CPU of a cancelled call, share of a full one": (gone_s / max(1, gone) / max(each_s, 1e-9),),
        "p50 of full calls, ms": (alone.ended(OK).percentile_ms(50),),
    }
    noted = _note(calls, server, count_held(server), gone)
    return noted + Findings(counts, samples=samples) + checker.judge(calls.answers)


def _take_cpu(server: ServerProcess, stream: Stream, seed: int) -> tuple[Calls, float]:
    """Sends a stream; returns its calls, and the CPU seconds that the server used meanwhile."""
    before_s = read_server_cpu_s(server.target)
    calls = run_load(Load(server.target, (stream,), client_count=1, seed=seed)).calls[stream.name]
    return calls, read_server_cpu_s(server.target) - before_s


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


def _storm(ground: Ground, scale: float, seed: int) -> Findings:
    """Storms a server, once within what it can answer and once beyond that, in turn."""
    settings, found = ground.settings("--metrics-port", 0, latency_target_s=LATENCY_TARGET_S), Findings()
    with run_server(ground.make_folder("storm"), settings) as server:
        rate = max(5.0, measure_rate(ground, server))
        for pair in range(PAIR_COUNT):
            for kind, share in STORM_SHARES.items():
                rates = rate * NORMAL_SHARE, rate * share
                once = storm_once(ground, server, rates, _round_s(ROUND_S, scale), seed * 100 + pair)
                found += _rename(kind, once)
    return found + Findings(samples={"closed loop, calls/s": (rate,)})


def _cancel(ground: Ground, scale: float, seed: int) -> Findings:
    """Cancels calls that wait for an expensive search, and calls that wait for nothing."""
    # Nobody is refused: a refusal would pass for a cheap call.
    settings, found = ground.settings("--metrics-port", 0, "--rpc-thread-count", THREAD_COUNT), Findings()
    for kind, program, loaded in (("waiting", SLOWED, WAITING_SHARE), ("alone", ("server",), ALONE_SHARE)):
        with run_server(ground.make_folder(kind), settings, program=program) as server:
            rate = max(5.0, measure_rate(ground, server)) * loaded
            for pair in range(CANCEL_PAIR_COUNT):
                once = cancel_once(ground, server, rate, _round_s(CANCEL_ROUND_S, scale), seed * 100 + pair)
                found += _rename(f"{kind}: ", once)
            found += Findings(samples={f"{kind}: full calls/s": (rate,)})
    return found


def _rename(kind: str, found: Findings) -> Findings:
    return replace(found, samples={kind + name: values for name, values in found.samples.items()})


def _round_s(full_s: float, scale: float) -> float:
    return max(2.0, full_s * min(scale, 1.0))


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
    _storm,
    {"pairs": PAIR_COUNT * len(STORM_SHARES)},
    (
        *(Target(f"{kind}wasted share of all searches", "<", 0.05) for kind in STORM_SHARES),
        Target("p99, times that without", "<", 1.2),
        *_OTHERS,
    ),
    "p99 beside a flood of more calls than can be answered: it is measured and not judged",
)
CANCELLED: Final = FaultTest(
    14,
    "half of the calls cancelled at random points",
    _cancel,
    {"pairs": 2 * CANCEL_PAIR_COUNT},
    (
        Target("waiting: CPU of a cancelled call, share of a full one", "<", 0.3),
        Target("alone: CPU of a cancelled call, share of a full one", "<", 0.3),
        *_OTHERS,
    ),
)
