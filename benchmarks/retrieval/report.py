"""Reports what the benchmark of retrieval found, as tables, JSON and a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.report_files import write_tables
from benchmarks.retrieval.catalogue import DIM
from benchmarks.retrieval.limits import MachineLimits
from benchmarks.retrieval.measure import BATCHES, Measured, Row
from benchmarks.retrieval.targets import Verdict
from benchmarks.retrieval.truth import BATCH, K

mpl.use("Agg")

from matplotlib import pyplot as plt

NAME: Final = "retrieval"
_STYLE: Final[dict[str, Any]] = {"title_justify": "left", "box": box.SIMPLE_HEAD}
_VERDICTS: Final = {True: "met", False: "MISSED", None: "-"}


@dataclass(frozen=True)
class Circumstances:
    """How a run was made.

    Attributes:
        machine: where and when.
        thread_count: threads of every search.
        load_start, load_end: processes that were running or ready, one minute's mean, this one included.
        libraries: versions of what was compared, "not installed" where it was not.
        limits: what the machine can do.
    """

    machine: Machine
    thread_count: int
    load_start: float
    load_end: float
    libraries: dict[str, str]
    limits: MachineLimits


@dataclass(frozen=True)
class Report:
    """Everything that one run found."""

    circumstances: Circumstances
    verdicts: Sequence[Verdict]
    measured: Measured


def write_report(report: Report, out: Path, console: Console) -> None:
    """Prints the tables and writes retrieval.txt, retrieval.json and retrieval.png into a directory."""
    write_tables(out, NAME, console, lambda target: _print(report, target), asdict(report))
    _draw(report, out / f"{NAME}.png")


def _print(report: Report, console: Console) -> None:
    made = report.circumstances
    console.print(made.machine.line, markup=False, soft_wrap=True)
    versions = ", ".join(f"{name} {version}" for name, version in made.libraries.items())
    console.print(f"compared: {versions}", markup=False, soft_wrap=True)
    console.print(
        f"{made.thread_count} thread, CPU time, medians of passes in turns; "
        f"load average {made.load_start:.1f} at the start, {made.load_end:.1f} at the end",
        soft_wrap=True,
    )
    console.print(_tabulate_verdicts(report.verdicts))
    console.print(_tabulate_limits(report))
    built = ", ".join(f"{name}: {time_s:,.1f} s" for name, time_s in report.measured.build_s.items())
    console.print(f"Built in CPU time: {built}\n", markup=False)
    for rows in _group(report.measured.rows):
        console.print(_tabulate_rows(rows))


def _tabulate_verdicts(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Targets", **_STYLE)
    for heading in ("what", "target", "measured", "verdict"):
        table.add_column(heading)
    for each in verdicts:
        table.add_row(each.name, each.limit, each.value or "not measured", _VERDICTS[each.met])
    return table


def _tabulate_limits(report: Report) -> Table:
    """Tabulates the scan of all items beside what memory and arithmetic would allow."""
    limits = report.circumstances.limits
    title = (
        f"How near the limits: memory is read at {limits.read_gb_s:.1f} GB/s (a sum; a copy moves "
        f"{limits.copy_gb_s:.1f}), and one core multiplies {limits.int8_products_s / 1e9:,.0f} G int8/s "
        f"(estimate: 4 x {limits.float32_products_s / 1e9:,.0f} G of a float32 matrix product); up to "
        "100,000 items may stay in a cache"
    )
    table = Table(title=title, **_STYLE)
    for heading in ("items", "scan", "batch", "items/s", "ns an item", "of memory", "of arithmetic"):
        table.add_column(heading, justify="left" if heading == "scan" else "right")
    for row in report.measured.rows:
        if row.filter_kind != "all" or not row.strategy.startswith("scan "):
            continue
        for batch in BATCHES:
            item_s = row.timings[batch].us / 1e6 / row.item_count
            # A batch reads the items once.
            read = DIM / (item_s * batch) / 1e9 / limits.read_gb_s
            multiplied = DIM / item_s / limits.int8_products_s
            table.add_row(
                f"{row.item_count:,}",
                row.strategy,
                str(batch),
                f"{1 / item_s / 1e6:,.0f} M",
                f"{item_s * 1e9:.2f}",
                f"{read:.0%}",
                f"{multiplied:.0%}",
            )
    return table


def _group(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yields the rows of each catalogue and filter."""
    for case in dict.fromkeys((row.item_count, row.filter_kind, row.share) for row in rows):
        yield [row for row in rows if (row.item_count, row.filter_kind, row.share) == case]


