"""Plays schedules: `python -m benchmarks.faults.simulation --schedules 10000 --seed S`; says what failed.

A schedule that fails is played again by its number: `--seed S --first NUMBER --schedules 1`.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from benchmarks.faults.simulation.schedule import Played, play
from benchmarks.faults.simulation.world import Fault
from benchmarks.machine import describe_machine

SHOWN_COUNT_MAX: Final = 20
NAME: Final = "faults-simulation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, prints and writes; returns 0, or 1 if anything happened that must never happen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first schedule")
    parser.add_argument("--out", type=Path, default=Path("artifacts/faults"), help="folder of the JSON")
    options = parser.parse_args(arguments)
    console, start_s = Console(highlight=False), time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[Played] = []
    numbers = range(options.first, options.first + options.schedules)
    for number in track(numbers, "schedules", console=Console(stderr=True), transient=True):
        played = play(options.seed, number)
        counts.update(played.counts)
        if played.faults:
            failed.append(played)
    for played in failed[:SHOWN_COUNT_MAX]:
        for fault, what in played.faults:
            console.print(f"schedule {played.number}: {fault}: {what}", markup=False, soft_wrap=True)
    console.print(
        f"{options.schedules:,} schedules, seed {options.seed}: {len(failed)} failed, "
        f"{time.monotonic() - start_s:.0f} s"
    )
    console.print(", ".join(f"{name} {count:,}" for name, count in counts.most_common()), soft_wrap=True)
    _write(options, counts, failed)
    return 1 if failed else 0


def _write(options: argparse.Namespace, counts: Counter[str], failed: list[Played]) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [fault for played in failed for fault, _ in played.faults]
    found = {
        "machine": asdict(describe_machine()),
        "seed": options.seed,
        "first": options.first,
        "schedules": options.schedules,
        "failed_schedules": [played.number for played in failed],
        "faults": {each.value: sum(each == found for found in kinds) for each in Fault},
        "counts": dict(counts.most_common()),
    }
    (options.out / f"{NAME}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
