"""Evaluates models and baselines on one data set: `python -m benchmarks.evaluate far-trans DIR --out OUT`.

Every scorer's result on every task is a file, so a run that was stopped goes on where it ended; remove a file
to compute it again. Results name the commit that made them; those of other training settings are other files.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.evaluate.bands import FILTERS, mask_task, read_bands
from benchmarks.evaluate.baselines.table import BASELINES
from benchmarks.evaluate.datasets import Request, make_tasks
from benchmarks.evaluate.report import Heading, describe_untuned, write_report
from benchmarks.evaluate.run import Plan, Results, run
from benchmarks.evaluate.task import Task
from benchmarks.evaluate.temporal import make_far_trans_tasks
from benchmarks.machine import describe_machine
from training.importers.far_trans import ATTRIBUTION as FAR_TRANS_ATTRIBUTION
from training.importers.mooccubex import ATTRIBUTION as MOOCCUBEX_ATTRIBUTION

MODELS = ("two_tower", "mf", "svd", "ials")
DEFAULT_MODELS = ("two_tower", "mf")
NOTHING = "none"
NICENESS = 5
DATASETS = ("far-trans", "mooccubex", "movielens", "pairs", "data")
K = {"sampled": 10, "full": 20, "temporal": 10, "leave-one-out": 10}
RECALL_NAMES = {"sampled": "HR", "full": "Recall", "temporal": "Recall", "leave-one-out": "HR"}
TUNED_SPLITS = ("03", "12", "20")  # As training/config.py says of its defaults.
SENTENCES = {
    "far-trans": (f"{FAR_TRANS_ATTRIBUTION}. Licence: CC BY 4.0.",),
    "mooccubex": (f"{MOOCCUBEX_ATTRIBUTION}. Licence: GPL-3.0; measured only.",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
    os.nice(NICENESS)
    try:
        _evaluate(options, console)
    except BenchmarkError as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__)
    parser.add_argument(
        "dataset", choices=DATASETS, help="an importer's name, or data: a documented data set"
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("second", type=Path, nargs="?", metavar="DIR2", help="second domain of pairs")
    parser.add_argument("--protocol", choices=sorted(K), help="default: what suits the data")
    parser.add_argument("--fit", choices=("train", "train+valid"), default="train", help="what is known")
    parser.add_argument("--models", default=",".join(DEFAULT_MODELS), help=f"of {', '.join(MODELS)}; or none")
    parser.add_argument(
        "--baselines", default=",".join(BASELINES), help="comma-separated, or none; default all"
    )
    parser.add_argument(
        "--name", help="name of the files written; default: of data, protocol and what is known"
    )
    parser.add_argument("--settings", action="append", default=[], metavar="MODEL=FILE", help="of training")
    parser.add_argument(
        "--splits", default="0-27", help="of the temporal protocol, for example 0-27 or 0,9,18"
    )
    parser.add_argument(
        "--filter", choices=sorted(FILTERS), default="none", help="mask by risk bands, FAR-Trans only"
    )
    parser.add_argument("--users", type=int, default=20_000, help="the most users to test")
    parser.add_argument("--seed", type=int, default=0, help="of the draws of users and negatives")
    parser.add_argument(
        "--agreement", type=int, default=200, metavar="USERS",
        help="users asked through model, bundle and server as well; 0 for none",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="directory for table, JSON and picture")
    parser.add_argument(
        "--work", type=Path, default=Path("artifacts/evaluate"), help="for what is made on the way"
    )
    return parser


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    protocol = options.protocol or find_protocol(options.dataset, options.directory)
    baselines, models = _read_names(options.baselines, tuple(BASELINES)), _read_names(options.models, MODELS)
    settings = dict(map(_read_settings, options.settings))
    fit = "" if options.fit == "train" else "-train-valid"
    name = f"{_name_data(options)}-{protocol}{fit}"
    work = options.work.resolve() / name
    if options.filter != "none":
        name += f"-{options.filter}"
    plan = Plan(
        tasks=_make_tasks(options, protocol, work, console),
        baselines=baselines,
        models=models,
        settings=settings,
        k=K[protocol],
        agreement_user_count=options.agreement,
        seed=options.seed,
        work=work,
        results=work / "results" if options.filter == "none" else work / f"results-{options.filter}",
    )
    results = run(plan, console)
    masked = f", {FILTERS[options.filter]}" if options.dataset == "far-trans" else ""
    heading = Heading(
        title=f"{_name_data(options)}, {protocol}, fitted on {options.fit}{masked}",
        recall_name=RECALL_NAMES[protocol],
        k=K[protocol],
        sentences=(*SENTENCES.get(options.dataset, ()), *_describe_untuned(results)),
    )
    write_report(options.out, options.name or name, heading, results, describe_machine(), console)


def _describe_untuned(results: Results) -> list[str]:
    outcomes = results.outcomes.get("temporal")
    return [] if outcomes is None else [describe_untuned(outcomes, TUNED_SPLITS)]


def _make_tasks(options: argparse.Namespace, protocol: str, work: Path, console: Console) -> list[Task]:
    if (protocol == "temporal") != (options.dataset == "far-trans"):
        raise BenchmarkInputError(f"{options.dataset} cannot be evaluated by the protocol {protocol}")
    if protocol == "temporal":
        directory = options.directory.resolve()
        tasks = make_far_trans_tasks(directory, work, read_numbers(options.splits), console)
        if options.filter == "none":
            return tasks
        bands = read_bands(directory)
        return [mask_task(task, bands, options.filter) for task in tasks]
    if options.filter != "none":
        raise BenchmarkInputError(f"--filter: {options.dataset} has no risk bands; expected far-trans")
    directories = [path.resolve() for path in (options.directory, options.second) if path is not None]
    missing = [path for path in directories if not path.is_dir()]
    if missing:
        raise BenchmarkInputError(f"expected a directory at {missing[0]}, found none")
    request = Request(
        dataset=options.dataset,
        directories=tuple(directories),
        protocol=protocol,  # type: ignore[arg-type]
        fit=options.fit,
        user_count=options.users,
        seed=options.seed,
        work=work,
    )
    return make_tasks(request, console)


def find_protocol(dataset: str, directory: Path) -> str:
    """Finds the protocol that suits a data set: for pairs, sampled where the publisher names negatives."""
    if dataset == "pairs":
        return "sampled" if any(directory.glob("*.test.negative")) else "full"
    return "temporal" if dataset == "far-trans" else "leave-one-out"


def _name_data(options: argparse.Namespace) -> str:
    """Names results after the kind of data and, where that says little, after the directory."""
    return (
        options.dataset
        if options.dataset in SENTENCES
        else f"{options.dataset}-{options.directory.resolve().name}"
    )


def _read_names(text: str, every: Sequence[str]) -> list[str]:
    names = [] if text == NOTHING else text.split(",")
    unknown = [name for name in names if name not in every]
    if unknown:
        raise BenchmarkInputError(
            f"{unknown[0]!r} is unknown; expected {NOTHING} or some of {', '.join(every)}"
        )
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
