"""Reports the benchmark of training as tables, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.report_files import write_tables
from benchmarks.training.epochs import EpochCost
from benchmarks.training.streaming import StreamCost
from benchmarks.training.vocabulary import TableCost

mpl.use("Agg")

from matplotlib import pyplot as plt

SECONDS_MAX: Final = 60.0  # The goal for an epoch of a million interactions on two cores.


@dataclass(frozen=True)
class Report:
    """Everything that one run found; parts that were not asked for are empty."""

    machine: Machine
    torch: str
    epochs: Sequence[EpochCost]
    tables: Sequence[TableCost]
    streams: Sequence[StreamCost]


def write_report(report: Report, out: Path, name: str, console: Console) -> None:
    """Prints the tables and writes them as NAME.txt, NAME.json and NAME.png into a directory."""
    write_tables(out, name, console, lambda target: _print(report, target), asdict(report))
    if report.epochs:
        _draw(report, out / f"{name}.png")


def _print(report: Report, console: Console) -> None:
    console.print(f"{report.machine.line}, torch {report.torch}", markup=False, soft_wrap=True)
    if report.epochs:
        console.print("One epoch of the two towers, default settings but for what is named; wall time")
        console.print(_tabulate_epochs(report.epochs))
    if report.tables:
        console.print("A step on one table of 63 columns, 20,000 rows looked up; one thread, median")
        headings = ("optimizer", "rows", "step ms", "peak MiB of the process")
        rows = [
            (cost.optimizer, f"{cost.row_count:,}", f"{cost.step_ms:.1f}", f"{cost.peak_mib:,}")
            for cost in report.tables
        ]
        console.print(_tabulate(headings, rows))
    if report.streams:
        console.print("Data in shards: dealt by `training shard`, then read as an epoch reads it")
        console.print(_tabulate_streams(report.streams))


def _tabulate_epochs(costs: Sequence[EpochCost]) -> Table:
    headings = (
        *("data", "settings", "events", "targets", "epoch s", "targets/s", "loss"),
        *("all s", "all CPU s", "peak MiB"),
    )
    rows = [
        (
            cost.data,
            cost.variant,
            f"{cost.event_count:,}",
            f"{cost.target_count:,}",
            f"{cost.seconds:.1f}",
            f"{cost.examples_per_second:,.0f}",
            f"{cost.loss:.4f}",
            f"{cost.whole_seconds:.0f}",
            f"{cost.cpu_seconds:.0f}",
            f"{cost.peak_mib:,}",
        )
        for cost in costs
    ]
    return _tabulate(headings, rows, text_count=2)


def _tabulate_streams(costs: Sequence[StreamCost]) -> Table:
    headings = ("events", "targets", "shards", "Parquet MiB", "deal s", "peak MiB", "read s", "peak MiB")
    return _tabulate(headings, [[f"{value:,.0f}" for value in asdict(cost).values()] for cost in costs])


def _tabulate(headings: Sequence[str], rows: Sequence[Sequence[str]], text_count: int = 1) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < text_count else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _draw(report: Report, path: Path) -> None:
    """Draws the seconds of each epoch, beside the goal."""
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.4 * len(report.epochs)))
    names = [f"{cost.data}, {cost.variant}" for cost in report.epochs]
    bars: Any = axes.barh(names, [cost.seconds for cost in report.epochs])
    axes.bar_label(bars, fmt="%.1f s", padding=3)
    axes.axvline(SECONDS_MAX, color="grey", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("seconds of one epoch; dashed: the goal")
    machine = report.machine
    axes.set_title(f"Training speed: {machine.processor}, {machine.commit}, {machine.date}", size=10)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
