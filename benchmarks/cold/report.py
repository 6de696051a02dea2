"""Reports on the cold as a table, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.cold.measure import Plan, Row
from benchmarks.cold.questions import COLD_PRODUCTS, COLD_USERS, EVERYBODY, FEW_EVENTS
from benchmarks.dataset import read_json
from benchmarks.evaluate.intervals import Estimate
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables

mpl.use("Agg")

from matplotlib import pyplot as plt

_MEANINGS = {
    COLD_PRODUCTS: "the products without events among what users took; all products are candidates",
    COLD_USERS: f"users of {FEW_EVENTS.start} to {FEW_EVENTS.stop - 1} events",
    EVERYBODY: "all that was held out, cold or not",
}
_METRICS = {"recall": "recall", "ndcg": "nDCG"}
_COLOURS = ("#2f6f9f", "#9aa5ad", "#c8643c", "#4d8b57")


def write_report(
    out: Path, name: str, plan: Plan, rows: Sequence[Row], machine: Machine, console: Console
) -> None:
    """Shows the table and writes it with JSON and a picture."""
    notes = [*_describe(plan), machine.line]

    def show(target: Console) -> None:
        for metric in _METRICS:
            target.print(_make_table(metric, rows))
        for text in notes:
            target.print(text, markup=False, highlight=False, soft_wrap=True)

    body = {
        "hidden_share": plan.hidden_share,
        "shortened_share": plan.shortened_share,
        "seeds": list(plan.seeds),
        "model": plan.model,
        "settings": dict(plan.settings),
        "machine": asdict(machine),
        "rows": [asdict(row) for row in rows],
    }
    write_tables(out, name, console, show, body)
    _draw(out / f"{name}.png", name, rows)


def _describe(plan: Plan) -> list[str]:
    source = read_json(plan.data / "source.json")
    lines = [f"{question}: {meaning}" for question, meaning in _MEANINGS.items()]
    lines.append(
        f"held out: the last tenth of the events; hidden: all events of {plan.hidden_share:.0%} of the "
        f"products, and all but the last 1 to 3 of {plan.shortened_share:.0%} of the users, anew in each of "
        f"{len(plan.seeds)} draws; each has its own model, asked through its bundle"
    )
    if plan.settings:
        lines.append(f"settings other than the defaults: {dict(plan.settings)}")
    if plan.truth_seed is not None:
        lines.append(
            "truth: who knows products and people of the simulation, and of a cold user profile and events"
        )
    lines.append(
        "gain: by how much the model is above this line; 95 % bootstrap intervals over users, the same in "
        "each draw; equal scores count by their expectation"
    )
    if source.get("simulated"):
        lines.append("the data is simulated")
    return [*lines, *([str(source["attribution"])] if source.get("attribution") else [])]


def _make_table(metric: str, rows: Sequence[Row]) -> Table:
    table = Table(title=_METRICS[metric], title_justify="left", box=box.SIMPLE_HEAD)
    for text in ("question", "scorer", "users", "pairs", _METRICS[metric], "95 %", "gain", "95 %"):
        table.add_column(text, justify="left" if text in {"question", "scorer"} else "right", no_wrap=True)
    before = ""
    for row in rows:
        reached: Estimate = getattr(row, metric)
        gain: Estimate | None = getattr(row, f"{metric}_gain")
        table.add_row(
            f"{row.question} @{row.k}" if row.question != before else "",
            row.scorer,
            f"{row.user_count:,}",
            f"{row.pair_count:,}",
            f"{reached.mean:.4f}",
            f"{reached.low:.3f}-{reached.high:.3f}",
            "" if gain is None else f"{gain.mean:+.0%}",
            "" if gain is None else f"{gain.low:+.0%} to {gain.high:+.0%}",
        )
        before = row.question
    return table


def _draw(path: Path, name: str, rows: Sequence[Row]) -> None:
    """Draws recall and nDCG of every question, a bar for each scorer with its interval."""
    questions = list(dict.fromkeys(row.question for row in rows))
    scorers = list(dict.fromkeys(row.scorer for row in rows))
    width = 0.8 / len(scorers)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4))
    for axes, metric in zip(panels, _METRICS, strict=True):
        for place, (scorer, colour) in enumerate(zip(scorers, _COLOURS[: len(scorers)], strict=True)):
            asked = [row for row in rows if row.scorer == scorer]
            mine: list[Any] = [getattr(row, metric) for row in asked]
            means = [one.mean for one in mine]
            spread = [[one.mean - one.low for one in mine], [one.high - one.mean for one in mine]]
            where = [questions.index(row.question) + width * (place - 1) for row in asked]
            axes.bar(where, means, 0.9 * width, yerr=spread, label=scorer, color=colour, capsize=2)
        labels = [f"{row.question}\n@{row.k}" for row in rows if row.scorer == scorers[0]]
        axes.set_xticks(range(len(questions)), labels)
        axes.set(title=_METRICS[metric])
        axes.grid(alpha=0.3, axis="y")
    panels[0].legend()
    figure.suptitle(name)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
