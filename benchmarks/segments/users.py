"""Embeds users through a sealed bundle, and says what the bundle's rules and segments make of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from benchmarks.dataset import DataSet
from benchmarks.evaluate.bundle_scorer import open_tower, run_tower
from index.bundle import Bundle
from index.features import HISTORY_LENGTH, Event, encode_users
from index.reference import quantise
from index.segments import Segments

BLOCK_COUNT = 500
"""Users scored at once: 10 MB of scores for 2,600 products."""

Queries = NDArray[np.int32]
Rows = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Users of a data set as a bundle sees them.

    Attributes:
        users: ids, [users].
        vectors: quantised, from history and profile, int32 [users, dim].
        cold_vectors: the same from the profile alone.
        histories: rows of the latest events' products, the latest first, each once.
    """

    users: tuple[str, ...]
    vectors: Queries
    cold_vectors: Queries
    histories: tuple[Rows, ...]


def ask(bundle: Bundle, dataset: DataSet, users: Sequence[str], now: datetime) -> Asked:
    """Embeds users at an instant, with all that the data set holds of them."""
    histories = [dataset.history(user) for user in users]
    profiles = [dataset.profiles.get(user) for user in users]
    session = open_tower(bundle.user_tower, thread_count=1)

    def embed(known: Sequence[Sequence[Event]]) -> Queries:
        parts = []
        for start in range(0, len(users), BLOCK_COUNT):
            block = slice(start, start + BLOCK_COUNT)
            inputs = encode_users(bundle.features, bundle.vocabulary, profiles[block], known[block], now)
            parts.append(quantise(run_tower(session, inputs), bundle.manifest.user_scale))
        return np.concatenate(parts)

    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    return Asked(
        users=tuple(users),
        vectors=embed(histories),
        cold_vectors=embed([()] * len(users)),
        histories=tuple(_find_rows(history, row_of) for history in histories),
    )


def score(bundle: Bundle, queries: NDArray[np.integer]) -> Iterator[tuple[slice, Scores]]:
    """Yields blocks of users with the whole-number scores of all products, float64 [block, products]."""
    items = bundle.item_vectors.astype(np.float64)  # [products, dim]
    for start in range(0, len(queries), BLOCK_COUNT):
        block = slice(start, start + BLOCK_COUNT)
        yield block, queries[block].astype(np.float64) @ items.T


def find_kindred(bundle: Bundle, segments: Segments, histories: Sequence[Rows]) -> Rows:
    """Returns the place of the segment that scores each history's products highest, a server's fallback."""
    items = bundle.item_vectors.astype(np.float64)
    likings = items @ segments.centroids.astype(np.float64).T  # [products, segments]
    return np.array([int(np.argmax(likings[np.sort(rows)].sum(axis=0))) for rows in histories], np.int64)


def _find_rows(history: Sequence[Event], row_of: Mapping[str, int]) -> Rows:
    latest = sorted(history, key=lambda event: (-event.event_time, event.product_id))
    rows = dict.fromkeys(row_of[event.product_id] for event in latest if event.product_id in row_of)
    return np.array(list(rows)[:HISTORY_LENGTH], np.int64)
