"""Puts a task to a scorer: ranks the candidates of every tested user and measures the lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray, rank
from benchmarks.evaluate.task import Scorer, Task

SCORE_COUNT = 4_000_000  # Scores held at once: 32 MB.


@dataclass(frozen=True)
class Outcome:
    """What one scorer reached on one task, user by user.

    Attributes:
        task: the task's name.
        user_ids: the tested users, [users].
        recall: recall@k, with one positive the hit rate, float64 [users].
        ndcg: nDCG@k, float64 [users].
        note: what else there is to say, for people.
    """

    task: str
    user_ids: tuple[str, ...]
    recall: FloatArray
    ndcg: FloatArray
    note: str = ""


def evaluate_task(task: Task, scorer: Scorer, *, k: int) -> Outcome:
    """Ranks for every tested user and measures the first k ranks.

    Raises:
        ScoreValueError: a score is no number.
    """
    users = task.users
    column_of = {product: column for column, product in enumerate(task.candidates)}
    block_count = max(1, SCORE_COUNT // max(1, len(task.candidates)))
    recall, ndcg = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, len(users), block_count):
        block = users[start : start + block_count]
        scores = scorer.score(block, task.candidates).astype(np.float64)  # [block, candidates]
        _keep_candidates(scores, task, block, column_of)
        pairs = [
            (row, column_of[product])
            for row, user in enumerate(block)
            for product in task.relevant[user]
            if product in column_of
        ]
        place = np.array(pairs, np.int64).reshape(-1, 2)
        counts = np.array([len(task.relevant[user]) for user in block], np.int64)
        ranked = rank(scores, place[:, 0], place[:, 1], counts, k)
        recall.append(ranked.recall)
        ndcg.append(ranked.ndcg)
    return Outcome(task.name, tuple(users), np.concatenate(recall), np.concatenate(ndcg))


def list_best(task: Task, scorer: Scorer, users: Sequence[str], *, k: int) -> list[tuple[str, ...]]:
    """Lists each user's best candidates; equal scores stand in the order of their ids, as a server lists."""
    column_of = {product: column for column, product in enumerate(task.candidates)}
    scores = scorer.score(users, task.candidates).astype(np.float64)
    _keep_candidates(scores, task, users, column_of)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [
        tuple(task.candidates[column] for column in row if mine[column] != NO_CANDIDATE)
        for row, mine in zip(order, scores, strict=True)
    ]


def _keep_candidates(
    scores: NDArray[np.float64], task: Task, users: Sequence[str], column_of: dict[str, int]
) -> None:
    """Marks what is no candidate, in place."""
    for row, user in enumerate(users):
        out = [column_of[product] for product in task.owned.get(user, ()) if product in column_of]
        scores[row, out] = NO_CANDIDATE
        if task.negatives is not None:
            # A negative that is a positive is one product, and ranked once.
            kept = task.negatives[user] | task.relevant[user]
            mask = np.ones(scores.shape[1], np.bool_)
            mask[[column_of[product] for product in kept if product in column_of]] = False
            scores[row, mask] = NO_CANDIDATE
