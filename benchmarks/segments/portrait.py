"""Portrays segments: their sizes, what their users have more often than all users, and where they stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.holding import Products
from benchmarks.segments.users import Asked
from index.bundle import Bundle
from index.segments import Segments

TOP_COUNT: Final = 5
OWNER_COUNT_MIN: Final = 10
"""A product that fewer users of a segment have is not named for it."""


@dataclass(frozen=True)
class TopProduct:
    """A product that a segment has: how many of its users, and how many times the share among all."""

    product_id: str
    title: str
    owner_count: int
    lift: float


@dataclass(frozen=True)
class Portrait:
    """One segment as the users who were asked about show it."""

    segment_id: str
    user_count: int
    top: tuple[TopProduct, ...]


def count_owners(bundle: Bundle, segments: Segments, asked: Asked, owned: Products) -> NDArray[np.int64]:
    """Counts the users of each segment who have each product, int64 [segments, products]."""
    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    counts = np.zeros((len(segments.segment_ids), len(row_of)), np.int64)
    for user, place in zip(asked.users, segments.assign(asked.vectors).tolist(), strict=True):
        counts[place, [row_of[name] for name in owned.get(user, ()) if name in row_of]] += 1
    return counts


def portray(
    segments: Segments,
    asked: Asked,
    owners: NDArray[np.int64],
    product_ids: tuple[str, ...],
    catalogue: Mapping[str, Mapping[str, Any]],
) -> list[Portrait]:
    """Portrays every segment, its products by lift."""
    sizes = np.bincount(segments.assign(asked.vectors), minlength=len(segments.segment_ids))
    share = owners.sum(axis=0) / len(asked.users)  # [products]
    portraits = []
    for place, name in enumerate(segments.segment_ids):
        own = owners[place] / max(1, sizes[place])
        lift = np.divide(own, share, out=np.zeros_like(own), where=owners[place] >= OWNER_COUNT_MIN)
        best = [row for row in np.argsort(-lift, kind="stable")[:TOP_COUNT] if lift[row] > 0]
        top = tuple(
            TopProduct(
                product_id=product_ids[row],
                title=str(catalogue[product_ids[row]].get("title", "")),
                owner_count=int(owners[place, row]),
                lift=float(lift[row]),
            )
            for row in best
        )
        portraits.append(Portrait(name, int(sizes[place]), top))
    return portraits


def project(vectors: NDArray[np.int32]) -> tuple[NDArray[np.float64], float]:
    """Projects vectors on their two principal components, float64 [users, 2]; says how much these show.

    Returns: the points, and their share of the variance.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    kept = min(2, len(sizes))
    points[:, :kept] = left[:, :kept] * sizes[:kept]
    total = float((sizes**2).sum())
    return points, float((sizes[:kept] ** 2).sum()) / total if total > 0 else 1.0
