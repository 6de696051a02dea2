"""Benchmarks risk models: `python -m benchmarks.risk DIR --german DIR --out OUT`.

DIR holds the publisher's credit default (UCI 350). Every model is trained with and without protected fields
on what is not held out, measured on what is, and compared with its ONNX graph and its reader.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.machine import ROOT, describe_machine
from benchmarks.report_files import WIDTH
from benchmarks.risk.german import measure_folds
from benchmarks.risk.measure import measure_credit
from benchmarks.risk.report import Report, write_report
from export.errors import ExportError
from training.config import read_settings
from training.errors import TrainingError
from training.importers.uci_credit import import_credit_default, import_german_credit
from training.risk.settings import make_settings

_LIBRARIES: Final = ("scikit-learn", "numpy", "onnx", "onnxruntime")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        write_report(_run(options, console), options.out, console)
    except (ExportError, TrainingError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.risk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the publisher's credit default")
    parser.add_argument("--german", type=Path, metavar="DIR", help="the publisher's German credit as well")
    parser.add_argument(
        "--config", type=Path, help="a JSON object of settings; see training/risk/settings.py"
    )
    parser.add_argument(
        "--resamples", type=int, choices=range(10, 10_001), default=1000, metavar="N", help="10 to 10000"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "risk", help="a directory")
    return parser


def _run(options: argparse.Namespace, console: Console) -> Report:
    machine = describe_machine()
    settings = make_settings(read_settings(options.config) if options.config else {})

    def tell(line: str) -> None:
        console.print(line, markup=False)

    credit = measure_credit(import_credit_default(options.directory).table, settings, options.resamples, tell)
    german = []
    if options.german is not None:
        german = measure_folds(import_german_credit(options.german).table, settings, tell)
    libraries = {name: version(name) for name in _LIBRARIES}
    return Report(machine, libraries, settings, options.resamples, credit, german)


if __name__ == "__main__":
    sys.exit(main())
