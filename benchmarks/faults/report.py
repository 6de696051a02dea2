"""Shows the fault table: what was tried, the figures, what they must reach, and the verdicts."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from rich import box
from rich.table import Table

from benchmarks.faults.figures import FaultTest, Findings, Target, Verdict
from benchmarks.faults.record import Kept

INTERVAL_SEED: Final = 1
DRAW_COUNT: Final = 2000
_COLOURS: Final = {
    Verdict.REACHED: "#2a7f4f",
    Verdict.SHORT: "#c9a227",
    Verdict.MISSED: "#b3261e",
    Verdict.NOT_RUN: "#9e9e9e",
}


def tabulate(tests: Sequence[FaultTest], kept: Mapping[int, Kept]) -> Table:
    """Makes the table: one row for each figure that a test must reach."""
    table = Table(title="Faults injected into a running server", box=box.SIMPLE, title_justify="left")
    for name in ("#", "test", "figure", "found", "must reach", "verdict", "commit"):
        table.add_column(name, justify="right" if name in {"#", "found"} else "left", overflow="fold")
    for test in tests:
        findings = kept[test.number].findings if test.number in kept else None
        for row, cells in enumerate(_list_rows(test, findings)):
            commit = kept[test.number].commit if test.number in kept else ""
            head = (str(test.number), test.title, *cells, test.judge(findings).value, commit)
            table.add_row(*(head if not row else ("", "", *cells, "", "")))
        table.add_section()
    return table


def describe(tests: Sequence[FaultTest], kept: Mapping[int, Kept]) -> list[dict[str, Any]]:
    """Returns the table with everything that was counted, for programs."""
    return [
        {
            "test": test.number,
            "title": test.title,
            "verdict": test.judge(kept[test.number].findings if test.number in kept else None).value,
            "asked": dict(test.asked),
            "must_reach": [f"{target.figure} {_write_limit(target)}" for target in test.targets],
            "missing": test.missing,
            "commit": kept[test.number].commit if test.number in kept else "",
            "seeds": list(kept[test.number].seeds) if test.number in kept else [],
            "found": kept[test.number].findings.to_json() if test.number in kept else None,
        }
        for test in tests
    ]


def draw(path: Path, tests: Sequence[FaultTest], kept: Mapping[int, Kept], line: str) -> None:
    """Draws how much of each test was done, in the colour of its verdict."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 0.36 * len(tests) + 1.4))
    for place, test in enumerate(reversed(tests)):
        findings = kept[test.number].findings if test.number in kept else None
        verdict = test.judge(findings)
        axes.barh(place, max(_done(test, findings), 0.004), color=_COLOURS[verdict])
        axes.text(1.01, place, verdict.value, va="center", fontsize=8)
    axes.set_yticks(
        range(len(tests)), [f"{test.number}  {test.title}" for test in reversed(tests)], fontsize=8
    )
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the full counts that was tried")
    axes.set_title(line, fontsize=7)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def find_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the bootstrap interval of a median, 95 %."""
    random = np.random.default_rng(INTERVAL_SEED)
    draws = np.median(random.choice(np.asarray(values), size=(DRAW_COUNT, len(values))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _done(test: FaultTest, findings: Findings | None) -> float:
    if findings is None:
        return 0.0
    return min(
        (min(1.0, findings.counts.get(name, 0) / count) for name, count in test.asked.items()), default=1.0
    )


def _list_rows(test: FaultTest, findings: Findings | None) -> list[tuple[str, str, str]]:
    """Returns figure, what was found, and what it must reach."""
    if findings is None:
        return [("", "", "; ".join(f"{target.figure} {_write_limit(target)}" for target in test.targets))]
    rows = [
        (name, f"{findings.counts.get(name, 0):,}", f"{count:,} tried") for name, count in test.asked.items()
    ]
    rows += [(target.figure, _write_found(target, findings), _write_limit(target)) for target in test.targets]
    return [*rows, ("not tried", test.missing, "")] if test.missing else rows


def _write_found(target: Target, findings: Findings) -> str:
    values = findings.samples.get(target.figure, ())
    if values:
        low, high = find_interval(values)
        return f"{statistics.median(values):,.3g} [{low:,.3g}, {high:,.3g}]"
    value = findings.find(target.figure)
    return "none" if value is None else f"{value:,.4g}"


def _write_limit(target: Target) -> str:
    return f"{target.relation} {target.limit:,g} {target.unit}".strip()
