"""Chooses a baseline's setting on validation: part of what is known is held out, nothing else looked at."""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.evaluate.baselines.observed import Baseline, FloatArray, IntArray, Observed
from benchmarks.evaluate.metrics import NO_CANDIDATE, rank

USER_COUNT = 2000
_K = 10


class Chosen:
    """Learns with each setting from all pairs but one of each validation user's, and keeps the best one.

    `choice` names the setting after `fit`. With nobody who has two products the first setting is taken.
    """

    def __init__(self, settings: Mapping[str, Callable[[], Baseline]], *, seed: int = 1) -> None:
        self._settings = settings
        self._seed = seed
        self.choice = next(iter(settings))

    def fit(self, observed: Observed) -> None:
        """Chooses by nDCG@10, then learns from all pairs."""
        users, columns = _draw(observed, self._seed)
        if len(users):
            rest = _leave_out(observed, users, columns)
            reached = {name: _validate(make(), rest, users, columns) for name, make in self._settings.items()}
            self.choice = max(reached, key=lambda name: reached[name])
        self._chosen = self._settings[self.choice]()
        self._chosen.fit(observed)

    def score(self, user_rows: IntArray) -> FloatArray:
        """Scores with the chosen setting."""
        return self._chosen.score(user_rows)


def _draw(observed: Observed, seed: int) -> tuple[IntArray, IntArray]:
    """Draws users with two products or more, and one product of each."""
    rng = np.random.default_rng(seed)
    counts = np.diff(observed.pairs.indptr)
    users = np.flatnonzero(counts > 1)
    users = np.sort(rng.permutation(users)[:USER_COUNT])
    places = observed.pairs.indptr[users] + rng.integers(0, counts[users])
    return users, observed.pairs.indices[places].astype(np.int64)


def _leave_out(observed: Observed, users: IntArray, columns: IntArray) -> Observed:
    pairs = observed.pairs.copy()
    pairs[users, columns] = 0.0
    pairs.eliminate_zeros()
    return Observed(observed.user_ids, observed.product_ids, pairs, observed.attributes)


def _validate(baseline: Baseline, rest: Observed, users: IntArray, columns: IntArray) -> float:
    baseline.fit(rest)
    total = 0.0
    for start in range(0, len(users), 250):
        block = slice(start, start + 250)
        scores = np.array(baseline.score(users[block]), np.float64)  # [block, products]
        scores[rest.pairs[users[block]].toarray() > 0] = NO_CANDIDATE
        places, ones = np.arange(len(scores)), np.ones(len(scores), np.int64)
        total += float(rank(scores, places, columns[block], ones, _K).ndcg.sum())
    return total / len(users)
