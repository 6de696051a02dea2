"""Runs the loop test: `python -m benchmarks.loop --out OUT`.

Simulated users ask the running server and respond by their true tastes; their events are recorded over gRPC,
compacted, imported and learned from. Then each user asks once more: the frozen model, one carried on without
feedback, and two carried on with it, counted in full and as imported. Lists are judged by the truth.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prudence.errors import PrudenceError
from rich.console import Console

from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.loop.report import write_report
from benchmarks.loop.run import Plan, run_loop
from benchmarks.machine import describe_machine
from benchmarks.report_files import WIDTH
from training.errors import TrainingError

NICENESS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the loop for every seed; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    os.nice(NICENESS)
    try:
        seeds = _read_seeds(options.seeds)
        plan = Plan(options.users, options.courses, options.weeks, options.work.resolve(), options.settings)
        results = []
        for seed in seeds:
            console.print(f"seed {seed}")
            results.append(run_loop(plan, seed, console))
        write_report(options.out, plan, results, describe_machine(), console)
    except (BenchmarkError, TrainingError, PrudenceError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return 0


def _read_seeds(text: str) -> list[int]:
    seeds = text.split(",")
    if not all(seed.isdecimal() for seed in seeds) or len(set(seeds)) < len(seeds):
        raise BenchmarkInputError(f"--seeds is {text!r}; expected distinct numbers, as 1,2,3")
    return [int(seed) for seed in seeds]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__)
    parser.add_argument("--seeds", default="1,2,3,4,5", help="a platform, a model and responses each")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--courses", type=int, default=500)
    parser.add_argument("--weeks", type=int, default=3, help="rounds in which every user asks and responds")
    parser.add_argument("--settings", type=Path, help="JSON file of training settings")
    parser.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    parser.add_argument(
        "--work", type=Path, default=Path("artifacts/loop"), help="for what is made on the way"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
