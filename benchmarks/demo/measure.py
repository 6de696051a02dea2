"""Short measurements for the demonstration: speed under a little load, and quality on held-out data."""

import numpy as np

from benchmarks.dataset import DataSet
from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan, LoadResult
from benchmarks.messages import make_recommend, make_user

POOL_COUNT = 1000


def make_pool(dataset: DataSet, *, k: int, domain: str, seed: int) -> tuple[bytes, ...]:
    """Makes serialized requests for users drawn at random from those with a history, by id.

    Args:
        dataset: the data that the server's store was filled with.
        k: products wanted.
        domain: learning, financial or both.
        seed: draws the users.
    """
    users = dataset.active_user_ids
    rows = np.random.default_rng(seed).permutation(len(users))[:POOL_COUNT]
    requests = [make_recommend(make_user(users[row]), domain=domain, k=k) for row in rows]
    for request in requests:
        # Under a fixed clock the same request then has the same answer, byte for byte.
        request.context.request_id = "load"
    return tuple(bytes(request.SerializeToString()) for request in requests)


def measure_speed(target: str, requests: tuple[bytes, ...], *, duration_s: float) -> LoadResult:
    """Runs a short closed loop: 8 callers in 2 client processes."""
    plan = LoadPlan(target, requests, "closed", concurrency=8, client_count=2, duration_s=duration_s)
    return run_load(plan)
