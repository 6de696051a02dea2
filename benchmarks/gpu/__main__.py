"""Runs the GPU suite: `python -m benchmarks.gpu --bundles DIR --out DIR`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.evaluate.bundle_scorer import open_current
from benchmarks.gpu.prefixes import run_prefixes
from benchmarks.gpu.suite import NOT_MEASURED, GpuCase, count_measured, run_suite
from benchmarks.machine import describe_machine
from index.errors import IndexPackageError

PLAIN_WIDTH = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the suite; returns 0 also where nothing could be measured, 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Measures a GPU.")
    parser.add_argument("--bundles", type=Path, default=Path("artifacts/simulated/bundles"))
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts/gpu"), help="directory for gpu.txt and gpu.json"
    )
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    try:
        cases = [*run_suite(open_current(options.bundles)), *run_prefixes()]
    except (BenchmarkError, IndexPackageError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    machine = describe_machine()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "gpu.txt").open("w", encoding="utf-8") as copy:
        for target in (console, Console(file=copy, width=PLAIN_WIDTH)):
            target.print(machine.line, markup=False, soft_wrap=True)
            target.print(make_table(cases))
            target.print(f"{count_measured(cases)} of {len(cases)} cases measured", highlight=False)
    body = {"machine": asdict(machine), "cases": [asdict(case) for case in cases]}
    (options.out / "gpu.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return 0


def make_table(cases: Sequence[GpuCase]) -> Table:
    """Tabulates the cases."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("case", "CPU ms", "GPU ms", "agreement", "note"):
        table.add_column(heading, justify="left" if heading in {"case", "note"} else "right", overflow="fold")
    for case in cases:
        figures = [case.cpu_ms, case.gpu_ms, case.agreement]
        cells = ["-" if value is None else f"{value:.4g}" for value in figures]
        if case.status == NOT_MEASURED:
            cells[1] = NOT_MEASURED
        table.add_row(case.name, *cells, case.note)
    return table


if __name__ == "__main__":
    sys.exit(main())
