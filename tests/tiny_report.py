"""A measured model made by hand, for the sections of the report: what a test does not name is plain."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.evaluate.metrics import NO_CANDIDATE
from benchmarks.report.measured import Measured
from index.features import Event
from suitability.policy import default_policy_path, load_policy

CLOCK = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def course(product_id: str, **fields: Any) -> dict[str, Any]:
    """Learning content."""
    return {
        "id": product_id,
        "family": "COURSE",
        "category": "basics",
        "title": f"Course {product_id}",
    } | fields


def fund(product_id: str, score: int | None, **fields: Any) -> dict[str, Any]:
    """A rated product of a risk score."""
    return {"id": product_id, "family": "FUND", "title": f"Fund {product_id}", "risk_score": score} | fields


def make_measured(
    scores: Sequence[Sequence[float | None]],
    relevant: Sequence[Sequence[int]],
    *,
    suitable: Sequence[Sequence[int]] | None = None,
    catalogue: Sequence[Mapping[str, Any]] | None = None,
    profiles: Sequence[Mapping[str, Any]] | None = None,
    owner_counts: Sequence[int] | None = None,
    history_lengths: Sequence[int] | None = None,
    vectors: Sequence[Sequence[int]] | None = None,
    rules: bool = True,
) -> Measured:
    """Makes a measured model.

    Args:
        scores: for each user a score of each product; None where the user has it.
        relevant: for each user the columns taken later.
        suitable: for each user the columns that suit; None for all.
        catalogue: by column; None for courses.
        profiles: by user; None for empty ones.
        owner_counts: by column; None for 1 each.
        history_lengths: number of events by user; None for 0.
        vectors: by column; None for unlike ones.
        rules: whether the default policy was asked.
    """
    values = np.array([[NO_CANDIDATE if one is None else one for one in row] for row in scores], np.float64)
    users, products = values.shape
    ids = tuple(f"p{column}" for column in range(products))
    catalogue = catalogue or [course(name) for name in ids]
    lengths = history_lengths or [0] * users
    events = [Event(ids[0], "view", CLOCK.timestamp() - 86_400)]
    return Measured(
        users=tuple(f"u{row}" for row in range(users)),
        profiles=tuple(profiles or [{}] * users),
        histories=tuple(events * length for length in lengths),
        products=ids,
        catalogue=tuple(catalogue),
        owner_counts=np.array(owner_counts or [1] * products, np.int64),
        item_vectors=np.array(vectors if vectors else np.eye(products), np.int32),
        scores=values,
        relevant=_mark(relevant, products),
        suitable=np.ones(values.shape, np.bool_) if suitable is None else _mark(suitable, products),
        policy=load_policy(default_policy_path()) if rules else None,
        clock=CLOCK,
    )


def _mark(columns: Sequence[Sequence[int]], count: int) -> Any:
    marks = np.zeros((len(columns), count), np.bool_)
    for row, mine in enumerate(columns):
        marks[row, list(mine)] = True
    return marks
