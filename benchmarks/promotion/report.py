"""Writes a decision as a table and as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.promotion.decide import Decision
from benchmarks.promotion.measure import Measure

WIDTH: Final = 160
NOTES: Final = (
    "change is relative to the serving bundle, over the same users; intervals are 95 % bootstrap intervals",
    "all users: the whole interval must lie above the limit; a segment: it must not lie wholly below",
    "shown but not eligible: judged by a second reading of the rules on the data's own products",
)


def write_report(out: Path, name: str, decision: Decision, console: Console, *, simulated: bool) -> None:
    """Shows the decision and writes it as OUT/NAME.txt and OUT/NAME.json.

    Args:
        out: directory; made where it is missing.
        name: of the files.
        decision: what to report.
        console: where it is shown as well.
        simulated: whether the data is invented, which is said.
    """
    out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    with (out / f"{name}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=WIDTH)):
            _show(target, decision, machine.line, simulated=simulated)
    body: dict[str, Any] = {
        "verdict": "refuse" if decision.reasons else "promote",
        "reasons": decision.reasons,
        "serving": decision.serving,
        "candidate": decision.candidate,
        "known_until": decision.known_until.isoformat(),
        "clock": decision.clock.isoformat(),
        "policy_id": decision.policy_id,
        "simulated": simulated,
        "limits": decision.limits.model_dump(),
        "measures": [asdict(measure) for measure in decision.measures],
        "machine": asdict(machine),
    }
    (out / f"{name}.json").write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _show(console: Console, decision: Decision, machine: str, *, simulated: bool) -> None:
    table = Table(
        title=f"candidate {decision.candidate} against serving {decision.serving}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("measure", "of"):
        table.add_column(name, no_wrap=True)
    for name in ("count", "serving", "candidate", "change", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("limit", ""):
        table.add_column(name, no_wrap=True)
    for measure in decision.measures:
        table.add_row(*_cells(measure))
    console.print(table)
    for text in (*_sentences(decision), *NOTES, *(["the data is simulated"] if simulated else []), machine):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cells(measure: Measure) -> tuple[str, ...]:
    change = measure.change
    return (
        measure.name,
        measure.group,
        f"{measure.count:,}",
        "" if measure.serving is None else f"{measure.serving:.4f}",
        f"{measure.candidate:.4f}",
        "" if change is None else f"{change.mean:+.1%}",
        "" if change is None else f"{change.low:+.1%} to {change.high:+.1%}",
        measure.limit,
        measure.verdict,
    )


def _sentences(decision: Decision) -> list[str]:
    if decision.reasons:
        verdict = [f"REFUSED for {len(decision.reasons)} reasons:", *(f"- {one}" for one in decision.reasons)]
    else:
        verdict = ["PROMOTED: every limit is kept"]
    return [
        *verdict,
        f"quality: histories until {decision.known_until.isoformat()}, products new to the user from then on",
        f"lists: at {decision.clock.isoformat()} under policy {decision.policy_id}",
    ]
