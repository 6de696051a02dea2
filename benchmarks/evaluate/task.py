"""A task: what scorers may know, who is asked about, what they did next, and among which candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import EmptyTestError

Scores = NDArray[np.int64] | NDArray[np.float64]


class Scorer(Protocol):
    """Anything that scores products for users: a baseline, a model, a sealed bundle, a server."""

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns scores [users, products]; higher is better."""
        ...


@dataclass(frozen=True)
class Task:
    """One question to every scorer.

    Attributes:
        name: short, and different from the names of the other tasks of a protocol.
        table: which table the result belongs to; tasks of one table are averaged.
        data: a data set with everything that a scorer may know, and nothing else.
        now: the instant of the question.
        relevant: for each tested user the products that count, at least one.
        owned: for each user the products that are no candidates.
        candidates: products that may be ranked, ascending.
        negatives: for each tested user the only products ranked beside the relevant ones; None for all.
    """

    name: str
    table: str
    data: Path
    now: datetime
    relevant: Mapping[str, frozenset[str]]
    owned: Mapping[str, frozenset[str]]
    candidates: tuple[str, ...]
    negatives: Mapping[str, frozenset[str]] | None = None

    def __post_init__(self) -> None:
        if not self.relevant:
            raise EmptyTestError(f"{self.name}: expected at least one user to test, found none")

    @property
    def users(self) -> list[str]:
        """Returns the tested users, ascending."""
        return sorted(self.relevant)


def sample_users(relevant: Mapping[str, frozenset[str]], count: int, seed: int) -> dict[str, frozenset[str]]:
    """Draws some of the tested users, or keeps all where there are no more than `count`."""
    users = sorted(relevant, key=lambda user: (len(user), user))  # Numbers in their order, too.
    if len(users) <= count:
        return dict(relevant)
    chosen = np.random.default_rng(seed).choice(len(users), count, replace=False)
    return {users[place]: relevant[users[place]] for place in sorted(chosen)}
