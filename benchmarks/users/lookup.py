"""Measures what a look-up of a stored user costs, in CPU time of the thread that takes the call."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

from server.messages import UserInput
from server.users.directory import Directory
from server.users.opening import StoreAddress, open_directory
from server.users.watched_store import WatchedStore

LOOKUP_COUNT: Final = 2000
ROUND_COUNT: Final = 9
SEED: Final = 7


@dataclass(frozen=True, slots=True)
class LookupCost:
    """CPU microseconds of one look-up, median of rounds, and what it read."""

    store: str
    user_count: int
    cpu_us: float
    mean_event_count: float


def measure_lookup(store: str, keys: Path | None, user_ids: list[str]) -> LookupCost:
    """Resolves stored users drawn at random, as a request does."""
    opened = open_directory(StoreAddress(store, keys), allow_assumed=True)
    # As a server has it.
    users = Directory(WatchedStore(opened.require_store(), CollectorRegistry()), opened.pseudonyms)
    random = np.random.default_rng(SEED)
    costs, event_count = [], 0
    for _ in range(ROUND_COUNT):
        drawn = [UserInput(user_ids[at], None, ()) for at in random.integers(0, len(user_ids), LOOKUP_COUNT)]
        start_ns = time.thread_time_ns()
        for user in drawn:
            event_count += len(users.resolve(user).history)
        costs.append((time.thread_time_ns() - start_ns) / LOOKUP_COUNT / 1000)
    users.require_store().close()
    kind = "redis" if StoreAddress(store, keys).shared else "sqlite"
    return LookupCost(kind, len(user_ids), median(costs), event_count / LOOKUP_COUNT / ROUND_COUNT)
