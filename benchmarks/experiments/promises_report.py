"""Reports what the tests of differences promise and keep, as a table, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.experiments.promises import Promise, Promises
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables

mpl.use("Agg")

from matplotlib import pyplot as plt

NAME: Final = "experiment-promises"


def write_promises(found: Promises, machine: Machine, out: Path, console: Console) -> None:
    """Writes the three files and shows the tables."""

    def show(target: Console) -> None:
        target.print(machine.line, markup=False, soft_wrap=True)
        target.print(_tabulate("False alarms: nothing differs", found.false_alarms))
        target.print(_tabulate("Power: .10 against .13 of the users", found.power))

    write_tables(out, NAME, console, show, {"machine": asdict(machine), **asdict(found)})
    _draw(found, machine.line, out / f"{NAME}.png")


def _tabulate(title: str, promises: Sequence[Promise]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("test")
    for name in ("experiments", "promised", "found", "95 % interval"):
        table.add_column(name, justify="right")
    for each in promises:
        table.add_row(
            each.test,
            f"{each.trial_count:,}",
            "" if each.promised is None else f"{each.promised:.0%}",
            f"{each.share:.1%}",
            f"{each.low:.1%} to {each.high:.1%}",
        )
    return table


def _draw(found: Promises, caption: str, path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(12, 3.6))
    for axes, promises, title in zip(
        panels, (found.false_alarms, found.power), ("false alarms", "power"), strict=True
    ):
        names = [each.test.replace(", ", ",\n", 1) for each in promises]
        errors = [[each.share - each.low for each in promises], [each.high - each.share for each in promises]]
        bars = axes.barh(names, [each.share for each in promises], xerr=errors, color="#0072B2", height=0.6)
        axes.bar_label(bars, [f"{each.share:.1%}" for each in promises], padding=14, size=8)
        promised = next(each.promised for each in promises if each.promised is not None)
        axes.axvline(promised, color="#D55E00", lw=1)
        axes.set_title(f"{title}; promised {promised:.0%}", loc="left", size=10)
        axes.set_xlim(0, max(each.high for each in promises) * 1.25)
        axes.tick_params(axis="y", labelsize=7)
        axes.invert_yaxis()
    figure.suptitle(caption, size=7)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
