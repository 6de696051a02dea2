"""Asks the same users through a model's three forms, and says how far the answers agree."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.evaluate.models import FORMS, BuiltModel
from benchmarks.evaluate.ranking import evaluate_task, list_best
from benchmarks.evaluate.server_scorer import ServerScorer
from benchmarks.evaluate.task import Scorer, sample_users

LIST_COUNT = 20
LIMIT = 0.001


@dataclass(frozen=True)
class Agreement:
    """What the forms of one model gave for the same users.

    Attributes:
        task: the task's name.
        user_count: users asked.
        ndcg: mean nDCG@k by form.
        recall: mean recall@k by form.
        model_bundle_same: share of users whose 20 best are the same products in the same order.
        bundle_server_same: the same of bundle and server's Recommend.
        differing_gaps: for each user whose lists of model and bundle differ, how far apart the model's scores
            of the two products are where the lists first do.
        neighbour_gap: for comparison, the median distance of the model's scores of two neighbours in a list.
    """

    task: str
    user_count: int
    ndcg: Mapping[str, float]
    recall: Mapping[str, float]
    model_bundle_same: float
    bundle_server_same: float
    differing_gaps: Sequence[float] = ()
    neighbour_gap: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the fields."""
        return asdict(self)


def measure_agreement(built: BuiltModel, *, k: int, user_count: int, seed: int) -> Agreement:
    """Asks up to `user_count` of the task's users through model, bundle and server."""
    task = replace(built.task, relevant=sample_users(built.task.relevant, user_count, seed))
    built = replace(built, task=task)
    users = task.users
    with ExitStack() as stack:
        scorers = {form: stack.enter_context(built.open(form)) for form in FORMS}
        outcomes = {form: evaluate_task(task, scorer, k=k) for form, scorer in scorers.items()}
        lists = {
            form: list_best(task, scorers[form], users, k=LIST_COUNT) for form in FORMS if form != "server"
        }
        server = scorers["server"]
        assert isinstance(server, ServerScorer), "the form decides the scorer"
        served = [
            server.recommend(
                user, k=LIST_COUNT, candidates=task.candidates, owned=sorted(task.owned.get(user, ()))
            )
            for user in users
        ]
    return Agreement(
        task.name,
        len(users),
        {form: float(outcome.ndcg.mean()) for form, outcome in outcomes.items()},
        {form: float(outcome.recall.mean()) for form, outcome in outcomes.items()},
        _share_same(lists["model"], lists["bundle"]),
        _share_same(lists["bundle"], served),
        *_measure_gaps(scorers["model"], users, lists["model"], lists["bundle"]),
    )


def find_difference(agreements: list[Agreement]) -> float:
    """Returns the greatest difference between two forms of a metric's mean over tasks."""
    spreads = [
        max(means) - min(means)
        for metric in ("ndcg", "recall")
        if (means := [float(np.mean([getattr(one, metric)[form] for one in agreements])) for form in FORMS])
    ]
    return max(spreads)


def _measure_gaps(
    model: Scorer, users: Sequence[str], own: Sequence[tuple[str, ...]], other: Sequence[tuple[str, ...]]
) -> tuple[list[float], float]:
    """Returns how far the model's scores are apart where lists first differ, and between neighbours."""
    differing, neighbours = [], [np.zeros(0)]
    for user, mine, theirs in zip(users, own, other, strict=True):
        neighbours.append(-np.diff(model.score([user], mine)[0].astype(np.float64)))
        if mine != theirs:
            pair = next((left, right) for left, right in zip(mine, theirs, strict=True) if left != right)
            differing.append(abs(float(np.diff(model.score([user], pair)[0].astype(np.float64))[0])))
    gaps = np.concatenate(neighbours)
    return differing, float(np.median(gaps)) if len(gaps) else 0.0


def _share_same(left: list[tuple[str, ...]], right: list[tuple[str, ...]]) -> float:
    return float(np.mean([one == other for one, other in zip(left, right, strict=True)]))
