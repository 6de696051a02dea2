"""Queries in the memory of the GPU are searched for where they are; the host's memory stands for it."""

from __future__ import annotations

import numpy as np
import pytest

from index import ann
from index.device_matrix import DeviceMatrix
from index.errors import AnnQueryError
from tests.index import test_ann
from tests.index.gpu_stand_in import gpu  # noqa: F401 - a fixture.
from tests.index.test_ann import DIM, RangeSearch, _exact, _vectors, small_is_64  # noqa: F401


class Kept:
    """Vectors in a memory of their own, which stands for that of the GPU."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors.copy()
        self.matrix = DeviceMatrix(self.vectors.ctypes.data, *self.vectors.shape, self)  # type: ignore[misc]


@pytest.mark.usefixtures("gpu", "small_is_64")
@pytest.mark.parametrize("loader", [test_ann.TestGpu, test_ann.TestNestedGpu, test_ann.TestGpuMatrix])
@pytest.mark.parametrize("rows", [(0, 1000), (100, 700), (640, 999)])
@pytest.mark.parametrize("taken", [(0, 1, 2, 3, 4), (2, 3), (4,)])
def test_queries_on_the_gpu_are_read_where_they_are(
    loader: type[RangeSearch], rows: tuple[int, int], taken: tuple[int, ...]
) -> None:
    vectors, queries = _vectors(1000), _vectors(5, seed=5)
    index, on_device = loader().load(vectors), Kept(queries).matrix.take(taken)
    # Nothing of the host's queries but their number reaches the search.
    found = index.search(np.zeros((len(taken), DIM), np.float32), 31, *rows, on_device=on_device)
    np.testing.assert_array_equal(found, _exact(vectors, queries[list(taken)], 31, *rows))


def test_on_the_cpu_queries_on_a_gpu_are_not_read() -> None:
    vectors, queries = _vectors(1000), _vectors(2, seed=5)
    index = ann.load_index(ann.build_index(vectors, "flat"))
    found = index.search(queries, 31, 0, 1000, on_device=DeviceMatrix(0, 2, DIM, None))
    np.testing.assert_array_equal(found, _exact(vectors, queries, 31, 0, 1000))


@pytest.mark.parametrize("shape", [(3, DIM), (2, DIM + 1)])
def test_queries_on_the_gpu_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    index = ann.load_index(ann.build_index(_vectors(50), "flat"))
    with pytest.raises(AnnQueryError, match=r"on_device: shape .*; expected that of queries \(2, 7\)"):
        index.search(_vectors(2), 3, 0, 50, on_device=DeviceMatrix(64, *shape, None))


@pytest.mark.parametrize(
    ("rows", "offset"), [((0, 1, 2), 0), ((2,), 56), ((1, 2), 28), ((), None), ((0, 2), None), ((1, 0), None)]
)
def test_rows_of_a_device_matrix_that_follow_each_other_are_taken_without_copying(
    rows: tuple[int, ...], offset: int | None
) -> None:
    taken = DeviceMatrix(4096, 3, DIM, None).take(rows)
    assert taken == (None if offset is None else DeviceMatrix(4096 + offset, len(rows), DIM, None))


@pytest.mark.parametrize("rows", [(3,), (2, 3), (-1, 0)])
def test_rows_that_a_device_matrix_has_not_are_refused(rows: tuple[int, ...]) -> None:
    with pytest.raises(IndexError, match="expected 0 to 2"):
        DeviceMatrix(4096, 3, DIM, None).take(rows)
