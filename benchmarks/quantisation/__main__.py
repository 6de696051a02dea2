"""Benchmarks quantisation: `python -m benchmarks.quantisation`.

Takes the demonstration's run and data set, and compares every form of the user tower and of the vectors:
bytes, CPU time, and the lists that users get beside those of float32. That the gate of export refuses a form
is a finding, not a failure.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.machine import ROOT, describe_machine
from benchmarks.pipeline import Artifacts
from benchmarks.quantisation.measure import measure
from benchmarks.quantisation.report import Report, write_report
from benchmarks.report_files import WIDTH
from export.errors import ExportError
from export.quality_gate import QualityLimits
from training.errors import TrainingError

_LIBRARIES: Final = ("onnxruntime", "onnx", "torch", "numpy", "faiss-cpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        write_report(_run(options), options.out, console)
    except (BenchmarkError, ExportError, TrainingError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantisation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--artifacts",
        type=Path,
        default=ROOT / "artifacts" / "simulated",
        help="what the demonstration made: its run and data",
    )
    parser.add_argument(
        "--passes", type=int, choices=range(2, 1001), default=25, metavar="N", help="timed passes, 2 to 1000"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "quantisation", help="a directory")
    return parser


def _run(options: argparse.Namespace) -> Report:
    artifacts = Artifacts(options.artifacts)
    if not artifacts.run.is_dir() or not artifacts.data.is_dir():
        raise BenchmarkInputError(f"no run and data under {options.artifacts}; run make demo first")
    limits, machine = QualityLimits(), describe_machine()
    forms = measure(artifacts.run, artifacts.data, limits, pass_count=options.passes)
    cost = forms[0].cost
    libraries = {name: version(name) for name in _LIBRARIES}
    subject = f"{artifacts.directory.name}: lists of {cost.user_count:,} validation users"
    return Report(machine, subject, libraries, limits, forms)


if __name__ == "__main__":
    sys.exit(main())
