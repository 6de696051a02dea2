"""Reports an evaluation as a table, JSON and a picture."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.evaluate.agreement import LIMIT, LIST_COUNT, Agreement, find_difference
from benchmarks.evaluate.intervals import Estimate, estimate
from benchmarks.evaluate.models import FORMS
from benchmarks.evaluate.ranking import Outcome
from benchmarks.evaluate.run import Results
from benchmarks.machine import Machine

mpl.use("Agg")

from matplotlib import pyplot as plt

NOTES = (
    "ndcg and recall with 95 % bootstrap intervals over users; equal scores count by their expectation",
    "baselines: settings are fixed for all data, or chosen on validation within what is known where named",
)

_MODEL_COLOUR, _BASELINE_COLOUR = "#c8643c", "#4878a8"


@dataclass(frozen=True)
class Line:
    """One scorer's line of a table."""

    scorer: str
    user_count: int
    task_count: int
    ndcg: Estimate
    recall: Estimate
    note: str


@dataclass(frozen=True)
class Heading:
    """What was evaluated how.

    Attributes:
        title: for people.
        recall_name: what recall is called under the protocol, for example HR.
        k: number of ranks.
        sentences: what must be said beside the figures.
    """

    title: str
    recall_name: str
    k: int
    sentences: tuple[str, ...]


def summarise(outcomes: Mapping[str, Sequence[Outcome]]) -> list[Line]:
    """Averages each scorer's outcomes over users, then over tasks; best nDCG first."""
    lines = [
        Line(
            scorer,
            sum(len(outcome.user_ids) for outcome in mine),
            len(mine),
            estimate([outcome.user_ids for outcome in mine], [outcome.ndcg for outcome in mine]),
            estimate([outcome.user_ids for outcome in mine], [outcome.recall for outcome in mine]),
            _join_notes([outcome.note for outcome in mine]),
        )
        for scorer, mine in outcomes.items()
    ]
    return sorted(lines, key=lambda line: -line.ndcg.mean)


