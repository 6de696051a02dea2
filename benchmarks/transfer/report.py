"""Reports transfer as a table, JSON and a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.evaluate.intervals import Estimate
from benchmarks.machine import Machine
from benchmarks.transfer.measure import K, Transfer

mpl.use("Agg")

from matplotlib import pyplot as plt

NOTES = (
    "alone: learned from the domain's events; together: from both domains'. The same users and candidates, "
    "through the sealed bundle",
    "95 % bootstrap intervals over users; the change is over the same users",
)
SIMULATED_NOTE = "simulated data: the strength is the correlation of a user's tastes in the two domains"


@dataclass(frozen=True)
class Row:
    """One line: a strength of transfer or the data's name, the model, and what was measured."""

    case: str
    model: str
    transfer: Transfer


def write_report(out: Path, name: str, rows: Sequence[Row], machine: Machine, console: Console) -> None:
    """Shows the table and writes it with JSON and a picture."""
    out.mkdir(parents=True, exist_ok=True)
    notes = NOTES if rows[0].case == "pairs" else (SIMULATED_NOTE, *NOTES)
    with (out / f"{name}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=110)):
            target.print(_make_table(rows))
            for text in (*notes, machine.line):
                target.print(text, markup=False, highlight=False, soft_wrap=True)
    body = {
        "k": K,
        "machine": asdict(machine),
        "rows": [{**asdict(row), "relative_change": row.transfer.relative_change} for row in rows],
    }
    (out / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    _draw(out / f"{name}.png", rows)


def _make_table(rows: Sequence[Row]) -> Table:
    table = Table(title=f"transfer between two domains, nDCG@{K}", box=box.SIMPLE_HEAD)
    for text in ("strength", "domain", "events", "users", "alone", "together", "change", "95 %", ""):
        table.add_column(text, justify="left" if text in {"strength", "domain"} else "right", no_wrap=True)
    for row in rows:
        one = row.transfer
        table.add_row(
            row.case,
            one.domain,
            f"{one.event_count:,}",
            f"{one.user_count:,}",
            f"{one.alone.mean:.4f}",
            f"{one.together.mean:.4f}",
            f"{one.change.mean:+.4f}",
            f"{one.change.low:+.4f} to {one.change.high:+.4f}",
            f"{one.relative_change:+.1%}",
        )
    return table


def _draw(path: Path, rows: Sequence[Row]) -> None:
    """Draws the change of each domain with its interval."""
    names = [f"{row.transfer.domain}\n{row.case}" for row in rows]
    changes: list[Estimate] = [row.transfer.change for row in rows]
    middle = [change.mean for change in changes]
    spread = [
        [change.mean - change.low for change in changes],
        [change.high - change.mean for change in changes],
    ]
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.5 * len(rows)))
    axes.barh(names, middle, xerr=spread, color="#c8643c", ecolor="#303030", capsize=2)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(
        title="what the other domain adds, by domain and strength of transfer",
        xlabel=f"change of nDCG@{K}, with 95 % intervals over users",
    )
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
