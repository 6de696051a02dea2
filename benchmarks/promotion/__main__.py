"""Judges a candidate bundle against the serving one: `python -m benchmarks.promotion`.

Exit code 0 promotes, 3 refuses with reasons, 1 is a fault that left nothing to judge. Nothing is published
here: `python -m index publish` does that, and `python -m benchmarks.retrain` does both.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError
from benchmarks.promotion.decide import Decision, decide
from benchmarks.promotion.limits import Limits, read_limits
from benchmarks.promotion.report import WIDTH, write_report
from index.bundle import open_bundle, read_current
from index.errors import IndexPackageError
from index.files import CURRENT
from suitability.errors import SuitabilityError
from suitability.policy import load_policy

REFUSED = 3
USER_COUNT = 4000
NICENESS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges; returns 0 to promote, 3 to refuse, 1 with a message on stderr."""
    options = parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    try:
        decision = run(
            options.serving, options.candidate, options.data, options.out, options=options, console=console
        )
    except (BenchmarkError, IndexPackageError, SuitabilityError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return REFUSED if decision.reasons else 0


def run(
    bundles: Path, candidate: Path, data: Path, out: Path, *, options: argparse.Namespace, console: Console
) -> Decision:
    """Judges and writes promotion.txt and promotion.json.

    Args:
        bundles: the directory that serves.
        candidate: a bundle, or a directory whose CURRENT names it.
        data: a data set that reaches beyond what both learned from.
        out: where the report goes.
        options: policy, limits, users and name, as `add_options` adds them.
        console: where progress and report are shown.

    Raises:
        BenchmarkError, IndexPackageError, SuitabilityError: nothing could be judged.
    """
    serving = open_bundle(read_current(bundles))
    judged = open_bundle(read_current(candidate) if (candidate / CURRENT).exists() else candidate)
    decision = decide(
        serving,
        judged,
        data,
        policy=load_policy(options.policy) if options.policy else serving.policy,
        limits=read_limits(options.limits) if options.limits else Limits(),
        user_count=options.users,
        console=console,
    )
    simulated = bool(read_json(data / "source.json").get("simulated"))
    write_report(out, options.name, decision, console, simulated=simulated)
    return decision


def add_options(target: argparse.ArgumentParser) -> None:
    """Adds what every judgement takes."""
    target.add_argument("--serving", type=Path, required=True, help="the directory of bundles that serves")
    target.add_argument("--data", type=Path, required=True, help="newer data than both learned from")
    target.add_argument("--policy", type=Path, help="policy in force; default the serving bundle's")
    target.add_argument("--limits", type=Path, help="JSON of limits; see benchmarks/promotion/limits.py")
    target.add_argument("--users", type=int, default=USER_COUNT, help="the most users; default %(default)s")
    target.add_argument("--name", default="promotion", help="of the report's files; default %(default)s")


def parser() -> argparse.ArgumentParser:
    """Makes the parser."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=__doc__)
    add_options(made)
    made.add_argument(
        "--candidate", type=Path, required=True, help=f"a bundle, or a directory with {CURRENT}"
    )
    made.add_argument("--out", type=Path, required=True, help="directory for the report")
    return made


if __name__ == "__main__":
    os.nice(NICENESS)  # A machine that serves goes first.
    sys.exit(main())
