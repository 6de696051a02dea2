"""Draws the fault table: how much of each test was tried, its verdict, and the figures that missed theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl

from benchmarks.faults.figures import FaultTest, Verdict
from benchmarks.faults.record import Kept
from benchmarks.faults.report import write_missed

_COLOURS: Final = {
    Verdict.REACHED: "#2a7f4f",
    Verdict.SHORT: "#c9a227",
    Verdict.MISSED: "#b3261e",
    Verdict.NOT_RUN: "#9e9e9e",
}


def draw(path: Path, tests: Sequence[FaultTest], kept: Mapping[int, Kept], line: str) -> None:
    """Draws a bar for each test, in the order of the table.

    Args:
        path: of the PNG.
        tests: all tests.
        kept: what those that ran have found.
        line: says where and when.
    """
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(13, 0.3 * len(tests) + 1.2))
    for place, test in enumerate(tests):
        found = kept.get(test.number)
        verdict = test.judge(None if found is None else found.findings)
        done = 0.0 if found is None else test.find_share(found.findings)[0]
        axes.barh(place, 1.0, color="#ececec", height=0.62)
        axes.barh(place, done, color=_COLOURS[verdict], height=0.62)
        axes.text(1.02, place, _say(test, found, verdict), va="center", fontsize=8, color=_COLOURS[verdict])
    axes.set_yticks(range(len(tests)), [f"{test.title}  {test.number:>2}" for test in tests], fontsize=8)
    axes.set_ylim(len(tests) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "half", "all that is asked"], fontsize=8)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(f"Faults injected into a running server\n{line}", fontsize=8, loc="left")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def _say(test: FaultTest, found: Kept | None, verdict: Verdict) -> str:
    """Returns the verdict, and the first of the figures that missed."""
    missed = [] if found is None else write_missed(test, found.findings)
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    return f"{verdict}: {missed[0]}{more}" if missed else str(verdict)