def _tabulate_rows(rows: Sequence[Row]) -> Table:
    first = rows[0]
    title = f"{first.item_count:,} items, {first.eligible_count:,} eligible ({first.filter_kind})"
    table = Table(title=title, **_STYLE)
    table.add_column("search")
    for heading in (
        "effort",
        *(f"us, batch {batch}" for batch in BATCHES),
        "quartiles",
        f"recall@{K}",
        "short",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.quality is None:
            table.add_row(row.strategy, "", row.note)
            continue
        last = row.timings[BATCH]
        table.add_row(
            row.strategy,
            "" if row.effort is None else str(row.effort),
            *(f"{row.timings[batch].us:,.1f}" for batch in BATCHES),
            f"{last.us_low:,.1f} to {last.us_high:,.1f}",
            f"{row.quality.recall:.4f}",
            f"{row.quality.short_count} of {row.quality.user_count}",
        )
    return table


def _draw(report: Report, path: Path) -> None:
    """Draws recall against time, a panel for each catalogue and filter."""
    groups = list(_group(report.measured.rows))
    names = list(dict.fromkeys(row.strategy for rows in groups for row in rows if row.timings))
    colours = dict(zip(names, plt.get_cmap("turbo")(_spread(len(names))), strict=True))
    counts = sorted({rows[0].item_count for rows in groups})
    width = max(sum(rows[0].item_count == count for rows in groups) for count in counts)
    figure, panels = plt.subplots(len(counts), width, figsize=(3.2 * width, 3.1 * len(counts)), squeeze=False)
    handles: dict[str, Any] = {}
    for line, count in zip(panels, counts, strict=True):
        own = [rows for rows in groups if rows[0].item_count == count]
        for axes, rows in zip(line, own, strict=True):
            _draw_case(axes, rows, colours, handles)
    machine = report.circumstances.machine
    figure.suptitle(
        f"Recall@{K} against CPU time of a request, batch {BATCH}, one thread: "
        f"{machine.processor}, {machine.commit}, {machine.date}",
        size=10,
    )
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=6, fontsize=8)
    figure.tight_layout(rect=(0, 0.3 / len(counts), 1, 0.98))
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_case(axes: Any, rows: Sequence[Row], colours: dict[str, Any], handles: dict[str, Any]) -> None:
    for row in rows:
        if row.quality is None:
            continue
        marker = "o" if row.strategy.startswith("scan ") else "*" if row.strategy == "auto" else "s"
        handles[row.strategy] = axes.scatter(
            row.timings[BATCH].us,
            1.0 - row.quality.recall,
            alpha=0.8,
            color=colours[row.strategy],
            marker=marker,
            label=row.strategy,
        )
    # What is missed, upside down, so that what lies near 1 can be told apart.
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.001)
    axes.set_ylim(1.2, -0.0002)
    axes.set_yticks([1.0, 0.1, 0.01, 0.001, 0.0], ["0", ".9", ".99", ".999", "1"], size=7)
    axes.set_title(f"{rows[0].item_count:,}, {rows[0].share:.0%} {rows[0].filter_kind}", size=9)
    axes.set_xlabel("us", size=8)
    axes.grid(alpha=0.3)


def _spread(count: int) -> list[float]:
    return [place / max(1, count - 1) * 0.95 for place in range(count)]
