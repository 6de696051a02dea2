"""Measures cold products and cold users: `python -m benchmarks.cold --data DATA --out OUT`.

The last tenth of the events is held out; all events of some products are hidden, and all but the last one to
three of some users. A model learns from the rest and is asked through its sealed bundle, beside most popular
and content-kNN: once for each seed, of which the draws and the model's training are.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.cold.measure import Plan, measure_cold
from benchmarks.cold.report import write_report
from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.machine import describe_machine
from benchmarks.report_files import WIDTH
from training.config import read_settings
from training.errors import TrainingError

MODELS = ("two_tower", "mf", "svd", "ials")
NICENESS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    os.nice(NICENESS)
    try:
        plan = _plan(options)
        name = f"cold-{read_json(plan.data / 'source.json')['name']}"
        rows = measure_cold(plan, console)
        write_report(options.out, options.name or name, plan, rows, describe_machine(), console)
    except (BenchmarkError, TrainingError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a directory made by a data command")
    parser.add_argument("--hide", type=float, default=0.05, metavar="SHARE", help="of products; 0 for none")
    parser.add_argument(
        "--shorten", type=float, default=0.1, metavar="SHARE", help="of users' histories; 0 for none"
    )
    parser.add_argument("--seeds", default="1,2,3", help="one draw and one training each")
    parser.add_argument("--model", choices=MODELS, default="two_tower")
    parser.add_argument("--settings", type=Path, help="JSON file of training settings, without a seed")
    parser.add_argument(
        "--truth", type=int, metavar="SEED", help="of a simulation: what its truth allows on cold users"
    )
    parser.add_argument("--name", help="name of the files written; default: of the data")
    parser.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    parser.add_argument(
        "--work", type=Path, default=Path("artifacts/cold"), help="for what is made on the way"
    )
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    seeds = options.seeds.split(",")
    if not all(seed.isdecimal() for seed in seeds) or len(set(seeds)) < len(seeds):
        raise BenchmarkInputError(f"--seeds is {options.seeds!r}; expected distinct numbers, as 1,2,3")
    for name in ("hide", "shorten"):
        if not 0.0 <= getattr(options, name) < 1.0:
            raise BenchmarkInputError(
                f"--{name} is {getattr(options, name)}; expected a share from 0 to below 1"
            )
    data = options.data.resolve()
    return Plan(
        data=data,
        model=options.model,
        settings={} if options.settings is None else read_settings(options.settings),
        seeds=[int(seed) for seed in seeds],
        hidden_share=options.hide,
        shortened_share=options.shorten,
        truth_seed=options.truth,
        work=options.work.resolve() / str(read_json(data / "source.json")["name"]),
    )


if __name__ == "__main__":
    sys.exit(main())
