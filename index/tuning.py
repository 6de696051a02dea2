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
    name: str
    row_start: int
    row_stop: int


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
    domains = [
        _Domain("both", 0, row_count),
        _Domain("learning", 0, learning_count),
        _Domain("financial", learning_count, row_count),
    ]
    domains = [domain for domain in domains if domain.row_stop > domain.row_start]
    index = load_index(content)
    probe_count = 1
    while True:
        index.probe_count = probe_count
        recall = {domain.name: _recall(index, item_vectors, users, user_codes, domain) for domain in domains}
        if min(recall.values()) >= RECALL_TARGET or probe_count >= index.list_count:
            return TunedIndex(with_probe_count(content, probe_count), recall, users.shape[0])
        probe_count += 1


def _recall(
    index: AnnIndex,
    item_vectors: NDArray[np.int16],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    domain: _Domain,
) -> float:
    k = min(RECALL_K, domain.row_stop - domain.row_start)
    items = item_vectors[domain.row_start : domain.row_stop].astype(np.float64)  # [rows, dim]
    found_count = 0
    for start in range(0, users.shape[0], _USER_CHUNK):
        codes = user_codes[start : start + _USER_CHUNK].astype(np.float64)
        # Exact: the sums of int16 products stay far below 2^53.
        scores = codes @ items.T  # [chunk, rows]
        threshold = np.partition(scores, -k, axis=1)[:, -k]  # [chunk]
        rows = index.search(
            users[start : start + _USER_CHUNK], CANDIDATE_COUNT, domain.row_start, domain.row_stop
        )
        found = np.take_along_axis(scores, np.maximum(rows - domain.row_start, 0), axis=1)
        hits = (rows >= 0) & (found >= threshold[:, None])
        found_count += int(np.minimum(hits.sum(axis=1), k).sum())
    return found_count / (k * int(users.shape[0]))
