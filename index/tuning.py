"""Chooses how many lists an inverted file probes, by measured recall on real users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.ann import AnnIndex, IndexKind, build_index, load_index, with_probe_count

RECALL_K = 20
RECALL_TARGET = 0.99
CANDIDATE_COUNT = 100
"""What a server asks for first when k is small."""

_USER_CHUNK = 64


@dataclass(frozen=True)
class TunedIndex:
    """A serialised index and its measured recall@RECALL_K by domain."""

    content: bytes
    recall: dict[str, float]
    user_count: int


@dataclass(frozen=True)
class _Domain:
    """A range of rows, and the exact score of each user's k-th best row in it."""

    name: str
    row_start: int
    row_stop: int
    k: int
    threshold: NDArray[np.float64]  # [users]


def build_tuned(
    item_vectors: NDArray[np.int16],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    *,
    kind: IndexKind,
    learning_count: int,
) -> TunedIndex:
    """Builds an index that probes the fewest lists that reach RECALL_TARGET in every domain.

    Where no number of lists reaches it, all are probed. Recall counts, after exact scoring of
    CANDIDATE_COUNT candidates, the rows that score at least as high as the true k-th.

    Args:
        item_vectors: int16 [n, dim], bundle rows.
        users: float32 [user_count, dim], what a server would search with; user_count >= 1.
        user_codes: int16 [user_count, dim], the same users quantised.
        kind: which index to build.
        learning_count: rows of the learning domain, which come first.
    """
    content = build_index(item_vectors.astype(np.float32), kind)
    row_count = item_vectors.shape[0]
    ranges = {
        "both": (0, row_count),
        "learning": (0, learning_count),
        "financial": (learning_count, row_count),
    }
    domains = [
        _domain(name, item_vectors, user_codes, *rows) for name, rows in ranges.items() if rows[0] < rows[1]
    ]
    index = load_index(content)
    probe_count = 1
    while True:
        index.probe_count = probe_count
        recall = {domain.name: _recall(index, item_vectors, users, user_codes, domain) for domain in domains}
        if min(recall.values()) >= RECALL_TARGET or probe_count >= index.list_count:
            return TunedIndex(with_probe_count(content, probe_count), recall, users.shape[0])
        probe_count += 1


def _domain(
    name: str,
    item_vectors: NDArray[np.int16],
    user_codes: NDArray[np.int16],
    row_start: int,
    row_stop: int,
) -> _Domain:
    k = min(RECALL_K, row_stop - row_start)
    # Sums of int16 products stay far below 2^53, so float64 is exact here.
    items = item_vectors[row_start:row_stop].astype(np.float64)  # [rows, dim]
    threshold = np.empty(user_codes.shape[0], np.float64)  # [users]
    for start in range(0, user_codes.shape[0], _USER_CHUNK):
        chunk = slice(start, start + _USER_CHUNK)
        scores = user_codes[chunk].astype(np.float64) @ items.T  # [chunk, rows]
        threshold[chunk] = np.partition(scores, -k, axis=1)[:, -k]
    return _Domain(name, row_start, row_stop, k, threshold)


def _recall(
    index: AnnIndex,
    item_vectors: NDArray[np.int16],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    domain: _Domain,
) -> float:
    found_count = 0
    for start in range(0, users.shape[0], _USER_CHUNK):
        chunk = slice(start, start + _USER_CHUNK)
        rows = index.search(users[chunk], CANDIDATE_COUNT, domain.row_start, domain.row_stop)
        vectors = item_vectors[np.maximum(rows, 0)].astype(np.float64)  # [chunk, candidates, dim]
        scores = np.einsum("ud,ucd->uc", user_codes[chunk].astype(np.float64), vectors)
        hits = (rows >= 0) & (scores >= domain.threshold[chunk, None])
        found_count += int(np.minimum(hits.sum(axis=1), domain.k).sum())
    return found_count / (domain.k * int(users.shape[0]))
