"""Reports what the door costs as a table, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.interceptors.measure import Overhead
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables

NAME: Final = "interceptors"
MORE_MAX: Final = 0.08
"""What all of it may cost, as a share of the CPU time of a call."""
_MEANS: Final = {
    "none": "the service alone, over TLS",
    "door": "+ parsing, errors, request ids, waiting for messages",
    "identity": "+ caller by certificate, role, quota, limit of calls",
    "metrics": "+ metrics of calls, searches and answers",
    "all": "+ access log",
}


@dataclass(frozen=True)
class Report:
    """All that was measured, and of what."""

    machine: Machine
    bundle: str
    overheads: tuple[Overhead, ...]

    @property
    def holds(self) -> bool:
        """Whether all of the door costs no more than it may, whoever many call at once."""
        return all(each.more <= MORE_MAX for each in self.overheads if each.variant == "all")


def write_report(report: Report, out: Path, console: Console) -> None:
    """Writes interceptors.txt, .json and .png."""

    def show(target: Console) -> None:
        target.print(
            report.machine.line, f"bundle: {report.bundle}; Recommend, k = 10, stored users", sep="\n"
        )
        target.print("One process serves every variant on a port of its own; blocks of calls take turns.")
        target.print(_make_table(report.overheads))
        verdict = "reached" if report.holds else "missed"
        target.print(f"all of it, at most {MORE_MAX:.0%} of the CPU time of a call: {verdict}")

    body = {**asdict(report), "more_max": MORE_MAX, "holds": report.holds}
    write_tables(out, NAME, console, show, body)
    _draw(report.overheads, out / f"{NAME}.png")


def _make_table(overheads: Sequence[Overhead]) -> Table:
    table = Table(title="What the door of a method costs", title_justify="left")
    for column in ("callers", "door", "has", "CPU us", "more", "95 % interval", "rounds"):
        table.add_column(column, justify="left" if column in {"door", "has"} else "right")
    for each in overheads:
        table.add_row(
            str(each.caller_count),
            each.variant,
            _MEANS[each.variant],
            f"{each.cpu_us:,.0f}",
            f"{each.more:.1%}",
            f"{each.more_low:.1%} to {each.more_high:.1%}",
            str(each.round_count),
        )
    return table


def _draw(overheads: Sequence[Overhead], path: Path) -> None:
    counts = sorted({each.caller_count for each in overheads})
    figure, axes = plt.subplots(figsize=(8, 4))
    width = 0.8 / len(counts)
    for shift, count in enumerate(counts):
        chosen = [each for each in overheads if each.caller_count == count]
        places = [place + shift * width for place in range(len(chosen))]
        values = [100 * each.more for each in chosen]
        low = [100 * (each.more - each.more_low) for each in chosen]
        high = [100 * (each.more_high - each.more) for each in chosen]
        axes.bar(places, values, width, yerr=[low, high], capsize=3, label=f"{count} callers")
    axes.axhline(100 * MORE_MAX, color="grey", linestyle="--", label="at most")
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(_MEANS))], list(_MEANS))
    axes.set_ylabel("CPU time above the bare service, %")
    axes.set_title("What the door of a method costs")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
