"""Counts the kernel's instructions: `python -m benchmarks.kernel`. Exit code 2 without valgrind.

Valgrind knows AVX2 and no AVX-512, so that path of the scan is reported as not run.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkInputError
from benchmarks.kernel.counts import CASES, NOT_RUN, Count, build_driver, count_case, find_valgrind
from benchmarks.machine import ROOT, Machine, describe_machine

NAME: Final = "kernel-callgrind"
_WIDTH: Final = 110


def main(arguments: Sequence[str] | None = None) -> int:
    """Counts, prints and writes; returns 0, or 2 where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    valgrind = find_valgrind()
    if valgrind is None:
        console.print("valgrind is not installed: nothing was counted", markup=False)
        return 2
    try:
        with tempfile.TemporaryDirectory() as directory:
            program = build_driver(Path(directory))
            counts = [count_case(valgrind, program, case) for case in CASES]
    except BenchmarkInputError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    machine = describe_machine()
    _write(options.out, machine, counts)
    _print(console, machine, counts)
    return 0


def _write(directory: Path, machine: Machine, counts: Sequence[Count]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    body = {"machine": asdict(machine), "counts": [asdict(count) for count in counts]}
    (directory / f"{NAME}.json").write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    with (directory / f"{NAME}.txt").open("w", encoding="utf-8") as file:
        _print(Console(file=file, width=_WIDTH), machine, counts)


def _print(console: Console, machine: Machine, counts: Sequence[Count]) -> None:
    console.print(machine.line, markup=False, soft_wrap=True)
    title = "Instructions by callgrind, 64 dims; compiled with -O3"
    table = Table("what", "path", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    table.add_column("instructions", justify="right")
    table.add_column("for each")
    table.add_column("counted over")
    for count in counts:
        found = NOT_RUN if count.instructions is None else f"{count.instructions:.2f}"
        table.add_row(count.case.title, count.case.path, found, count.case.unit, count.note)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