def write_report(
    out: Path, name: str, heading: Heading, results: Results, machine: Machine, console: Console
) -> None:
    """Shows the tables and writes them with JSON and a picture."""
    out.mkdir(parents=True, exist_ok=True)
    tables = {table: summarise(outcomes) for table, outcomes in results.outcomes.items()}
    with (out / f"{name}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=130)):
            _show(target, heading, tables, results, machine)
    body = {
        "title": heading.title,
        "k": heading.k,
        "machine": asdict(machine),
        "commits": sorted(results.commits),
        "tables": {table: [asdict(line) for line in lines] for table, lines in tables.items()},
        "tasks": {table: _list_tasks(outcomes) for table, outcomes in results.outcomes.items()},
        "agreement": {
            table: {model: [one.to_json() for one in found] for model, found in models.items()}
            for table, models in results.agreements.items()
        },
    }
    (out / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    _draw(out / f"{name}.png", heading, tables)


def _show(
    console: Console,
    heading: Heading,
    tables: Mapping[str, Sequence[Line]],
    results: Results,
    machine: Machine,
) -> None:
    for name, lines in tables.items():
        console.print(_make_table(heading, name if len(tables) > 1 else "", lines))
        for model, found in results.agreements.get(name, {}).items():
            for text in describe_agreement(model, found):
                console.print(text, markup=False, highlight=False, soft_wrap=True)
    left_out = [f"left out: {text}" for text in results.left_out]
    made = f"results made at commits {', '.join(sorted(results.commits))}"
    for text in (*heading.sentences, *NOTES, *left_out, machine.line, made):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _make_table(heading: Heading, name: str, lines: Sequence[Line]) -> Table:
    title = f"{heading.title}: {name}" if name else heading.title
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    names = (
        "scorer",
        "tasks",
        "users",
        f"nDCG@{heading.k}",
        "95 %",
        f"{heading.recall_name}@{heading.k}",
        "95 %",
        "",
    )
    for text in names:
        table.add_column(text, justify="left" if text in {"scorer", ""} else "right", no_wrap=text != "")
    for line in lines:
        figures = (
            f"{line.ndcg.mean:.4f}",
            f"{line.ndcg.low:.3f}-{line.ndcg.high:.3f}",
            f"{line.recall.mean:.4f}",
            f"{line.recall.low:.3f}-{line.recall.high:.3f}",
        )
        table.add_row(line.scorer, str(line.task_count), f"{line.user_count:,}", *figures, line.note)
    return table


def describe_agreement(model: str, found: Sequence[Agreement]) -> list[str]:
    """Says how far model, bundle and server agree."""
    users = sum(one.user_count for one in found)
    means = ", ".join(f"{form} {np.mean([one.ndcg[form] for one in found]):.4f}" for form in FORMS)
    difference = find_difference(list(found))
    verdict = "within" if difference <= LIMIT else "NOT within"
    weights = [one.user_count for one in found]
    same = [
        float(np.average([getattr(one, name) for one in found], weights=weights))
        for name in ("model_bundle_same", "bundle_server_same")
    ]
    gaps = [gap for one in found for gap in one.differing_gaps]
    lines = [
        f"{model}, the same {users:,} users through each form: nDCG {means}; "
        f"greatest difference {difference:.5f}, {verdict} {LIMIT}",
        f"{model}, identical top {LIST_COUNT}: model and bundle {same[0]:.2%}, "
        f"bundle and server (Recommend) {same[1]:.2%} of users",
    ]
    if gaps:
        usual = np.median([one.neighbour_gap for one in found])
        lines.append(
            f"{model}, the {len(gaps)} lists of model and bundle that differ: where they first do, the "
            f"model's scores are {max(gaps):.1e} apart at most, {np.median(gaps):.1e} in the median; "
            f"neighbours in a list are {usual:.1e}"
        )
    return lines


def describe_untuned(outcomes: Mapping[str, Sequence[Outcome]], tuned: Sequence[str]) -> str:
    """Says which tasks the models' settings were chosen on, and what the other tasks give."""
    means = []
    for scorer, mine in outcomes.items():
        others = [outcome.ndcg.mean() for outcome in mine if outcome.task not in tuned]
        means.append(f"{scorer} {np.mean(others):.4f}" if others else f"{scorer} -")
    return (
        f"settings of the models were chosen looking at splits {', '.join(tuned)}; "
        f"nDCG without them: {', '.join(means)}"
    )


def _join_notes(notes: Sequence[str]) -> str:
    """Says each note once, with how often it was made where there are several."""
    counts = Counter(note for note in notes if note)
    if len(counts) == 1 or not counts:
        return next(iter(counts), "")
    if all(note.startswith("RMSE") for note in counts):
        figures = np.array([[float(word.strip(",")) for word in note.split()[1::2]] for note in notes])
        return f"RMSE {figures[:, 0].mean():.3f}, accuracy {figures[:, 1].mean():.3f}"
    return "; ".join(f"{note} ({count}x)" for note, count in counts.most_common())


def _list_tasks(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, dict[str, list[float]]]:
    return {
        scorer: {outcome.task: [float(outcome.ndcg.mean()), float(outcome.recall.mean())] for outcome in mine}
        for scorer, mine in outcomes.items()
    }


def _draw(path: Path, heading: Heading, tables: Mapping[str, Sequence[Line]]) -> None:
    """Draws each scorer's nDCG as a bar with its interval."""
    longest = max(map(len, tables.values()))
    figure, panels = plt.subplots(
        1, len(tables), figsize=(8 * len(tables), 1.2 + 0.32 * longest), squeeze=False
    )
    for axes, (name, lines) in zip(panels[0], tables.items(), strict=True):
        means = [line.ndcg.mean for line in lines]
        errors = [
            [line.ndcg.mean - line.ndcg.low for line in lines],
            [line.ndcg.high - line.ndcg.mean for line in lines],
        ]
        colours = [_MODEL_COLOUR if "(bundle)" in line.scorer else _BASELINE_COLOUR for line in lines]
        names = [line.scorer for line in lines]
        axes.barh(names, means, xerr=errors, color=colours, ecolor="#303030", capsize=2)
        axes.invert_yaxis()
        for place, line in enumerate(lines):
            axes.text(line.ndcg.high, place, f"  {line.ndcg.mean:.3f}", va="center", fontsize=8)
        axes.set(xlabel=f"nDCG@{heading.k}, 95 % interval over users", title=name if len(tables) > 1 else "")
        axes.grid(axis="x", alpha=0.3)
        axes.margins(x=0.15)
    figure.suptitle(heading.title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
