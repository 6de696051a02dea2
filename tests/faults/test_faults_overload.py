"""Overload, short deadlines and cancellations at a small scale: refused, counted, nothing left over."""

from collections.abc import Iterator

import pytest

from benchmarks.faults.crowd import OVERLOADED
from benchmarks.faults.figures import Findings, Verdict
from benchmarks.faults.ground import Ground
from benchmarks.faults.hurried import cancel_once, storm_once
from benchmarks.faults.overload import LATENCY_TARGET_S, SLOWED, TEST, Phases, overload_once
from benchmarks.faults.rates import read_metrics
from benchmarks.faults.server_process import ServerProcess, run_server

SEED = 3
PEAK = 60.0


def zeros(findings: Findings, *names: str) -> None:
    assert {name: findings.counts[name] for name in names} == dict.fromkeys(names, 0)


@pytest.fixture(scope="module")
def slowed(ground: Ground) -> Iterator[ServerProcess]:
    settings = ground.settings("--metrics-port", 0, latency_target_s=LATENCY_TARGET_S)
    with run_server(ground.make_folder("slowed"), settings, program=SLOWED) as server:
        yield server


def test_ten_times_the_peak_is_answered_or_refused_and_nothing_is_left(
    ground: Ground, slowed: ServerProcess
) -> None:
    found = overload_once(ground, slowed, (PEAK, 10.0), Phases(0.5, 1.5, 0.5), SEED)
    zeros(found, "gauges not back to 0", "crashes")
    zeros(found, "suitability violations", "crossed answers")
    assert found.counts["calls refused"] > found.counts["calls admitted"] > 0
    assert read_metrics(slowed)["prudence_overload_rejected_total limit"] > 0


def test_a_storm_of_deadlines_is_counted_and_leaves_nothing(ground: Ground, slowed: ServerProcess) -> None:
    found = storm_once(ground, slowed, (PEAK / 4, PEAK), 1.0, SEED)
    zeros(found, "others failed", "gauges not back to 0", "crashes", "crossed answers")
    assert found.counts["calls of the storm"] > 10
    assert found.counts["others answered"] > 0


def test_cancelled_calls_leave_their_neighbours_answers(ground: Ground, slowed: ServerProcess) -> None:
    found = cancel_once(ground, slowed, PEAK, 1.0, SEED)
    zeros(found, "others failed", "gauges not back to 0", "crashes", "crossed answers")
    assert found.counts["calls cancelled"] > 0
    assert found.counts["others answered"] > 0


def test_refusals_alone_miss_the_target_of_those_beside_a_fault() -> None:
    assert TEST.judge(None) is Verdict.NOT_RUN
    assert TEST.judge(Findings({f"others: {OVERLOADED}": 1})) is Verdict.MISSED
