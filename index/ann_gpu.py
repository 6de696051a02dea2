"""Searches on a GPU with faiss, without its selectors.

There it ignores a selector without saying so and takes k <= 2048, so range and bitmap are applied afterwards
and the search grows.
"""

from __future__ import annotations

from typing import Any, Literal

import faiss as faiss_module
import numpy as np

from index.ann_index import AnnIndex, Queries, find_effort
from index.device_matrix import FLOAT_BYTES, DeviceMatrix
from index.errors import AnnDeviceError
from index.post_filter import GPU_K_MAX, Found, Marks, search_and_filter
from index.tiers import SELECTED_SHARES, IndexPart

faiss: Any = faiss_module  # Its type stubs lag the library and know no GPU.

SelectorTrial = Literal["ignored", "refused", "applied"]


def search_matrix(matrix: DeviceMatrix) -> AnnIndex:
    """Returns an exact search of a matrix on the GPU.

    Raises:
        AnnDeviceError: the device is not there.
    """
    efforts = (1,) * len(SELECTED_SHARES)
    size = matrix.count * matrix.dim * FLOAT_BYTES
    whole = IndexPart(_GpuMatrix.kind, 0, matrix.count, 1, 1, efforts, efforts, size)
    return AnnIndex([_GpuMatrix(matrix, open_gpu())], [whole], dim=matrix.dim)


def try_selector_on_gpu() -> SelectorTrial:
    """Asks an inverted file on the GPU for its best row, under a selector that admits only the other one.

    Returns:
        what faiss makes of the selector. No search relies on it: on the GPU none is given one.

    Raises:
        AnnDeviceError: the device is not there.
    """
    vectors = np.repeat(np.array([[2.0], [1.0]], np.float32), 8, axis=1)
    resources = open_gpu()
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(8), 8, 1, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(vectors)
    index.add(vectors)
    index = faiss.index_cpu_to_gpu(resources, 0, index)
    parameters = faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(1, 2), nprobe=1)
    try:
        _, rows = index.search(vectors[:1], 1, params=parameters)
    except RuntimeError:
        return "refused"
    return "applied" if rows[0, 0] == 1 else "ignored"


def open_gpu() -> Any:
    """Returns what faiss needs of the GPU; it must outlive what uses it.

    Raises:
        AnnDeviceError: the device is not there.
    """
    if not hasattr(faiss, "StandardGpuResources"):
        raise AnnDeviceError(
            f"device cuda: the installed faiss {faiss.__version__} has no GPU support; install faiss-gpu"
        )
    device_count = faiss.get_num_gpus()
    if device_count < 1:
        raise AnnDeviceError(
            f"device cuda: faiss {faiss.__version__} finds {device_count} GPUs; expected one"
        )
    return faiss.StandardGpuResources()


class GpuPart:
    """Searches a copy of one index on the GPU. Never hands faiss a selector."""

    def __init__(self, index: Any, part: IndexPart, resources: object) -> None:
        """Copies an index to the GPU.

        Raises:
            AnnDeviceError: it does not fit there.
        """
        self._part = part
        self._resources = resources  # They must outlive the index.
        try:
            self._index = faiss.index_cpu_to_gpu(resources, 0, index)
        except RuntimeError as error:
            raise AnnDeviceError(f"device cuda: faiss cannot move the index to the GPU: {error}") from error
        self.kind = type(self._index).__name__

    def search(self, queries: Queries, count: int, start: int, stop: int, marks: Marks | None) -> Found:
        """Finds the best `count` of a range of the part's rows, or of those that are marked."""
        if self._part.list_count > 1:
            # One search runs at a time, so the index may keep what this one needs.
            self._index.nprobe = min(GPU_K_MAX, find_effort(self._part, start, stop, marks))
        return search_and_filter(
            lambda k: self._find(queries, k), self._part.count, count, start, stop, marks
        )

    def _find(self, queries: Queries, count: int) -> Found:
        scores, rows = _make_room(queries, count)
        self._index.search_c(
            len(queries.values),
            faiss.cast_integer_to_float_ptr(queries.pointer),
            count,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
        )
        return scores, rows


class _GpuMatrix:
    """Compares with every row of a matrix on the device: a range of them is a pointer and a count."""

    kind = "GpuMatrix"

    def __init__(self, matrix: DeviceMatrix, resources: object) -> None:
        self._matrix = matrix
        self._resources = resources

    def search(self, queries: Queries, count: int, start: int, stop: int, marks: Marks | None) -> Found:
        # Only the range itself is compared, so its rows are counted from its start.
        marks = None if marks is None else marks[start:]
        total = stop - start
        scores, rows = search_and_filter(
            lambda k: self._compare(queries, k, start, stop), total, count, 0, total, marks
        )
        return scores, np.where(rows < 0, -1, rows + start)

    def _compare(self, queries: Queries, count: int, start: int, stop: int) -> Found:
        scores, rows = _make_room(queries, count)
        arguments = faiss.GpuDistanceParams()
        arguments.metric = faiss.METRIC_INNER_PRODUCT
        arguments.k = count
        arguments.dims = self._matrix.dim
        first = self._matrix.pointer + start * self._matrix.dim * FLOAT_BYTES
        arguments.vectors = faiss.cast_integer_to_void_ptr(first)
        arguments.vectorType = faiss.DistanceDataType_F32
        arguments.vectorsRowMajor = True
        arguments.numVectors = stop - start
        arguments.queries = faiss.cast_integer_to_void_ptr(queries.pointer)
        arguments.queryType = faiss.DistanceDataType_F32
        arguments.queriesRowMajor = True
        arguments.numQueries = len(queries.values)
        arguments.outDistances = faiss.swig_ptr(scores)
        arguments.outIndices = faiss.swig_ptr(rows)
        arguments.outIndicesType = faiss.IndicesDataType_I64
        arguments.device = 0
        # The host's answers make faiss wait for its stream, so they are complete.
        faiss.bfKnn(self._resources, arguments)
        return scores, rows


def _make_room(queries: Queries, count: int) -> Found:
    """Returns arrays on the host, which faiss fills with `count` scores and rows for each query."""
    shape = (len(queries.values), count)
    return np.empty(shape, np.float32), np.empty(shape, np.int64)
