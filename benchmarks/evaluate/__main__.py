"""Evaluates models and baselines: `python -m benchmarks.evaluate temporal --data DIR --out DIR`.

Each split's result is a file, so a run that was stopped goes on where it ended; remove a file to compute it
again. Results name the commit that made them; those of other training settings are other files.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.evaluate.baselines import PopularityScorer
from benchmarks.evaluate.report import average, draw, make_table, write_json
from benchmarks.evaluate.temporal import Split, SplitResult, evaluate_split, read_far_trans_splits
from benchmarks.evaluate.through_bundle import evaluate_model
from benchmarks.machine import describe_machine, read_commit
from training.importers.far_trans import ATTRIBUTION

MODELS = ("two_tower", "mf")
BASELINES = ("popularity",)
NICENESS = 5
TUNED_SPLITS = (3, 12, 20)  # As training/config.py says of its defaults.
TITLE = "FAR-Trans, temporal protocol, no suitability filter"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one protocol; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    os.nice(NICENESS)
    try:
        _run_temporal(options, console)
    except BenchmarkError as error:
        Console(stderr=True, highlight=False).print(f"{type(error).__name__}: {error}", markup=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description="Evaluates models.")
    protocols = parser.add_subparsers(dest="protocol", required=True)
    temporal = protocols.add_parser("temporal", help="rolling splits in time, through the sealed bundle")
    temporal.add_argument("--data", type=Path, required=True, help="FAR-Trans directory with its splits")
    temporal.add_argument("--model", default="two_tower,mf,popularity", help="comma-separated scorers")
    temporal.add_argument("--splits", default="0-27", help="for example 0-27 or 0,9,18")
    temporal.add_argument(
        "--settings", action="append", default=[], metavar="MODEL=FILE", help="training settings"
    )
    temporal.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    temporal.add_argument(
        "--work", type=Path, default=Path("artifacts/evaluate"), help="directory for results by split"
    )
    return parser


def _run_temporal(options: argparse.Namespace, console: Console) -> None:
    scorers = _read_scorers(options.model)
    settings = dict(_read_settings(text) for text in options.settings)
    splits = read_far_trans_splits(options.data, read_numbers(options.splits))
    results: dict[str, list[SplitResult]] = {name: [] for name in scorers}
    commits: set[str] = set()
    for split in splits:
        for name in scorers:
            record = options.work.resolve() / name_record(split.number, name, settings.get(name))
            if not record.is_file():
                console.print(f"split {split.number} ({split.time_point}), {name}")
                source = options.data.resolve()
                result = _evaluate(
                    split, source, record, name=name, settings=settings.get(name), console=console
                )
                text = json.dumps({"commit": read_commit(), **asdict(result)})
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text(text + "\n", encoding="utf-8")
            body = read_json(record)
            commits.add(body.pop("commit"))
            results[name].append(SplitResult(**body))
        console.print(_describe(split, results))
    _report(options.out, results, splits, sorted(commits), console)


def name_record(split: int, name: str, settings: Path | None) -> str:
    """Names the file of one result; training settings other than the defaults are part of the name."""
    digest = "" if settings is None else f"-{hashlib.sha256(settings.read_bytes()).hexdigest()[:12]}"
    return f"{name}{digest}-{split:02}.json"


def _evaluate(
    split: Split, source: Path, record: Path, *, name: str, settings: Path | None, console: Console
) -> SplitResult:
    if name == "popularity":
        return evaluate_split(split, PopularityScorer(split.owned))
    work = record.with_suffix("")
    return evaluate_model(split, source, work, model=name, settings=settings, console=console)


def _describe(split: Split, results: dict[str, list[SplitResult]]) -> str:
    figures = ", ".join(f"{name} {values[-1].ndcg_at_10:.4f}" for name, values in results.items())
    return f"split {split.number} ({split.time_point}), {len(split.users)} users: nDCG@10 {figures}"


def _report(
    out: Path,
    results: dict[str, list[SplitResult]],
    splits: list[Split],
    commits: list[str],
    console: Console,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    with (out / "far-trans-temporal.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=110)):
            target.print(make_table(results, title=TITLE))
            target.print(machine.line, markup=False, highlight=False, soft_wrap=True)
            target.print(describe_untuned(results), markup=False, highlight=False, soft_wrap=True)
            made = f"results made at commits {', '.join(commits)}"
            target.print(made, markup=False, highlight=False, soft_wrap=True)
            target.print(f"{ATTRIBUTION}. Licence: CC BY 4.0.", markup=False, highlight=False, soft_wrap=True)
    write_json(out / "far-trans-temporal.json", results, machine, protocol="temporal", commits=commits)
    draw(out / "far-trans-temporal.png", results, splits, title=TITLE)


def describe_untuned(results: Mapping[str, Sequence[SplitResult]]) -> str:
    """Says which splits the settings were chosen on, and what the other splits give."""
    means = []
    for name, values in results.items():
        others = [value for value in values if value.split not in TUNED_SPLITS]
        means.append(f"{name} {average(others)['ndcg_at_10']:.4f}" if others else f"{name} -")
    tuned = ", ".join(map(str, TUNED_SPLITS))
    return f"settings were chosen looking at splits {tuned}; nDCG@10 without them: {', '.join(means)}"


def _read_scorers(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in (*MODELS, *BASELINES)]
    if unknown:
        raise BenchmarkInputError(f"--model has {unknown[0]!r}; expected some of {(*MODELS, *BASELINES)}")
    return names


def _read_settings(text: str) -> tuple[str, Path]:
    model, found, path = text.partition("=")
    if not found or model not in MODELS or not Path(path).is_file():
        raise BenchmarkInputError(f"--settings is {text!r}; expected MODEL=FILE, a model of {MODELS}")
    return model, Path(path).resolve()


def read_numbers(text: str) -> list[int]:
    """Reads "0-3,9" as [0, 1, 2, 3, 9].

    Raises:
        BenchmarkInputError: it is no such list.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, found, last = part.partition("-")
        if not first.isdecimal() or (found and not last.isdecimal()):
            raise BenchmarkInputError(f"splits are {text!r}; expected for example 0-27 or 0,9,18")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


if __name__ == "__main__":
    sys.exit(main())
