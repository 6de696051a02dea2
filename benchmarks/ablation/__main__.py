"""Measures what each part of the two towers is worth: `python -m benchmarks.ablation --data DIR --out DIR`.

Every variant is trained on what came first and measured on what its users did next, with the split that a
training run validates on. A difference and its 95 % bootstrap interval are over the same users.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.ablation.measure import K, Measured, measure_variants
from benchmarks.ablation.variants import choose_variants
from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError
from benchmarks.evaluate.intervals import Estimate
from benchmarks.machine import describe_machine
from training.config import read_settings
from training.errors import TrainingError
from training.examples import read_learning_data

mpl.use("Agg")

from matplotlib import pyplot as plt

NICENESS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the ablation; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    os.nice(NICENESS)
    try:
        settings = read_settings(options.config) if options.config else {}
        data = read_learning_data(options.data)
        source = str(read_json(options.data / "source.json")["name"])
        results = measure_variants(
            data,
            choose_variants(options.only),
            settings,
            lambda result: console.print(_describe(result), markup=False),
        )
    except (BenchmarkError, TrainingError) as error:
        Console(stderr=True, highlight=False).print(f"{type(error).__name__}: {error}", markup=False)
        return 1
    _report(options.out, source, results, settings, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description="Measures what each part of the two towers is worth.",
    )
    parser.add_argument("--data", type=Path, required=True, help="a directory made by a data command")
    parser.add_argument("--config", type=Path, help="a JSON object of settings that all variants have")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a variant to measure; without it all"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    return parser


def _report(
    out: Path, source: str, results: Sequence[Measured], settings: Mapping[str, Any], console: Console
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    with (out / f"ablation-{source}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=110)):
            target.print(_make_table(source, results))
            target.print(machine.line, markup=False, highlight=False, soft_wrap=True)
    body = {
        "data": source,
        "machine": asdict(machine),
        "settings": settings,
        "variants": [asdict(result) for result in results],
    }
    (out / f"ablation-{source}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    _draw(out / f"ablation-{source}.png", source, results)


def _make_table(source: str, results: Sequence[Measured]) -> Table:
    table = Table(title=f"{source}: validation, differences with 95 % intervals", box=box.SIMPLE_HEAD)
    for name in ("variant", "against", f"recall@{K}", f"nDCG@{K}", "change of recall", "epochs", "s"):
        table.add_column(name, justify="left" if name in {"variant", "against"} else "right")
    for result in results:
        table.add_row(
            result.name,
            result.against if result.against != result.name else "",
            f"{result.recall.mean:.4f}",
            f"{result.ndcg.mean:.4f}",
            _show_difference(result.recall_difference) if result.against != result.name else "",
            str(result.epoch_count),
            f"{result.seconds:.0f}",
        )
    return table


def _show_difference(difference: Estimate) -> str:
    return f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def _describe(result: Measured) -> str:
    return f"{result.name}: recall@{K} {result.recall.mean:.4f}, {_show_difference(result.recall_difference)}"


def _draw(path: Path, source: str, results: Sequence[Measured]) -> None:
    """Draws each variant's change of recall with its interval."""
    compared = [result for result in results if result.against != result.name]
    names = [
        result.name if result.against == "default" else f"{result.name}\nagainst {result.against}"
        for result in compared
    ]
    middle = [result.recall_difference.mean for result in compared]
    spread = [
        [result.recall_difference.mean - result.recall_difference.low for result in compared],
        [result.recall_difference.high - result.recall_difference.mean for result in compared],
    ]
    figure, axes = plt.subplots(figsize=(9, 5))
    axes.barh(names, middle, xerr=spread, color="tab:blue", ecolor="black")
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(title=f"{source}: change of recall@{K} on validation", xlabel="with 95 % intervals over users")
    axes.grid(alpha=0.3, axis="x")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
