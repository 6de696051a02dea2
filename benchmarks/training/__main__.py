"""Benchmarks training: `python -m benchmarks.training [epochs] [tables] [streams]`.

Measures an epoch of a million interactions under several settings, optimizers on large tables, and reading
data that is dealt into shards. Every measurement runs in processes of its own. Without a name, all parts run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT, describe_machine
from benchmarks.report_files import WIDTH
from benchmarks.training.child import run_child
from benchmarks.training.drawing import draw_data
from benchmarks.training.epochs import VARIANTS, EpochCost, measure_epoch
from benchmarks.training.report import Report, write_report
from benchmarks.training.streaming import StreamCost, measure_stream
from benchmarks.training.vocabulary import OPTIMIZERS, TableCost, measure_table
from training.errors import TrainingError

PARTS: Final = ("epochs", "tables", "streams")
_ROW_COUNTS: Final = (100_000, 1_000_000, 4_000_000)
_SIMULATED: Final = ("--users", "30000", "--courses", "3000", "--products", "1000")  # A million events.
_CLOCK: Final = "2026-11-22T00:00:00Z"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        write_report(_run(options, console), options.out, options.name, console)
    except (BenchmarkError, TrainingError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument(
        "--data", type=Path, nargs="*", help="measure epochs on these data directories instead"
    )
    parser.add_argument(
        "--variants", nargs="*", choices=[variant.name for variant in VARIANTS], help="some only"
    )
    parser.add_argument("--events", type=int, nargs="*", default=[10_000_000], help="sizes of the streams")
    parser.add_argument("--steps", type=int, default=20, help="steps learned from each shard of a stream")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "artifacts" / "training-data", help="for drawn data"
    )
    parser.add_argument("--name", default="training", help="of the files written")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "training", help="a directory")
    return parser


def _run(options: argparse.Namespace, console: Console) -> Report:
    wanted = options.parts or PARTS
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        raise BenchmarkError(f"expected parts of {PARTS}, got {unknown[0]!r}")
    epochs: list[EpochCost] = []
    tables: list[TableCost] = []
    streams: list[StreamCost] = []
    machine = describe_machine()
    if "epochs" in wanted:
        variants = [each for each in VARIANTS if not options.variants or each.name in options.variants]
        for data in options.data or _make_data(options.work):
            for variant in variants:
                console.print(f"  an epoch of {data.name}, {variant.name} …", markup=False)
                epochs.append(measure_epoch(data, variant))
    if "tables" in wanted:
        console.print("  steps on large tables …")
        tables = [measure_table(name, count) for count in _ROW_COUNTS for name in OPTIMIZERS]
    if "streams" in wanted:
        for count in options.events:
            console.print(f"  {count:,} events in shards …")
            streams.append(measure_stream(options.work, count, options.steps))
    return Report(machine, torch.__version__, epochs, tables, streams)


def _make_data(work: Path) -> list[Path]:
    """Makes a million interactions twice, unless they are there: of the simulated platform, and drawn."""
    simulated, drawn = work / "simulated", work / "drawn-1000000"
    if not simulated.is_dir():
        run_child(["-m", "training", "simulate", str(simulated), *_SIMULATED, "--clock", _CLOCK])
    if not drawn.is_dir():
        draw_data(drawn, 1_000_000)
    return [simulated, drawn]


if __name__ == "__main__":
    sys.exit(main())
