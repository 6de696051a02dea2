"""Segments: the nearest centroid in whole numbers, and a file that is read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from index.build import build_bundle
from index.bundle import open_bundle
from index.errors import BundleChecksumError, BundleFormatError
from index.manifest import SEGMENTS
from index.reference import STEP_LIMIT
from index.segments import Segments, order_segments, read_segments

DIM = 8


def _draw(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).integers(-STEP_LIMIT, STEP_LIMIT + 1, (count, dim)).astype(np.int32)


def _segments(count: int = 3) -> Segments:
    return order_segments("k_means", _draw(101, seed=1), _draw(count, seed=2), silhouettes={2: 0.25, 3: -0.5})


def _edited(**change: Any) -> bytes:
    return json.dumps(json.loads(_segments().to_json()) | change).encode()


def _nearest(user: np.ndarray, centroids: np.ndarray) -> int:
    """The plain definition: whole numbers of any size, the first of the nearest."""
    distances = [
        sum((int(mine) - int(its)) ** 2 for mine, its in zip(user, centroid, strict=True))
        for centroid in centroids
    ]
    return distances.index(min(distances))


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_a_user_belongs_to_the_nearest_centroid(dim: int) -> None:
    centroids, users = _draw(5, seed=3, dim=dim), _draw(211, seed=4, dim=dim)
    segments = Segments("k_means", tuple("abcde"), (1,) * 5, centroids, 0.0, {})
    assert segments.assign(users).tolist() == [_nearest(user, centroids) for user in users]


def test_the_furthest_vectors_there_are_do_not_overflow() -> None:
    ends = np.full((2, 4096), STEP_LIMIT, np.int32)
    ends[1] *= -1
    segments = Segments("k_means", ("a", "b"), (1, 1), ends, 0.0, {})
    assert segments.assign(ends).tolist() == [0, 1]


def test_of_equally_near_centroids_the_first_is_taken() -> None:
    centroids = np.array([[4, 0], [-4, 0], [0, 4]], np.int32)
    segments = Segments("k_means", ("a", "b", "c"), (1, 1, 1), centroids, 0.0, {})
    users = np.array([[0, 0], [0, 9], [-2, 2]], np.int32)
    assert segments.assign(users).tolist() == [0, 2, 1]


def test_a_user_of_a_batch_belongs_where_it_does_alone() -> None:
    segments, users = _segments(), _draw(13, seed=5)
    assert [segments.assign(user[None]).item() for user in users] == segments.assign(users).tolist()


def test_segments_are_named_by_size_and_do_not_depend_on_the_order_of_centroids() -> None:
    users, centroids = _draw(101, seed=1), _draw(4, seed=2)
    segments = order_segments("k_means", users, centroids)
    again = order_segments("k_means", users, centroids[::-1])
    assert segments.to_json() == again.to_json()
    assert list(segments.user_counts) == sorted(segments.user_counts, reverse=True)
    assert sum(segments.user_counts) == 101
    assert segments.segment_ids == ("s1", "s2", "s3", "s4")


def test_a_centroid_that_is_nobodys_is_left_out() -> None:
    users = np.zeros((7, 2), np.int32)
    centroids = np.array([[9, 9], [0, 0], [0, 0]], np.int32)
    assert order_segments("k_means", users, centroids).centroids.tolist() == [[0, 0]]


@pytest.mark.parametrize("count", [1, 3, 32])
def test_what_was_written_is_read_back(count: int) -> None:
    segments = order_segments("dbscan", _draw(500, seed=1), _draw(count, seed=2), noise_share=0.125)
    read = read_segments(segments.to_json().encode(), DIM)
    assert read.to_json() == segments.to_json()
    np.testing.assert_array_equal(read.assign(_draw(50, seed=6)), segments.assign(_draw(50, seed=6)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "expected a JSON object"),
        (b"{}", "format_version is None"),
        (_edited(format_version=True), "format_version is True"),
        (_edited(extra=1), r"unknown keys \['extra'\]"),
        (_edited(method="guess"), "method is 'guess'"),
        (_edited(noise_share=1.5), r"noise_share is 1\.5"),
        (_edited(noise_share=None), "noise_share is None"),
        (_edited(silhouettes={"1": 0.5}), "silhouettes is"),
        (_edited(silhouettes={"2": 2}), "silhouettes is"),
        (_edited(silhouettes=[0.5]), "silhouettes is"),
        (_edited(segments=[]), "segments is .*expected a list of 1 to 32"),
        (_edited(segments=[{}] * 33), "segments is .*expected a list of 1 to 32"),
        (_edited(segments=[{}]), r"segments\[0\] is {}"),
    ],
)
def test_a_file_that_is_no_segments_is_refused_and_the_field_named(content: bytes, message: str) -> None:
    with pytest.raises(BundleFormatError, match=message) as caught:
        read_segments(content, DIM)
    assert caught.value.file == SEGMENTS


@pytest.mark.parametrize(
    "change",
    [
        {"segment_id": "S 1"},
        {"segment_id": "s" * 33},
        {"user_count": 0},
        {"user_count": True},
        {"user_count": 1.0},
        {"centroid": [0] * (DIM - 1)},
        {"centroid": [0] * (DIM - 1) + [2**23]},
        {"centroid": [0] * (DIM - 1) + [True]},
        {"more": 1},
    ],
)
def test_a_segment_with_a_wrong_value_is_refused(change: Mapping[str, Any]) -> None:
    rows = json.loads(_segments().to_json())["segments"]
    rows[1] |= change
    with pytest.raises(BundleFormatError, match=r"segments\[1\] is"):
        read_segments(_edited(segments=rows), DIM)


def test_two_segments_of_one_name_are_refused() -> None:
    rows = json.loads(_segments().to_json())["segments"]
    rows[2]["segment_id"] = "s1"
    with pytest.raises(BundleFormatError, match="there twice"):
        read_segments(_edited(segments=rows), DIM)


def test_a_bundle_without_segments_opens_and_one_with_them_keeps_them(
    tiny_bundle: Any, make_export: Callable[..., Any], tmp_path: Any
) -> None:
    assert tiny_bundle.segments is None
    assert "segments" not in tiny_bundle.evaluation
    case = make_export(tmp_path)
    (case.export / SEGMENTS).write_text(_segments().to_json())
    bundle = build_bundle(
        export=case.export, products=case.products, policy=case.policy, bundles=tmp_path / "bundles"
    )
    opened = open_bundle(bundle.path)
    assert opened.segments is not None
    assert opened.segments.to_json() == _segments().to_json()
    assert opened.evaluation["segments"] == _segments().describe()


def test_segments_that_are_not_of_the_bundle_are_refused(copy: Any) -> None:
    copy.replace(SEGMENTS, _segments().to_json().encode())
    assert open_bundle(copy.path).segments is not None
    wide = order_segments("k_means", _draw(9, 1, dim=9), _draw(2, 2, dim=9))
    copy.replace(SEGMENTS, wide.to_json().encode())
    with pytest.raises(BundleFormatError, match="a centroid of 8 integers"):
        open_bundle(copy.path)
    (copy.path / SEGMENTS).write_text(_segments().to_json())
    with pytest.raises(BundleChecksumError, match=SEGMENTS):
        open_bundle(copy.path)
