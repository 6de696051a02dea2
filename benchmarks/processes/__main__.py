"""Measures one process against several behind one port: `python -m benchmarks.processes --products 100000`.

Servers take turns, each started anew; what is shown is the median of their rounds. Clients run beside the
servers on the same cores, and take part of them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.bench.scene import open_scene
from benchmarks.demo.measure import make_pool
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.processes.measure import CALLER_COUNT, CLIENT_COUNT, Run, measure_run
from benchmarks.report_files import WIDTH, write_tables

COUNTS = (1, 2)
K = 10
SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes")
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts/simulated"), help="what the demonstration made"
    )
    parser.add_argument(
        "--products", type=int, help="products of a larger catalogue, kept beside --artifacts"
    )
    parser.add_argument("--out", type=Path, default=Path("artifacts/processes"), help="for the results")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each load run")
    parser.add_argument("--rounds", type=int, default=3, help="servers of each kind")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        _run(options, console)
    except (BenchmarkError, grpc.RpcError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    scene = open_scene(options.artifacts, options.products, console)
    requests = make_pool(scene.dataset, k=K, domain="both", seed=SEED)
    runs: list[Run] = []
    for round_ in range(options.rounds):
        for count in COUNTS:
            with console.status(f"round {round_ + 1}, {count} processes"):
                runs.append(measure_run(scene.make_plan(), requests, count, options.seconds, scene.log))
    machine = describe_machine()

    def show(target: Console) -> None:
        target.print(machine.line)
        target.print(f"{CALLER_COUNT} callers in {CLIENT_COUNT} client processes beside the server; k = {K}")
        target.print(make_table(runs))

    name = f"processes{scene.suffix}"
    write_tables(options.out, name, console, show, {"machine": asdict(machine), "runs": [*map(asdict, runs)]})


def make_table(runs: Sequence[Run]) -> Table:
    """Shows the median of every figure by the number of processes."""
    table = Table(title="Processes behind one port, medians", title_justify="left")
    heads = ("processes", "answers/s", "p50 ms", "p99 ms", "CPU us", "cores", "busiest", "failed", "ready s")
    for head in (*heads, "PSS MiB", "own", "files"):
        table.add_column(head, justify="right")
    for count in sorted({run.process_count for run in runs}):
        chosen = [run for run in runs if run.process_count == count]
        table.add_row(
            str(count),
            f"{median(run.answers_per_s for run in chosen):,.0f}",
            f"{median(run.latency_ms_p50 for run in chosen):.1f}",
            f"{median(run.latency_ms_p99 for run in chosen):.1f}",
            f"{median(run.cpu_us for run in chosen):,.0f}",
            f"{median(run.cores for run in chosen):.2f}",
            f"{median(run.busiest_share for run in chosen):.0%}",
            str(sum(run.error_count for run in chosen)),
            f"{median(run.ready_s for run in chosen):.1f}",
            f"{median(run.memory.whole for run in chosen):,.0f}",
            f"{median(run.memory.own for run in chosen):,.0f}",
            f"{median(run.memory.files for run in chosen):,.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
