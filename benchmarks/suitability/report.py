"""Reports what the suitability benchmarks found, as tables, JSON and a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.suitability.mutation import MutationResult
from benchmarks.suitability.parity import ParityResult
from benchmarks.suitability.speed import SpeedResult

mpl.use("Agg")

from matplotlib import pyplot as plt

WIDTH: Final = 120
_STYLE: Final[dict[str, Any]] = {"title_justify": "left", "box": box.SIMPLE_HEAD}


def write_json(name: str, machine: Machine, result: Any, out: Path) -> None:
    """Writes suitability-NAME.json: where and when, and what was found."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": asdict(machine), **asdict(result)}, indent=1, ensure_ascii=False)
    (out / f"suitability-{name}.json").write_text(text + "\n", encoding="utf-8")


def print_speed(result: SpeedResult, console: Console) -> None:
    """Tabulates the gate's speed."""
    console.print(
        f"{result.thread_count} thread, CPU time; the definition takes {result.definition_pair_us:,.0f} us "
        "a pair"
    )
    table = Table(title="All predicates, every code of every pair", **_STYLE)
    rows: Mapping[str, str] = {
        "products": "product_count",
        "ns a pair, p50": "pair_ns_p50",
        "p99": "pair_ns_p99",
        "scattered, p50": "scattered_pair_ns_p50",
        "us a profile": "profile_us_p50",
        "whole catalogue, counted, ms": "whole_ms_p50",
        "compared": "compared_pairs",
        "differences": "difference_count",
    }
    for heading in rows:
        table.add_column(heading, justify="right")
    for gate in result.gates:
        values = (getattr(gate, name) for name in rows.values())
        table.add_row(*(f"{each:,}" if isinstance(each, int) else f"{each:,.2f}" for each in values))
    console.print(table)


def draw_speed(result: SpeedResult, machine: Machine, path: Path) -> None:
    """Draws the gate beside the definition, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(8, 3.6))
    names = [f"gate, {gate.product_count:,} products" for gate in result.gates] + ["definition"]
    times = [gate.pair_ns_p50 for gate in result.gates] + [result.definition_pair_us * 1000]
    bars = axes.barh(names, times, color=["#2166ac"] * len(result.gates) + ["#b2182b"])
    axes.bar_label(bars, [f"{each:,.0f} ns" for each in times], padding=4)
    axes.set(xscale="log", xlabel="ns a pair, p50 of CPU time, one thread", xlim=(1, max(times) * 10))
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    differences = sum(gate.difference_count for gate in result.gates)
    compared = sum(gate.compared_pairs for gate in result.gates)
    figure.suptitle(
        f"{differences} differences on {compared:,} pairs\n"
        f"{machine.processor}, {machine.commit}, {machine.date}",
        size=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def print_parity(result: ParityResult, console: Console) -> None:
    """Tabulates the comparison of definition, gate and checker."""
    console.print(
        f"{result.pair_count:,} pairs, {result.eligible_share:.1%} eligible; "
        f"{result.ends_count:,} ends of verdicts; {result.difference_count:,} differences"
    )
    silent = ", ".join(result.silent_predicates) or "none"
    console.print(f"predicates that decided alone: {len(result.decided_alone)}; never alone: {silent}")
    for text in result.differences:
        console.print(text, markup=False, soft_wrap=True)
    table = Table(title="Pairs by code", **_STYLE)
    table.add_column("code")
    table.add_column("pairs", justify="right")
    for code, count in result.code_counts.items():
        table.add_row(code, f"{count:,}")
    console.print(table)


def print_mutations(results: Sequence[MutationResult], console: Console) -> None:
    """Tabulates the parts and lists the survivors of each, those without a reason first."""
    table = Table(title="Small faults, one at a time", **_STYLE)
    table.add_column("part")
    columns = {
        "cases": "case_count",
        "eligible": "eligible_count",
        "mutants": "mutant_count",
        "killed": "killed_count",
        "survive": "survivor_count",
        "without a reason": "unexplained_count",
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(result.part, *(f"{getattr(result, name):,}" for name in columns.values()))
    console.print(table)
    for survivor in sorted(
        (each for result in results for each in result.survivors), key=lambda each: each.reason is not None
    ):
        place = f"{survivor.path}:{survivor.line}: {survivor.context}"
        console.print(f"{place}\n    {survivor.change}", markup=False, soft_wrap=True)
        console.print(f"    {survivor.reason or 'NO REASON'}", markup=False, soft_wrap=True)
