"""Retrains and publishes if nothing got worse: `python -m benchmarks.retrain --from RUN --data DATA ...`.

Holds out the latest events, updates the run with the rest, exports, seals, judges the bundle against the one
that serves, and makes it current only if every limit is kept. What is published is what was judged: the next
update learns the events held out, and histories are whole when users ask. The next update carries WORK/run on
after a promotion, and the same run again after a refusal.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.evaluate.artifacts import TaskArtifacts
from benchmarks.evaluate.holding import find_instants, hold_out_after
from benchmarks.pipeline import plan_model, run_stages
from benchmarks.promotion.__main__ import NICENESS, REFUSED, add_options, run
from benchmarks.promotion.report import WIDTH
from benchmarks.stages import Stage
from index.bundle import read_current
from index.errors import IndexPackageError
from index.publish import publish_bundle
from suitability.errors import SuitabilityError

HELD_OUT_SHARE: Final = 0.1


@dataclass(frozen=True)
class _Retrained(TaskArtifacts):
    """What one update makes, over the part of the data that it may learn from."""

    previous_run: Path

    def plan_update(self) -> Stage:
        """Plans the update."""
        options = {"--from": self.previous_run, "--data": self.data, "--out": self.run}
        return Stage(
            "update",
            f"carry {self.previous_run} on",
            ("training", "update", *(text for pair in options.items() for text in map(str, pair)), "--force"),
            (self.previous_run, self.data),
            ("training", "index", "suitability"),
            self.run,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Retrains; returns 0 when a bundle was published, 3 when it was refused, 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    try:
        return _retrain(options, console)
    except (BenchmarkError, IndexPackageError, SuitabilityError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1


def _retrain(options: argparse.Namespace, console: Console) -> int:
    serving = read_current(options.serving)
    made = _Retrained(options.work.resolve(), options.work.resolve() / "data", options.run.resolve())
    _hold_out(options.data, made.data, options.held_out)
    policy = (options.policy or serving / "policy.json").resolve()
    _, *rest = plan_model(made, model="two_tower", policy=policy)
    run_stages([made.plan_update(), *rest], made.records, console)
    candidate = read_current(made.bundles)
    decision = run(options.serving, candidate, options.data, options.work, options=options, console=console)
    if decision.reasons:
        console.print(f"{serving.name} goes on serving", markup=False)
        return REFUSED
    publish_bundle(candidate, options.serving, over=decision.serving)
    console.print(f"published {candidate.name} over {decision.serving}", markup=False)
    return 0


def _hold_out(data: Path, known: Path, share: float) -> None:
    """Writes what the update may learn from: all but the latest share of the events."""
    if not 0 < share < 1:
        raise BenchmarkInputError(f"--held-out is {share}; expected a share between 0 and 1")
    if not (data / "interactions.parquet").is_file():
        raise BenchmarkInputError(f"{data}: expected a data set, found no interactions.parquet")
    [instant] = find_instants(data, 1 - share)
    hold_out_after(data, known, known_until=instant, tested_from=instant)
    assert read_json(known / "source.json")["clock"] == instant.isoformat(), "a bundle tells when it ended"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrain", description=__doc__)
    add_options(parser)
    parser.add_argument("--from", dest="run", type=Path, required=True, help="the last run, of two_tower")
    parser.add_argument("--work", type=Path, required=True, help="directory for what is made, and the report")
    parser.add_argument(
        "--held-out",
        type=float,
        default=HELD_OUT_SHARE,
        help="share of the events, the latest, to judge by; default %(default)s",
    )
    return parser


if __name__ == "__main__":
    os.nice(NICENESS)  # A machine that serves goes first.
    sys.exit(main())
