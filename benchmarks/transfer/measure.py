"""Trains on both domains together and on each alone, and asks the same users through the sealed bundles."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.intervals import Estimate, estimate
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.evaluate.models import build_model
from benchmarks.evaluate.ranking import Outcome, evaluate_task
from benchmarks.evaluate.results import name_record, read_outcome, write_outcome
from benchmarks.evaluate.task import Task
from benchmarks.machine import read_commit

K = 10


@dataclass(frozen=True)
class Transfer:
    """What training on both domains gave one of them.

    Attributes:
        domain: learning or financial.
        event_count: events of the domain that were learned from.
        user_count: users that were tested.
        alone: nDCG@10 of the model that learned from the domain alone.
        together: nDCG@10 of the model that learned from both.
        change: together less alone, over the same users.
    """

    domain: str
    event_count: int
    user_count: int
    alone: Estimate
    together: Estimate
    change: Estimate

    @property
    def relative_change(self) -> float:
        """The change as a share of what the domain reached alone; 0 where that was nothing."""
        return self.change.mean / self.alone.mean if self.alone.mean > 0 else 0.0


def measure_transfer(
    tasks: Sequence[Task], work: Path, *, model: str, settings: Path | None, console: Console
) -> list[Transfer]:
    """Measures the transfer into each of two domains; the one with less data comes first.

    Args:
        tasks: one for each domain, over one data set.
        work: directory for what is made on the way; results that are there are kept.
        model: name of a model of training.
        settings: JSON file of training settings; None for the defaults.
        console: where progress goes.

    Raises:
        BenchmarkInputError: there are not two domains to test.
        StageFailedError: a command of the pipeline failed.
    """
    if len(tasks) != 2:
        raise BenchmarkInputError(f"expected two domains with users to test, found {len(tasks)}")

    def ask(task: Task, place: str) -> Outcome:
        record = work / "results" / name_record(task, f"{place}-{model}", settings)
        if not record.is_file():
            console.print(f"{task.name}: {model}, {place}", highlight=False)
            built = build_model(task, work / place, model=model, settings=settings, console=console)
            with built.open("bundle") as scorer:
                write_outcome(record, evaluate_task(task, scorer, k=K), commit=read_commit())
        return read_outcome(record)[0]

    found = [_measure_domain(task, work, ask) for task in tasks]
    return sorted(found, key=lambda one: one.event_count)


def _measure_domain(task: Task, work: Path, ask: Callable[[Task, str], Outcome]) -> Transfer:
    data = work / f"data-{task.name}"
    event_count = write_domain(task, data)
    alone, together = ask(replace(task, data=data), f"{task.name}-alone"), ask(task, "together")
    return Transfer(
        task.name,
        event_count,
        len(task.users),
        _estimate(task, alone.ndcg),
        _estimate(task, together.ndcg),
        _estimate(task, together.ndcg - alone.ndcg),
    )


def _estimate(task: Task, values: FloatArray) -> Estimate:
    return estimate([task.users], [values])


def write_domain(task: Task, out: Path) -> int:
    """Writes the part of a task's data set that is of the task's domain; returns its number of events.

    Every user's profile stays: what is known of people belongs to neither domain.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = pa.array(task.candidates)
    counts = {}
    for name, column in (("interactions", "product_id"), ("products", "id")):
        table = pyarrow.parquet.read_table(task.data / f"{name}.parquet", use_threads=False)
        mine = table.filter(pyarrow.compute.is_in(table[column], value_set=kept))
        pyarrow.parquet.write_table(mine, out / f"{name}.parquet")
        counts[name] = mine.num_rows
    profiles = pyarrow.parquet.read_table(task.data / "profiles.parquet", use_threads=False)
    pyarrow.parquet.write_table(profiles, out / "profiles.parquet")
    source = json.dumps(read_json(task.data / "source.json"), ensure_ascii=False, indent=2)
    (out / "source.json").write_text(source + "\n", encoding="utf-8")
    return counts["interactions"]
