"""Measures scores that are predictions: how far from 0 and 1, and how often on the right side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.evaluate.metrics import FloatArray
from benchmarks.evaluate.task import Scorer, Task

_USER_COUNT = 512


@dataclass(frozen=True)
class PredictionError:
    """Root of the mean squared error, and the share of predictions on the right side of one half."""

    rmse: float
    accuracy: float


def measure_predictions(
    task: Task, scorer: Scorer, predict: Callable[[FloatArray], FloatArray], *, seed: int = 0
) -> PredictionError:
    """Compares predictions with 1 for each test pair, and with 0 for as many drawn candidates of the user.

    Args:
        task: the task.
        scorer: its scores are turned into predictions of 0 or 1.
        predict: turns them.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    column_of = {product: column for column, product in enumerate(task.candidates)}
    errors, right = [np.zeros(0)], [np.zeros(0)]
    users = task.users
    for start in range(0, len(users), _USER_COUNT):
        block = users[start : start + _USER_COUNT]
        values = predict(scorer.score(block, task.candidates).astype(np.float64))
        for row, user in enumerate(block):
            wanted = [column_of[product] for product in task.relevant[user] if product in column_of]
            out = {column_of[product] for product in task.owned.get(user, ()) if product in column_of}
            free = np.setdiff1d(np.arange(len(column_of)), [*wanted, *out])
            count = min(len(wanted), len(free))
            drawn = rng.choice(free, count, replace=False) if count else np.zeros(0, np.int64)
            labels = np.repeat([1.0, 0.0], [count, count])
            predicted = values[row, np.concatenate([np.array(wanted[:count], np.int64), drawn])]
            errors.append((predicted - labels) ** 2)
            right.append((predicted >= 0.5) == (labels == 1.0))
    return PredictionError(float(np.sqrt(np.concatenate(errors).mean())), float(np.concatenate(right).mean()))
