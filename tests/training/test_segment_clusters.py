"""Groups of users: as many as there are, never more than there are different users."""

import numpy as np
import pytest

from training.errors import EmptyDataError
from training.segments import Vectors, cluster_dbscan, cluster_k_means, find_radius, measure_silhouette


def _groups(count: int, size: int, spread: float = 0.05) -> Vectors:
    rng = np.random.default_rng(5)
    centres = 3.0 * np.eye(8)[:count]
    return np.repeat(centres, size, axis=0).astype(np.float32) + rng.normal(
        scale=spread, size=(count * size, 8)
    ).astype(np.float32)


@pytest.mark.parametrize("count", [2, 5])
def test_the_silhouette_finds_how_many_groups_there_are(count: int) -> None:
    clusters = cluster_k_means(_groups(count, 40), None)
    assert len(clusters.centroids) == count
    assert max(clusters.silhouettes, key=lambda number: clusters.silhouettes[number]) == count
    assert sorted(clusters.silhouettes) == list(range(2, 9))


def test_a_number_of_groups_that_is_asked_for_is_made() -> None:
    assert len(cluster_k_means(_groups(2, 40), 3).centroids) == 3
    (only,) = cluster_k_means(_groups(2, 40), 1).centroids
    np.testing.assert_allclose(only, _groups(2, 40).mean(axis=0), atol=1e-5)


def test_the_same_seed_gives_the_same_groups() -> None:
    vectors = _groups(3, 30, spread=1.0)
    first, second = (cluster_k_means(vectors, 4, seed=9) for _ in range(2))
    assert first.centroids.tolist() == second.centroids.tolist()
    assert first.silhouettes == second.silhouettes


@pytest.mark.parametrize("vectors", [np.ones((1, 8), np.float32), np.ones((23, 8), np.float32)])
@pytest.mark.parametrize("count", [3, None])
def test_one_user_and_equal_users_are_one_group(vectors: Vectors, count: int | None) -> None:
    clusters = cluster_k_means(vectors, count)
    assert clusters.centroids.tolist() == vectors[:1].tolist()
    assert clusters.silhouettes == {}


def test_a_silhouette_needs_two_groups_and_a_user_beside_them() -> None:
    vectors = _groups(2, 1)
    assert measure_silhouette(vectors, np.array([0, 0])) is None
    assert measure_silhouette(vectors, np.array([0, 1])) is None
    assert measure_silhouette(_groups(2, 2), np.array([0, 0, 1, 1])) == pytest.approx(1, abs=0.1)


def test_dbscan_finds_groups_and_leaves_the_scattered_out() -> None:
    scattered = np.random.default_rng(6).uniform(20, 90, (10, 8)).astype(np.float32)
    clusters = cluster_dbscan(np.concatenate([_groups(3, 60), scattered]), count_max=32)
    assert len(clusters.centroids) == 3
    assert 10 / 190 <= clusters.noise_share < 0.2


def test_dbscan_keeps_the_largest_clusters() -> None:
    vectors = np.concatenate([_groups(1, 60), 9 + _groups(1, 90)])
    clusters = cluster_dbscan(vectors, count_max=1)
    assert clusters.centroids[0].mean() > 8
    assert clusters.noise_share >= 60 / 150
    assert clusters.silhouettes == {}


def test_dbscan_of_equal_users_is_one_cluster_and_of_few_is_refused() -> None:
    assert len(cluster_dbscan(np.ones((20, 4), np.float32), count_max=32).centroids) == 1
    with pytest.raises(EmptyDataError, match="DBSCAN found no 10 of 9 users"):
        cluster_dbscan(np.ones((9, 4), np.float32), count_max=32)


def test_the_radius_lies_within_the_distances() -> None:
    assert 0 < find_radius(_groups(3, 60)) < 1
    assert find_radius(np.zeros((1, 3), np.float32)) == 1.0
