"""Groups users by their vectors: k-means, with the number of groups judged by silhouette, or DBSCAN.

Sources: Lloyd 1982 (k-means), Rousseeuw 1987 (silhouette), Ester et al. 1996 (DBSCAN).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from training.errors import EmptyDataError

DEFAULT_COUNT: Final = 3
TRIED_COUNTS: Final = range(2, 9)
NEIGHBOUR_COUNT: Final = 10
"""A user with fewer others near is no core of a DBSCAN cluster, so that a cluster is not a few people."""

_SILHOUETTE_USERS: Final = 2_000  # It compares all pairs; .01 of precision is enough to choose by.
_DBSCAN_USERS: Final = 5_000
_STARTS: Final = 4

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """Groups of users.

    Attributes:
        centroids: the mean of each group's vectors, float32 [groups, dim].
        noise_share: share of the users whom DBSCAN put into no group.
        silhouettes: mean silhouette by number of groups, of those that were tried.
    """

    centroids: Vectors
    noise_share: float
    silhouettes: Mapping[int, float]


def cluster_k_means(vectors: Vectors, count: int | None = DEFAULT_COUNT, *, seed: int = 0) -> Clusters:
    """Groups users around so many centroids; fewer if fewer vectors differ.

    Args:
        vectors: float32 [users, dim], at least one, finite.
        count: the number of groups; None takes the one of TRIED_COUNTS with the highest silhouette, or one
            group where all vectors are equal.
        seed: of the starts, and of the users whose silhouettes are measured.
    """
    distinct_count = len(np.unique(vectors, axis=0))
    tried = {number: _fit(vectors, number, seed) for number in TRIED_COUNTS if number <= distinct_count}
    silhouettes = {
        number: value
        for number, model in tried.items()
        if (value := measure_silhouette(vectors, model.labels_, seed=seed)) is not None
    }
    if count is None:
        count = max(silhouettes, key=lambda number: (silhouettes[number], -number), default=1)
    count = min(count, distinct_count)
    model = tried.get(count) or _fit(vectors, count, seed)
    return Clusters(model.cluster_centers_.astype(np.float32), 0.0, MappingProxyType(silhouettes))


def cluster_dbscan(vectors: Vectors, *, count_max: int, seed: int = 0) -> Clusters:
    """Groups users where they stand close; its radius is where the sorted distances to neighbours bend.

    Args:
        vectors: float32 [users, dim], at least one, finite; a sample of many is taken.
        count_max: the largest clusters are kept, the others count as noise.
        seed: of the sample.

    Raises:
        EmptyDataError: the users stand nowhere close enough for a cluster.
    """
    sample = vectors[_draw(len(vectors), _DBSCAN_USERS, seed)]
    radius = find_radius(sample)
    labels = DBSCAN(eps=radius, min_samples=NEIGHBOUR_COUNT).fit(sample).labels_
    sizes = np.bincount(labels[labels >= 0])
    if not len(sizes):
        raise EmptyDataError(
            f"segments: DBSCAN found no {NEIGHBOUR_COUNT} of {len(sample)} users within a radius of "
            f"{radius:.3g}; expected a cluster, k-means needs none"
        )
    kept = np.argsort(-sizes, kind="stable")[:count_max]
    centroids = np.stack([sample[labels == label].mean(axis=0) for label in kept])
    inside = np.isin(labels, kept)
    silhouette = measure_silhouette(sample[inside], labels[inside], seed=seed)
    silhouettes = {} if silhouette is None else {len(kept): silhouette}
    return Clusters(centroids.astype(np.float32), float(1 - inside.mean()), MappingProxyType(silhouettes))


def measure_silhouette(vectors: Vectors, labels: Labels, *, seed: int = 0) -> float | None:
    """Measures the mean silhouette on a sample of users; None where nothing can be compared.

    Args:
        vectors: float32 [users, dim].
        labels: the group of each, int64 [users].
        seed: of the sample.
    """
    rows = _draw(len(vectors), _SILHOUETTE_USERS, seed)
    label_count = len(np.unique(labels[rows]))
    if not 2 <= label_count < len(rows):
        return None
    return float(silhouette_score(vectors[rows], labels[rows]))


def find_radius(vectors: Vectors) -> float:
    """Returns the distance at which the sorted distances to the tenth neighbour bend most.

    That is the point furthest below the line from the first to the last of them.
    """
    count = min(NEIGHBOUR_COUNT, len(vectors))
    distances, _ = NearestNeighbors(n_neighbors=count).fit(vectors).kneighbors(vectors)
    sorted_ = np.sort(distances[:, -1])
    line = np.linspace(sorted_[0], sorted_[-1], len(sorted_))
    # A radius of zero is refused by the library: of equal users any radius will do.
    return float(sorted_[np.argmax(line - sorted_)]) or 1.0


def _fit(vectors: Vectors, count: int, seed: int) -> KMeans:
    return KMeans(count, n_init=_STARTS, random_state=seed).fit(vectors)


def _draw(count: int, count_max: int, seed: int) -> Labels:
    """Draws rows, all of them where they are few; ascending."""
    if count <= count_max:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, count_max, replace=False))
