"""Exact float search under a filter, and how much of it an answer holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval.catalogue import Catalogue, Filter, Rows, Users
from benchmarks.retrieval.strategies import Search

K = 20
BATCH = 32


@dataclass(frozen=True)
class Quality:
    """What a strategy finds.

    Attributes:
        recall: recall@K against exact float search under the same filter, over all users.
        short_count: users whose list is shorter than K, or than what is eligible if that is fewer.
        user_count: users compared.
    """

    recall: float
    short_count: int
    user_count: int


def find_best(catalogue: Catalogue, users: Users, which: Filter) -> Rows:
    """Returns each user's best K eligible rows by float32 inner product, int64 [users, <= K], unordered."""
    eligible = np.arange(which.row_stop) if which.marks is None else np.flatnonzero(which.marks)
    # A prefix is a view; only scattered rows are copied.
    items = catalogue.vectors[: which.row_stop] if which.marks is None else catalogue.vectors[eligible]
    k = min(K, len(eligible))
    found = [
        np.argpartition(chunk.vectors @ items.T, len(eligible) - k, axis=1)[:, len(eligible) - k :]
        for chunk in users.chunks(min(BATCH, len(users)))
    ]
    return eligible[np.concatenate(found)]  # [users, k]


def measure_quality(search: Search, chunks: Sequence[Users], which: Filter, best: Rows) -> Quality:
    """Compares what a search finds for some users with their best rows, int64 [users, k]."""
    found = np.concatenate([search(chunk, which, K) for chunk in chunks])  # [users, K]
    best = best[: len(found)]
    hits = (best[:, :, np.newaxis] == found[:, np.newaxis, :]).any(axis=2)  # [users, k]
    full = (found >= 0).sum(axis=1) >= best.shape[1]
    return Quality(float(hits.mean()), int(np.count_nonzero(~full)), len(found))
