"""Reports an evaluation as a table, JSON and a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich import box
from rich.table import Table

from benchmarks.evaluate.temporal import Split, SplitResult
from benchmarks.machine import Machine

mpl.use("Agg")

from matplotlib import pyplot as plt

Results = Mapping[str, Sequence[SplitResult]]


def average(results: Sequence[SplitResult]) -> dict[str, float]:
    """Returns each metric's mean over splits (each split's is a mean over its users)."""
    return {
        name: float(np.mean([getattr(result, name) for result in results]))
        for name in ("ndcg_at_10", "recall_at_10")
    }


def make_table(results: Results, *, title: str) -> Table:
    """Tabulates the means, best nDCG@10 first."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("scorer", "splits", "users", "nDCG@10", "recall@10"):
        table.add_column(heading, justify="left" if heading == "scorer" else "right")
    for name in sorted(results, key=lambda name: -average(results[name])["ndcg_at_10"]):
        means = average(results[name])
        users = sum(result.user_count for result in results[name])
        numbers = (f"{means['ndcg_at_10']:.4f}", f"{means['recall_at_10']:.4f}")
        table.add_row(name, str(len(results[name])), f"{users:,}", *numbers)
    return table


def write_json(
    path: Path, results: Results, machine: Machine, *, protocol: str, commits: Sequence[str]
) -> None:
    """Writes the means and every split's figures, with the machine, the commits and the date."""
    body = {
        "protocol": protocol,
        "machine": asdict(machine),
        "commits": list(commits),
        "means": {name: average(values) for name, values in results.items()},
        "splits": {name: [asdict(value) for value in values] for name, values in results.items()},
    }
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def draw(path: Path, results: Results, splits: Sequence[Split], *, title: str) -> None:
    """Draws nDCG@10 by split, one line per scorer."""
    dates = {split.number: split.time_point for split in splits}
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for name, values in results.items():
        mean = average(values)["ndcg_at_10"]
        numbers = [value.split for value in values]
        axes.plot(numbers, [value.ndcg_at_10 for value in values], marker=".", label=f"{name} ({mean:.3f})")
    ticks = sorted(dates)[:: max(1, len(dates) // 9)]
    axes.set_xticks(ticks, [dates[number] for number in ticks], rotation=30, ha="right")
    axes.set(title=title, ylabel="nDCG@10", xlabel="time point of the split", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
