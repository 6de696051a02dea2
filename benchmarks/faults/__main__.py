"""Runs the fault tests: `python -m benchmarks.faults [--test N] [--scale S]`.

What runs find adds up under --artifacts while the code that is tested stays the same, so that a long test may
be done in several sittings; the table says what was tried of what is asked. Each run has a seed of its own,
which is printed.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.faults.figures import FaultTest, Findings, Verdict
from benchmarks.faults.ground import Ground, make_ground
from benchmarks.faults.picture import draw
from benchmarks.faults.rates import calibrate
from benchmarks.faults.record import Kept, Record
from benchmarks.faults.report import describe, write_report
from benchmarks.faults.state import read_state
from benchmarks.faults.table import TESTS, list_other_files
from benchmarks.machine import describe_machine
from benchmarks.report_files import write_tables

NAME: Final = "faults"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, shows and writes; returns 0, or 1 if a figure was missed or nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    numbers = [test.number for test in TESTS]
    parser.add_argument(
        "--test", type=int, action="append", choices=numbers, help="only these; may be repeated"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts that a run adds")
    parser.add_argument("--report", action="store_true", help="run nothing, and show what was found so far")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts/faults"))
    parser.add_argument("--out", type=Path, help="where the table is written; by default the artifacts")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        if not options.report:
            _run(options, console)
    except BenchmarkError as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", highlight=False, markup=False)
        return 1
    return _report(options.out or options.artifacts, Record(_folder(options), read_state()), console)


def _folder(options: argparse.Namespace) -> Path:
    return Path(options.artifacts) / "findings"


def _run(options: argparse.Namespace, console: Console) -> None:
    ground = make_ground(options.artifacts, console)
    for test in TESTS:
        if options.test and test.number not in options.test:
            continue
        record = Record(_folder(options), read_state(without=list_other_files(test)))
        # Each part has a seed of its own, and what it found is kept before the next begins.
        for part in test.split(options.scale):
            _run_part(test, replace(ground, rate_max=calibrate(ground)), part, record, console)


def _run_part(test: FaultTest, ground: Ground, scale: float, record: Record, console: Console) -> None:
    kept = record.read(test.number)
    seed = 1 if kept is None else max(kept.seeds) + 1
    head = f"{test.number}: {test.title}; seed {seed}, scale {scale:g}"
    console.print(f"{head}, others at most {ground.rate_max:.0f} calls/s", highlight=False)
    found = test.run(ground, scale, seed) + Findings(samples={"others at most, calls/s": (ground.rate_max,)})
    console.print(f"   {test.judge(record.add(test.number, found, seed).findings)}", highlight=False)


def _report(out: Path, record: Record, console: Console) -> int:
    kept = _read_all(record)
    machine = describe_machine()

    def show(target: Console) -> None:
        text = f"{write_report(TESTS, kept)}\n{machine.line}"
        target.print(text, soft_wrap=True, highlight=False, markup=False)

    write_tables(out, NAME, console, show, {"machine": asdict(machine), "tests": describe(TESTS, kept)})
    draw(out / f"{NAME}.png", TESTS, kept, machine.line)
    return 1 if any(_missed(test, kept) for test in TESTS) else 0


def _missed(test: FaultTest, kept: dict[int, Kept]) -> bool:
    return test.number in kept and test.judge(kept[test.number].findings) is Verdict.MISSED


def _read_all(record: Record) -> dict[int, Kept]:
    read = {test.number: record.read(test.number) for test in TESTS}
    return {number: kept for number, kept in read.items() if kept is not None}


if __name__ == "__main__":
    sys.exit(main())
