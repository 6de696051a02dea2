"""Writes the fault table: a line for each test first, then a line for each figure with what it must reach."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.faults.figures import FaultTest, Findings, Target, Verdict
from benchmarks.faults.record import Kept

WIDTH: Final = 120
INTERVAL_SEED: Final = 1
DRAW_COUNT: Final = 2000

Cells = tuple[str, ...]


def write_report(tests: Sequence[FaultTest], kept: Mapping[int, Kept]) -> str:
    """Writes the overview and the figures. No line is wider than `WIDTH`, no cell is wrapped."""
    head = ("#", "test", "verdict", "tried", "commit")
    overview = _align([head, *(_summarise(test, kept.get(test.number)) for test in tests)], right={0})
    ran = [(test, kept[test.number]) for test in tests if test.number in kept]
    rows = [_list_rows(test, found.findings) for test, found in ran]
    aligned = iter(_align([row for each in rows for row in each], right={1}))
    parts = ["Faults injected into a running server", "", overview[0], "-" * WIDTH, *overview[1:]]
    for (test, found), own in zip(ran, rows, strict=True):
        parts += ["", *_head(test, found), *(f"      {next(aligned)}".rstrip() for _ in own)]
    return "\n".join(parts) + "\n"


def describe(tests: Sequence[FaultTest], kept: Mapping[int, Kept]) -> list[dict[str, Any]]:
    """Returns the table with everything that was counted, for programs."""
    return [_describe(test, kept.get(test.number)) for test in tests]


def write_missed(test: FaultTest, findings: Findings) -> list[str]:
    """Writes each figure that missed its target: its name, what was found, and what it must reach."""
    return [
        f"{target.figure} {write_found(target, findings)} ({_write_limit(target)})"
        for target in test.list_missed(findings)
    ]


def write_found(target: Target, findings: Findings) -> str:
    """Writes a figure: a count, the worst of all runs, or a median with its interval."""
    values = findings.samples.get(target.figure, ())
    if values:
        low, high = find_interval(values)
        return f"{statistics.median(values):,.3g} [{low:,.3g}, {high:,.3g}]"
    value = findings.find(target.figure)
    return "none" if value is None else f"{value:,.4g}"


def find_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the bootstrap interval of a median, 95 %."""
    random = np.random.default_rng(INTERVAL_SEED)
    draws = np.median(random.choice(np.asarray(values), size=(DRAW_COUNT, len(values))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _summarise(test: FaultTest, found: Kept | None) -> Cells:
    if found is None:
        return str(test.number), test.title, Verdict.NOT_RUN.value, "", ""
    done, name = test.find_share(found.findings)
    tried = "all" if done == 1.0 else f"{found.findings.counts.get(name, 0):,} of {test.asked[name]:,} {name}"
    return str(test.number), test.title, test.judge(found.findings).value, tried, found.state.commit


def _head(test: FaultTest, found: Kept) -> list[str]:
    """Returns the lines above the figures of a test."""
    seeds = f"{'seed' if len(found.seeds) == 1 else 'seeds'} {', '.join(map(str, found.seeds))}"
    lines = [
        f"{test.number:>2}  {test.title}: {test.judge(found.findings)}",
        *_wrap(f"commit {found.state.commit}, code {found.state.code}, {seeds}"),
    ]
    return lines + (_wrap(f"not tried: {test.missing}") if test.missing else [])


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _list_rows(test: FaultTest, findings: Findings) -> list[Cells]:
    """Returns figure, what was found, what it must reach, and whether it missed that."""
    missed = test.list_missed(findings)
    rows: list[Cells] = [
        (name, f"{findings.counts.get(name, 0):,}", f"of {count:,}", "") for name, count in test.asked.items()
    ]
    for target in test.targets:
        mark = Verdict.MISSED.value if target in missed else ""
        rows.append((target.figure, write_found(target, findings), _write_limit(target), mark))
    return rows


def _align(rows: Sequence[Cells], right: set[int]) -> list[str]:
    """Pads cells to the widest of their column; columns are two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return [line.rstrip() for line in lines]


def _describe(test: FaultTest, found: Kept | None) -> dict[str, Any]:
    return {
        "test": test.number,
        "title": test.title,
        "verdict": test.judge(None if found is None else found.findings).value,
        "asked": dict(test.asked),
        "must_reach": [f"{target.figure} {_write_limit(target)}" for target in test.targets],
        "missed": [] if found is None else write_missed(test, found.findings),
        "missing": test.missing,
        "commit": "" if found is None else found.state.commit,
        "code": "" if found is None else found.state.code,
        "seeds": [] if found is None else list(found.seeds),
        "found": None if found is None else found.findings.to_json(),
    }


def _write_limit(target: Target) -> str:
    return f"{target.relation} {target.limit:,g} {target.unit}".strip()
