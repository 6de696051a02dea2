"""The temporal protocol: rolling splits in time, each with its own candidates.

At each split a scorer knows only what is dated before the time point. Candidates are the split's eligible
products less those the user already owns; users are those with a test purchase and at least one earlier one
(the `eligible_customers` of the FAR-Trans splits). A metric is averaged over users, then over splits.
"""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.far_trans import cut_far_trans
from benchmarks.evaluate.task import Task
from benchmarks.pipeline import Artifacts, import_far_trans, plan_data
from benchmarks.stages import run_stage


@dataclass(frozen=True)
class Split:
    """One point in time: who is tested on what, among which candidates.

    Attributes:
        number: position in time, from 0.
        time_point: ISO date; everything dated before it is known.
        eligible: product ids that may be ranked, ascending.
        purchases: for each tested user the products bought after the time point, none owned before it.
        owned: for each user the products owned before the time point.
    """

    number: int
    time_point: str
    eligible: tuple[str, ...]
    purchases: Mapping[str, frozenset[str]]
    owned: Mapping[str, frozenset[str]]

    @property
    def users(self) -> list[str]:
        """Returns the users that count: tested, and with a history at the time point."""
        return sorted(user for user in self.purchases if user in self.owned)


def make_far_trans_tasks(directory: Path, work: Path, numbers: Sequence[int], console: Console) -> list[Task]:
    """Cuts FAR-Trans at each split's time point, imports what is left and makes the split's task.

    Args:
        directory: FAR-Trans with its splits.
        work: directory for the cut data sets.
        numbers: which splits.
        console: where progress goes.

    Raises:
        BenchmarkInputError: a file or a split is missing.
        StageFailedError: an import failed.
    """
    tasks = []
    for split in read_far_trans_splits(directory, numbers):
        artifacts = Artifacts(work / f"{split.number:02}")
        cut = artifacts.directory / "cut"
        cut_far_trans(directory, cut, split.time_point)
        run_stage(plan_data(artifacts, import_far_trans(cut, None)), artifacts.records, console)
        set_clock(artifacts.data / "source.json", split.time_point)
        tasks.append(make_task(split, artifacts.data))
    return tasks


def set_clock(path: Path, time_point: str) -> None:
    """Writes a cut's clock: the importer knows only the end of the published data."""
    source = read_json(path)
    text = json.dumps({**source, "clock": f"{time_point}T00:00:00Z"}, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def make_task(split: Split, data: Path) -> Task:
    """Makes the task of one split.

    Args:
        split: the split.
        data: a data set of what is dated before the split's time point.
    """
    return Task(
        name=f"{split.number:02}",
        table="temporal",
        data=data,
        now=datetime.fromisoformat(split.time_point).replace(tzinfo=UTC),
        relevant={user: split.purchases[user] for user in split.users},
        owned=split.owned,
        candidates=split.eligible,
    )


def read_far_trans_splits(directory: Path, numbers: Sequence[int]) -> list[Split]:
    """Reads the splits that lie beside the FAR-Trans files.

    Args:
        directory: holds transactions.csv, splits_dev.csv and the two split lists.
        numbers: which splits.

    Raises:
        BenchmarkInputError: a file or a split is missing.
    """
    time_points = {int(row["split"]): row["time_point"] for row in _read_rows(directory / "splits_dev.csv")}
    unknown = sorted(set(numbers) - set(time_points))
    if unknown:
        held = f"{min(time_points)} to {max(time_points)}"
        raise BenchmarkInputError(f"splits_dev.csv has no splits {unknown}; it holds {held}")
    eligible: dict[int, list[str]] = defaultdict(list)
    for row in _read_rows(directory / "split_eligible_assets_dev.csv.gz"):
        eligible[int(row["split"])].append(row["ISIN"])
    purchases: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in _read_rows(directory / "split_tests_dev.csv.gz"):
        purchases[int(row["split"])][row["customerID"]].add(row["ISIN"])
    transactions = [
        (row["timestamp"], row["customerID"], row["ISIN"])
        for row in _read_rows(directory / "transactions.csv")
    ]
    return [
        Split(
            number=number,
            time_point=time_points[number],
            eligible=tuple(sorted(eligible[number])),
            purchases={user: frozenset(products) for user, products in purchases[number].items()},
            owned=_owned_before(transactions, time_points[number]),
        )
        for number in numbers
    ]


def _owned_before(transactions: Sequence[tuple[str, str, str]], time_point: str) -> dict[str, frozenset[str]]:
    owned: dict[str, set[str]] = defaultdict(set)
    for date, user, product in transactions:
        if date < time_point:
            owned[user].add(product)
    return {user: frozenset(products) for user, products in owned.items()}


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise BenchmarkInputError(f"{path.name} is missing in {path.parent}")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
