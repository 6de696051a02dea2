"""Asks the sealed bundle and the baselines the same questions after every draw, and compares them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks.cold.questions import COLD_USERS, K, Questions, ask_cold
from benchmarks.cold.truth import SCORER, TruthScorer, draw_truth
from benchmarks.evaluate.baselines.scorer import BaselineScorer, observe_task
from benchmarks.evaluate.baselines.table import BASELINES
from benchmarks.evaluate.intervals import Estimate, estimate, estimate_gain
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.evaluate.models import build_model
from benchmarks.evaluate.ranking import Outcome, evaluate_task

RIVALS: Final[Mapping[str, str]] = {"popularity": "most popular", "content": "content-kNN"}

Found = Mapping[tuple[str, str], Outcome]  # By question and scorer.


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        data: the data set.
        model: name of a model of training.
        settings: settings other than the defaults; the seed is that of the draw.
        seeds: of the draws of hidden products, and of training.
        hidden_share: of the products with events, how many lose all of them.
        shortened_share: of the users with events, how many keep their last one to three.
        work: directory for everything made on the way; a model that is there is not made again.
        truth_seed: of the simulation that made the data, whose truth bounds cold users; None for no bound.
    """

    data: Path
    model: str
    settings: Mapping[str, Any]
    seeds: Sequence[int]
    hidden_share: float
    shortened_share: float
    work: Path
    truth_seed: int | None = None


@dataclass(frozen=True)
class Row:
    """What one scorer reached on one question, over all draws.

    Attributes:
        question: cold products, cold users or everybody.
        scorer: the model's name, or a rival's.
        k: number of ranks that are measured.
        user_count: users asked, counted in each draw.
        pair_count: products asked of them, counted in each draw.
        recall: recall@k, the mean over users, then over draws.
        ndcg: nDCG@k, likewise.
        recall_gain: by which share the model's recall is above this one; None of the model itself, and where
            this scorer found nothing.
        ndcg_gain: the same of nDCG.
    """

    question: str
    scorer: str
    k: int
    user_count: int
    pair_count: int
    recall: Estimate
    ndcg: Estimate
    recall_gain: Estimate | None
    ndcg_gain: Estimate | None


def measure_cold(plan: Plan, console: Console) -> list[Row]:
    """Measures the model beside most popular and content-kNN.

    Raises:
        EmptyTestError: a draw leaves nothing cold to test.
        StageFailedError: a command of the pipeline failed.
    """
    draws: list[tuple[Questions, Found]] = []
    for seed in plan.seeds:
        work = plan.work / f"seed-{seed}"
        asked = ask_cold(
            plan.data,
            work / "known",
            hidden_share=plan.hidden_share,
            shortened_share=plan.shortened_share,
            seed=seed,
        )
        console.print(f"draw {seed}: {asked.cold_product_count} products without events", highlight=False)
        draws.append((asked, _ask_scorers(plan, asked, work, console)))
    tables = [table for table in K if all((table, plan.model) in found for _, found in draws)]
    return [
        _compare(table, scorer, plan.model, draws)
        for table in tables
        for scorer in (plan.model, *RIVALS, SCORER)
        if all((table, scorer) in found for _, found in draws)
    ]


def _ask_scorers(plan: Plan, asked: Questions, work: Path, console: Console) -> Found:
    """Puts all questions after one draw to all scorers."""
    settings = work / "settings.json"
    values = {**plan.settings, "seed": int(asked.everybody.name)}
    settings.write_text(json.dumps(values, sort_keys=True) + "\n", encoding="utf-8")
    built = build_model(asked.everybody, work, model=plan.model, settings=settings, console=console)
    observed = observe_task(asked.everybody)
    rivals = {name: BaselineScorer(BASELINES[name](), observed) for name in RIVALS}
    with built.open("bundle") as bundle:
        found = {
            (task.table, name): evaluate_task(task, scorer, k=K[task.table])
            for name, scorer in {plan.model: bundle, **rivals}.items()
            for task in asked.tasks
        }
    return found | _ask_truth(plan, asked)


def _ask_truth(plan: Plan, asked: Questions) -> dict[tuple[str, str], Outcome]:
    """Asks the truth about cold users alone; elsewhere a user's events tell nearly all."""
    if plan.truth_seed is None:
        return {}
    truth = draw_truth(plan.data, plan.truth_seed)
    return {
        (task.table, SCORER): evaluate_task(task, TruthScorer(truth, task), k=K[task.table])
        for task in asked.cold
        if task.table == COLD_USERS
    }


def _compare(table: str, scorer: str, model: str, draws: Sequence[tuple[Questions, Found]]) -> Row:
    tasks = [next(task for task in asked.tasks if task.table == table) for asked, _ in draws]
    own = [found[table, scorer] for _, found in draws]
    best = [found[table, model] for _, found in draws]
    users = [outcome.user_ids for outcome in own]

    def gain(mine: Sequence[FloatArray], others: Sequence[FloatArray]) -> Estimate | None:
        if scorer == model or not np.any(np.concatenate(list(others))):
            return None
        return estimate_gain(users, mine, others)

    return Row(
        table,
        RIVALS.get(scorer, scorer),
        K[table],
        sum(len(task.users) for task in tasks),
        sum(len(products) for task in tasks for products in task.relevant.values()),
        estimate(users, [outcome.recall for outcome in own]),
        estimate(users, [outcome.ndcg for outcome in own]),
        gain([outcome.recall for outcome in best], [outcome.recall for outcome in own]),
        gain([outcome.ndcg for outcome in best], [outcome.ndcg for outcome in own]),
    )
