"""Reports on the loop as a table, JSON and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.loop.judge import FIGURES, MEANINGS
from benchmarks.loop.people import OWN_CHANCE
from benchmarks.loop.run import AGAIN, FROZEN, FULL, LEARNED, MODELS, LoopResult, Plan
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables

mpl.use("Agg")

from matplotlib import pyplot as plt

LEVEL: Final = 0.95
_COLOURS: Final = {AGAIN: "#9aa5ad", FULL: "#c8643c", LEARNED: "#2f6f9f"}


@dataclass(frozen=True)
class Gain:
    """By which share a model's figure is above the frozen model's: mean over seeds, 95 % interval of it.

    The interval is Student's over the seeds, each a platform, a first model and responses of its own; it is
    missing for one seed.
    """

    model: str
    figure: str
    mean: float
    low: float | None
    high: float | None
    by_seed: tuple[float, ...]


def find_gains(results: Sequence[LoopResult]) -> list[Gain]:
    """Compares every other model with the frozen one."""
    gains = []
    for model in MODELS[1:]:
        for figure in FIGURES:
            by_seed = [_mean(each, model, figure) / _mean(each, FROZEN, figure) - 1.0 for each in results]
            gains.append(_estimate(model, figure, by_seed))
    return gains


def write_report(
    out: Path, plan: Plan, results: Sequence[LoopResult], machine: Machine, console: Console
) -> None:
    """Shows the table and writes it with JSON and a picture."""
    gains = find_gains(results)
    notes = [*(f"{name}: {MEANINGS[name]}" for name in FIGURES), *_describe(plan, results), machine.line]

    def show(target: Console) -> None:
        target.print(_make_table(results, gains))
        for text in notes:
            target.print(text, markup=False, highlight=False, soft_wrap=True)

    body = {
        "plan": {"users": plan.users, "courses": plan.courses, "weeks": plan.weeks},
        "machine": asdict(machine),
        "gains": [asdict(gain) for gain in gains],
        "seeds": [_tell(each) for each in results],
    }
    write_tables(out, "loop", console, show, body)
    _draw(out / "loop.png", results, gains)


def _mean(result: LoopResult, model: str, figure: str) -> float:
    return float(np.mean(getattr(result.judged[model], figure)))


def _estimate(model: str, figure: str, by_seed: Sequence[float]) -> Gain:
    mean = float(np.mean(by_seed))
    if len(by_seed) < 2:
        return Gain(model, figure, mean, None, None, tuple(by_seed))
    width = float(
        stats.t.ppf((1 + LEVEL) / 2, len(by_seed) - 1) * np.std(by_seed, ddof=1) / len(by_seed) ** 0.5
    )
    return Gain(model, figure, mean, mean - width, mean + width, tuple(by_seed))


def _describe(plan: Plan, results: Sequence[LoopResult]) -> list[str]:
    shown, clicks, events = (
        sum(getattr(week, name) for each in results for week in each.visits)
        for name in ("shown_count", "click_count", "event_count")
    )
    joined = sum(each.report["matched"] for each in results)
    return [
        f"each of {len(results)} seeds: {plan.users:,} simulated users and {plan.courses:,} courses; in each "
        f"of {plan.weeks} weeks every user asks the running server once and responds by the true taste, "
        f"and {OWN_CHANCE:.0%} find a course without it",
        f"in all {shown:,} courses shown, {clicks:,} clicks, {events:,} events recorded, {joined:,} joined "
        "to their answers; then every user asks each model's server once more, after the same history",
        "gain: by which share the mean is above the frozen model's; 95 % intervals over the seeds",
        "the data is simulated",
    ]


def _make_table(results: Sequence[LoopResult], gains: Sequence[Gain]) -> Table:
    table = Table(title="the loop", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for text in ("figure", "model", "mean", "gain", "95 %", "seeds above"):
        table.add_column(text, justify="left" if text in {"figure", "model"} else "right", no_wrap=True)
    for figure in FIGURES:
        for model in MODELS:
            mean = float(np.mean([_mean(each, model, figure) for each in results]))
            gain = next((each for each in gains if (each.model, each.figure) == (model, figure)), None)
            table.add_row(figure if model == FROZEN else "", model, f"{mean:.4f}", *_show(gain))
    return table


def _show(gain: Gain | None) -> tuple[str, str, str]:
    if gain is None:
        return "", "", ""
    above = f"{sum(each > 0 for each in gain.by_seed)} of {len(gain.by_seed)}"
    interval = "" if gain.low is None else f"{gain.low:+.1%} to {gain.high:+.1%}"
    return f"{gain.mean:+.1%}", interval, above


def _tell(result: LoopResult) -> Mapping[str, Any]:
    return {
        "seed": result.seed,
        "means": {
            model: {figure: _mean(result, model, figure) for figure in FIGURES} for model in result.judged
        },
        "weeks": [
            {name: getattr(week, name) for name in ("shown_count", "click_count", "event_count")}
            for week in result.visits
        ],
        "feedback": dict(result.report),
    }


def _draw(path: Path, results: Sequence[LoopResult], gains: Sequence[Gain]) -> None:
    """Draws each figure's gain over the frozen model, with every seed as a point."""
    figure, panels = plt.subplots(1, len(FIGURES), figsize=(11, 3.6))
    for axes, name in zip(panels, FIGURES, strict=True):
        for place, model in enumerate(_COLOURS):
            gain = next(each for each in gains if (each.model, each.figure) == (model, name))
            low, high = (gain.mean if end is None else end for end in (gain.low, gain.high))
            error = [[100 * (gain.mean - low)], [100 * (high - gain.mean)]]
            axes.bar(place, 100 * gain.mean, 0.6, yerr=error, color=_COLOURS[model], capsize=4)
            axes.plot(
                [place] * len(results), [100 * each for each in gain.by_seed], "o", color="#333333", ms=3
            )
        axes.axhline(0, color="#333333", lw=0.8)
        axes.set_xticks(range(len(_COLOURS)), [name.replace(", ", ",\n") for name in _COLOURS], fontsize=7)
        axes.set(title=name, ylabel="gain over the frozen model, %")
        axes.grid(alpha=0.3, axis="y")
    figure.suptitle("served lists after retraining on feedback (simulated; points are seeds)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
