"""Reports the benchmark of quantisation as one table, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.quantisation.measure import BATCHES, Form
from benchmarks.report_files import write_tables
from export.quality_gate import QualityLimits

mpl.use("Agg")

from matplotlib import pyplot as plt

NAME: Final = "quantisation"
_PARTS: Final = ("user tower", "vectors")


@dataclass(frozen=True)
class Report:
    """Everything that one run found.

    Attributes:
        machine: where and when.
        subject: what was measured: model, products, users.
        libraries: versions of the libraries that convert and compute.
        limits: what the gate accepts.
        forms: the rows.
    """

    machine: Machine
    subject: str
    libraries: dict[str, str]
    limits: QualityLimits
    forms: Sequence[Form]


def write_report(report: Report, out: Path, console: Console) -> None:
    """Prints the table and writes quantisation.txt, quantisation.json and quantisation.png."""
    write_tables(out, NAME, console, lambda target: _print(report, target), asdict(report))
    _draw(report, out / f"{NAME}.png")


def _print(report: Report, console: Console) -> None:
    limits = report.limits
    lines = (
        report.machine.line,
        ", ".join(f"{name} {version}" for name, version in report.libraries.items()),
        report.subject,
        "Forms named float32, fp16 and int8 are what `python -m export --tower` writes; of the towers, the "
        "others are ONNX Runtime's own conversions. Of the vectors, the last row is what is served.",
        "One thread, CPU time of a request at batch 1 and 32, medians of passes in turns, quartiles at 32; "
        "a search finds the best 20 of all products.",
        f"The gate: recall@20 of float32 at least {limits.recall_min:g}, relative loss of ndcg@10 at most "
        f"{limits.ndcg_loss_max:g}, score error at most {limits.score_error_max:g}.",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    console.print(_tabulate(report.forms))
    for form in report.forms:
        for fault in form.faults:
            console.print(f"{form.part}, {form.name}: {fault}", markup=False, soft_wrap=True)


def _tabulate(forms: Sequence[Form]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("part", no_wrap=True)
    table.add_column("form", no_wrap=True)
    headings = (
        "bytes",
        *(f"us at {batch}" for batch in BATCHES),
        "quartiles",
        "recall@20",
        "ndcg@10",
        "score error",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("gate")
    for form in forms:
        cost, last = form.cost, BATCHES[-1]
        table.add_row(
            form.part,
            form.name,
            f"{form.byte_count:,}",
            *(f"{form.us[batch]:.1f}" for batch in BATCHES),
            f"{form.us_low[last]:.1f} to {form.us_high[last]:.1f}",
            f"{cost.recall_at_20:.4f}",
            "" if cost.ndcg_at_10 is None else f"{cost.ndcg_at_10:.4f}",
            f"{cost.score_error_max:.1e}",
            "refused" if form.faults else "accepted",
        )
    return table


def _draw(report: Report, path: Path) -> None:
    """Draws what is lost against bytes, a panel each for towers and vectors; circles are refused."""
    figure, panels = plt.subplots(1, len(_PARTS), figsize=(11, 4.2))
    for axes, part in zip(panels, _PARTS, strict=True):
        for form in (each for each in report.forms if each.part == part):
            _draw_form(axes, form)
        axes.axhline(1.0 - report.limits.recall_min, color="grey", linestyle="--", linewidth=1)
        axes.set_yscale("symlog", linthresh=1e-4)
        axes.set_ylim(-2e-5, 0.3)
        axes.set_xlim(0, 1.3 * max(form.byte_count for form in report.forms if form.part == part) / 1000)
        axes.set_title(part)
        axes.set_xlabel("kB")
        axes.set_ylabel("of float32's best 20, not found")
        axes.grid(alpha=0.3)
    machine = report.machine
    figure.suptitle(f"Fewer bits: {machine.processor}, {machine.commit}, {machine.date}", size=10)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_form(axes: Any, form: Form) -> None:
    place = (form.byte_count / 1000, 1.0 - form.cost.recall_at_20)
    axes.scatter(*place, facecolors="none" if form.faults else "tab:blue", edgecolors="tab:blue")
    text = f"{form.name}, {form.us[BATCHES[0]]:.0f} us"
    axes.annotate(text, place, xytext=(6, 4), textcoords="offset points", fontsize=7)
