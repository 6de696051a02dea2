"""Runs an evaluation: every scorer on every task, one result file each."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.agreement import Agreement, measure_agreement
from benchmarks.evaluate.baselines.chosen import Chosen
from benchmarks.evaluate.baselines.learned import Learned
from benchmarks.evaluate.baselines.scorer import BaselineScorer, observe_task
from benchmarks.evaluate.baselines.table import ALONE, BASELINES
from benchmarks.evaluate.models import build_model
from benchmarks.evaluate.predictions import measure_predictions
from benchmarks.evaluate.ranking import Outcome, evaluate_task
from benchmarks.evaluate.results import name_record, read_outcome, write_outcome
from benchmarks.evaluate.task import Task
from benchmarks.machine import read_commit

_SERVED = "served-"  # Before a model's name in its files: some models are baselines, too.


@dataclass(frozen=True)
class Plan:
    """What to put to which tasks.

    Attributes:
        tasks: the tasks; those of one table are averaged.
        baselines: names of baselines.
        models: names of models of training, judged through their sealed bundle.
        settings: by model, a JSON file of training settings.
        k: number of ranks that are measured.
        agreement_user_count: users asked through model, bundle and server as well; 0 for none.
        seed: of their draw.
        work: directory for what is made on the way.
        results: directory for result files.
    """

    tasks: Sequence[Task]
    baselines: Sequence[str]
    models: Sequence[str]
    settings: Mapping[str, Path]
    k: int
    agreement_user_count: int
    seed: int
    work: Path
    results: Path


@dataclass
class Results:
    """What was reached: outcomes by table and scorer, agreements by table and model, and who made them."""

    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)
    agreements: dict[str, dict[str, list[Agreement]]] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, task: Task, scorer: str, record: Path) -> None:
        """Adds a result file."""
        outcome, commit = read_outcome(record)
        self.outcomes.setdefault(task.table, {}).setdefault(scorer, []).append(outcome)
        self.commits.add(commit)


def run(plan: Plan, console: Console) -> Results:
    """Runs what has no result file yet and returns all results.

    Raises:
        BenchmarkError: see its tree.
    """
    results = Results()
    two_domains = len({task.table for task in plan.tasks}) > 1
    for task in plan.tasks:
        for name in plan.baselines:
            if name.endswith(ALONE) and not two_domains:
                continue
            record = plan.results / name_record(task, name, None)
            if record.is_file() or _run_baseline(task, name, record, plan, results, console):
                results.add(task, name, record)
        for name in plan.models:
            _run_model(task, name, plan, results, console)
    return results


def _run_baseline(
    task: Task, name: str, record: Path, plan: Plan, results: Results, console: Console
) -> bool:
    """Writes the result; says False where the baseline cannot take the data."""
    console.print(f"{task.name}: {name}", highlight=False)
    observed = observe_task(task)
    if name.endswith(ALONE):
        kept = set(task.candidates)
        observed = observed.keep_products(np.array([product in kept for product in observed.product_ids]))
    baseline = BASELINES[name]()
    try:
        scorer = BaselineScorer(baseline, observed)
    except BenchmarkInputError as error:
        results.left_out[f"{name}: {error}"] += 1
        return False
    outcome = evaluate_task(task, scorer, k=plan.k)
    if isinstance(baseline, Chosen):
        outcome = replace(outcome, note=baseline.choice)
    if isinstance(baseline, Learned):
        found = measure_predictions(task, scorer, baseline.predict)
        outcome = replace(outcome, note=f"RMSE {found.rmse:.3f}, accuracy {found.accuracy:.3f}")
    write_outcome(record, outcome, commit=read_commit())
    return True


def _run_model(task: Task, name: str, plan: Plan, results: Results, console: Console) -> None:
    settings = plan.settings.get(name)
    record = plan.results / name_record(task, f"{_SERVED}{name}", settings)
    agreement = record.with_suffix(".agreement.json")
    asked = plan.agreement_user_count > 0
    if not record.is_file() or (asked and not agreement.is_file()):
        console.print(f"{task.name}: {name}", highlight=False)
        # Tasks over the same data have the same model.
        work = plan.work / "models" / f"{task.data.parent.name}-{name}"
        built = build_model(task, work, model=name, settings=settings, console=console)
        with built.open("bundle") as scorer:
            write_outcome(record, evaluate_task(task, scorer, k=plan.k), commit=read_commit())
        if asked:
            found = measure_agreement(built, k=plan.k, user_count=plan.agreement_user_count, seed=plan.seed)
            agreement.write_text(json.dumps(found.to_json()) + "\n", encoding="utf-8")
        if task.data != plan.tasks[-1].data:
            shutil.rmtree(work)
    results.add(task, f"{name} (bundle)", record)
    if asked:
        found = Agreement(**read_json(agreement))
        results.agreements.setdefault(task.table, {}).setdefault(name, []).append(found)
