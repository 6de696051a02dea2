"""Measures the feedback log: `python -m benchmarks.feedback`; `--kills 200` kills writers, too.

The server is a process of its own over the bundle of the demonstration, with a store made of its data. Log
and store lie under --work, whose disk is the one that is measured.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench.scene import Scene, open_scene
from benchmarks.errors import BenchmarkError
from benchmarks.feedback.drawing import TARGET_EVENTS_PER_S, draw
from benchmarks.feedback.kills import KillResult, run_kills
from benchmarks.feedback.measure import Place, measure_freshness, measure_shapes
from benchmarks.feedback.reports import Freshness, Throughput
from benchmarks.live_recall.watch import find_address
from benchmarks.machine import describe_machine
from benchmarks.report_files import write_tables
from benchmarks.serving import run_server
from server.errors import ServerError
from server.users.opening import StoreAddress, fill_store

USER_COUNT_MAX = 2000
LATENCY_MS_MAX = 1000.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows and writes; returns 0, or 1 if something is wrong or an event was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts/simulated"))
    parser.add_argument("--work", type=Path, default=Path("artifacts/feedback"), help="emptied before use")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--events", type=int, default=50_000, help="events of each shape of calls")
    parser.add_argument("--probes", type=int, default=500, help="events followed to the changed answer")
    parser.add_argument("--event-rate", type=float, default=500.0, help="events per second beside")
    parser.add_argument("--request-rate", type=float, default=100.0, help="requests per second beside")
    parser.add_argument(
        "--kills", type=int, default=0, help="writers to kill; their result has its own files"
    )
    options = parser.parse_args(arguments)
    console = Console()
    try:
        shutil.rmtree(options.work, ignore_errors=True)
        options.work.mkdir(parents=True)
        if options.kills:
            return _kill(options, console)
        return _measure(options, console)
    except (BenchmarkError, ServerError) as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", highlight=False, markup=False)
        return 1


def _measure(options: argparse.Namespace, console: Console) -> int:
    scene = open_scene(options.artifacts, None, console)
    store = options.work / "users.sqlite"
    fill_store(
        StoreAddress(str(store)),
        profiles=scene.artifacts.data / "profiles.parquet",
        interactions=scene.artifacts.data / "interactions.parquet",
        force=False,
        on_progress=lambda step, done, total: None,
    )
    plan = replace(
        scene.make_plan(),
        store=store,
        options=("--feedback-log", str(options.work / "log"), "--metrics-port", "0"),
    )
    log = options.work / "server.log"
    with run_server(plan, log) as server:
        place = _describe(scene, server.target, find_address(log))
        fresh, latencies_ms = measure_freshness(
            place, options.probes, options.event_rate, options.request_rate, seed=1
        )
        shapes = measure_shapes(place, options.events, seed=2)
    machine = describe_machine()
    body = {
        "machine": asdict(machine),
        "to_reach": {"events_per_s": TARGET_EVENTS_PER_S, "latency_ms_p99": LATENCY_MS_MAX},
        "throughput": [asdict(shape) for shape in shapes],
        "freshness": asdict(fresh),
    }

    def show(target: Console) -> None:
        target.print(_tabulate(shapes), _describe_freshness(fresh), machine.line, soft_wrap=True)

    write_tables(options.out, "feedback", console, show, body)
    draw(options.out / "feedback.png", shapes, latencies_ms, machine.line)
    wrong = fresh.stale_count + sum(shape.other_count for shape in shapes)
    return 0 if wrong == 0 else 1


def _kill(options: argparse.Namespace, console: Console) -> int:
    result = run_kills(options.work, options.kills)
    machine = describe_machine()

    def show(target: Console) -> None:
        target.print(_tabulate_kills(result), machine.line, soft_wrap=True)

    write_tables(options.out, "feedback-kills", console, show, {"machine": asdict(machine), **asdict(result)})
    return 0 if (result.lost_count, result.duplicate_count, result.unapplied_count) == (0, 0, 0) else 1


def _describe(scene: Scene, target: str, metrics: str) -> Place:
    users = sorted(scene.dataset.profiles)[:USER_COUNT_MAX]
    return Place(target, metrics, tuple(users), tuple(sorted(scene.dataset.products)))


def _tabulate(shapes: Sequence[Throughput]) -> Table:
    title = f"RecordEvents: durable events per second (to reach: {TARGET_EVENTS_PER_S:,})"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for name in (
        "events of a call",
        "callers",
        "events",
        "events/s",
        "call p50 ms",
        "p99 ms",
        "events per fsync",
    ):
        table.add_column(name, justify="right")
    for shape in shapes:
        table.add_row(
            str(shape.batch_count),
            str(shape.caller_count),
            f"{shape.accepted_count:,}",
            f"{shape.events_per_s:,.0f}",
            f"{shape.latency_ms_p50:.1f}",
            f"{shape.latency_ms_p99:.1f}",
            f"{shape.accepted_count / max(shape.commit_count, 1):,.0f}",
        )
    return table


def _describe_freshness(fresh: Freshness) -> str:
    return (
        f"from event to changed answer, beside {fresh.events_recorded_per_s:,.0f} events/s and "
        f"{fresh.requests_answered_per_s:,.0f} Recommend/s: p50 {fresh.latency_ms_p50:.1f} ms, "
        f"p99 {fresh.latency_ms_p99:.1f} ms, longest {fresh.latency_ms_max:.1f} ms "
        f"(to reach: p99 below {LATENCY_MS_MAX:.0f}); {fresh.probe_count} events, {fresh.stale_count} "
        f"answers that did not know of them, {fresh.changed_count} in which scores changed\n"
    )


def _tabulate_kills(result: KillResult) -> Table:
    table = Table(title="kill -9 during writes", box=box.SIMPLE, title_justify="left")
    table.add_column("found after the last start")
    table.add_column("", justify="right")
    rows = {
        "writers killed": result.kill_count,
        "events acknowledged": result.acknowledged_count,
        "events in the log": result.logged_count,
        "acknowledged events lost (0)": result.lost_count,
        "events more than once (0)": result.duplicate_count,
        "events in only one of log and store (0)": result.unapplied_count,
        "starts that cut a torn block, of which nobody was told": result.torn_count,
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:,}")
    return table


if __name__ == "__main__":
    sys.exit(main())
