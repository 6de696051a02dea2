"""Benchmarks retrieval: `python -m benchmarks.retrieval`.

Everything runs in one thread. Exit code 1 where a target of recall is missed: speed depends on the machine.
Other libraries are compared where the extra `bench-libraries` is installed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.machine import ROOT, describe_machine
from benchmarks.report_files import WIDTH
from benchmarks.retrieval.libraries import LIBRARIES
from benchmarks.retrieval.limits import measure_limits
from benchmarks.retrieval.measure import Settings, measure
from benchmarks.retrieval.report import Circumstances, Report, write_report
from benchmarks.retrieval.strategies import use_one_thread
from benchmarks.retrieval.targets import judge

THREAD_COUNT: Final = 1
ITEM_COUNTS: Final = (10_000, 100_000, 1_000_000)
QUICK: Final = Settings(
    ITEM_COUNTS[:1], graph_item_max=0, user_count=32, tuning_count=32, pass_count=7, pass_s=0.002
)
_LIMIT_BYTES: Final = 256 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 where too little is found."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    asked = Settings(tuple(options.items), graph_item_max=options.graph_items)
    report = _run(QUICK if options.quick else asked, console)
    write_report(report, options.out, console)
    return 0 if all(each.met is not False for each in report.verdicts if "recall" in each.name) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=ITEM_COUNTS, help="sizes of the catalogues")
    parser.add_argument(
        "--graph-items",
        type=int,
        default=Settings.graph_item_max,
        help="largest catalogue over which libraries build graphs",
    )
    parser.add_argument("--quick", action="store_true", help="10,000 items and no graphs, in seconds")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "retrieval")
    return parser


def _run(settings: Settings, console: Console) -> Report:
    use_one_thread()
    machine, load_start = describe_machine(), os.getloadavg()[0]
    console.print(machine.line, markup=False, soft_wrap=True)
    limits = measure_limits(_LIMIT_BYTES)
    measured = measure(settings, console.print)
    circumstances = Circumstances(
        machine=machine,
        thread_count=THREAD_COUNT,
        load_start=load_start,
        load_end=os.getloadavg()[0],
        libraries={name: _read_version(name) for name in ("faiss-cpu", *LIBRARIES)},
        limits=limits,
    )
    return Report(circumstances, judge(measured), measured)


def _read_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
