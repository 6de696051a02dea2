"""Measures what two domains learn from each other: `python -m benchmarks.transfer simulated --out OUT`.

The simulated platform is made with several strengths of transfer, that is, correlations of a user's taste for
courses and for financial products; with 0 there is nothing to carry over. Or `pairs DIR DIR2`: two data sets
over shared users. Each user's last new product is held out, with all that the user did from then on.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.evaluate.datasets import Request, make_tasks
from benchmarks.evaluate.task import Task
from benchmarks.machine import describe_machine
from benchmarks.pipeline import Artifacts, DataCommand, plan_data
from benchmarks.stages import run_stage
from benchmarks.transfer.measure import measure_transfer
from benchmarks.transfer.report import Row, write_report

NICENESS = 5
MODELS = ("two_tower", "mf", "svd", "ials")
USER_LIMIT = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    os.nice(NICENESS)
    try:
        rows = _measure(options, console)
    except BenchmarkError as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    write_report(options.out, f"transfer-{options.source}", rows, describe_machine(), console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("source", choices=("simulated", "pairs"))
    parser.add_argument("directories", type=Path, nargs="*", metavar="DIR", help="of pairs, one per domain")
    parser.add_argument("--strengths", default="0,0.5,0.9", help="of the simulated platform, -1 to 1")
    parser.add_argument("--users", type=int, default=8000, help="of the simulated platform")
    parser.add_argument("--courses", type=int, default=600, help="of the simulated platform")
    parser.add_argument("--products", type=int, default=200, help="financial ones of the simulated platform")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated platform")
    parser.add_argument("--model", choices=MODELS, default="two_tower")
    parser.add_argument("--settings", type=Path, help="JSON file of training settings")
    parser.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    parser.add_argument(
        "--work", type=Path, default=Path("artifacts/transfer"), help="for what is made on the way"
    )
    return parser


def _measure(options: argparse.Namespace, console: Console) -> list[Row]:
    settings = None if options.settings is None else options.settings.resolve()
    rows = []
    for name, tasks, work in _make_cases(options, console):
        found = measure_transfer(tasks, work, model=options.model, settings=settings, console=console)
        rows += [Row(name, options.model, one) for one in found]
    return rows


def _make_cases(options: argparse.Namespace, console: Console) -> list[tuple[str, list[Task], Path]]:
    work = options.work.resolve()
    if options.source == "pairs":
        if len(options.directories) != 2:
            raise BenchmarkInputError(f"pairs: expected two directories, got {len(options.directories)}")
        directories = tuple(path.resolve() for path in options.directories)
        return [("pairs", _make_tasks("pairs", directories, work / "pairs", console), work / "pairs")]
    return [_simulate(options, strength, console) for strength in read_strengths(options.strengths)]


def _simulate(options: argparse.Namespace, strength: float, console: Console) -> tuple[str, list[Task], Path]:
    sizes = f"{options.users}-{options.courses}-{options.products}-{options.seed}"
    artifacts = Artifacts(options.work.resolve() / f"simulated-{sizes}-{strength}")
    flags = ("users", "courses", "products", "seed")
    values = [text for flag in flags for text in (f"--{flag}", str(getattr(options, flag)))]
    command = DataCommand(
        f"simulate {options.users:,} users, tastes correlated by {strength}",
        ("training", "simulate"),
        options=(*values, f"--taste-correlation={strength}", "--clock", "2026-01-01T00:00:00Z"),
    )
    run_stage(plan_data(artifacts, command), artifacts.records, console)
    tasks = _make_tasks("data", (artifacts.data,), artifacts.directory, console)
    return f"{strength}", tasks, artifacts.directory


def _make_tasks(dataset: str, directories: tuple[Path, ...], work: Path, console: Console) -> list[Task]:
    return make_tasks(
        Request(
            dataset=dataset, directories=directories, protocol="leave-one-out", fit="train",
            user_count=USER_LIMIT, seed=0, work=work,
        ),
        console,
    )  # fmt: skip


def read_strengths(text: str) -> list[float]:
    """Reads "0,0.5" as [0.0, 0.5].

    Raises:
        BenchmarkInputError: a part is no number from -1 to 1.
    """
    try:
        strengths = [float(part) for part in text.split(",")]
    except ValueError:
        strengths = []
    if not strengths or not all(-1.0 <= strength <= 1.0 for strength in strengths):
        raise BenchmarkInputError(f"--strengths is {text!r}; expected numbers from -1 to 1, as 0,0.5,0.9")
    return strengths


if __name__ == "__main__":
    sys.exit(main())
