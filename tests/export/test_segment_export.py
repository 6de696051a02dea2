"""Segments of an export: users as a server embeds them, counted as a server assigns them."""

import numpy as np
import pytest

from export.__main__ import main
from export.segments import AUTO, DBSCAN, group_users


def _two_tastes(count: int) -> np.ndarray:
    vectors = np.zeros((count, 4), np.float32)
    vectors[np.arange(count), np.arange(count) % 5 % 2] = 1.0
    return vectors


def test_each_user_is_counted_in_the_segment_that_a_server_would_name() -> None:
    segments = group_users(_two_tastes(50), 1000.0, "2")
    assert (segments.method, segments.user_counts) == ("k_means", (30, 20))
    assert segments.centroids.tolist() == [[1000, 0, 0, 0], [0, 1000, 0, 0]]


@pytest.mark.parametrize("choice", ["3", AUTO, DBSCAN])
def test_no_more_segments_than_tastes_are_made(choice: str) -> None:
    segments = group_users(_two_tastes(50), 1000.0, choice)
    assert segments.user_counts == (30, 20)
    assert segments.noise_share == 0.0


def test_one_user_is_a_segment() -> None:
    assert group_users(_two_tastes(1), 10.0, "3").user_counts == (1,)


@pytest.mark.parametrize("choice", ["0", "33", "-1", "kmeans", ""])
def test_a_choice_that_is_none_is_refused(choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "data", "out", f"--segments={choice}"])
    assert "expected 1 to 32, auto or dbscan" in capsys.readouterr().err
