"""The nearest-neighbour index: the door to faiss, which builds an index, loads it, and searches on the CPU.

Rows are bundle rows; a search is limited to a range of them and may be to a bitmap. On the CPU faiss selects
them itself; `index.ann_gpu` is what it cannot do on a GPU. Whatever is found is a candidate only: callers
score exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from index.ann_format import list_count_of, read_lists, read_parts
from index.ann_gpu import GpuPart, open_gpu
from index.ann_index import AnnIndex, Part, Queries, find_effort, require_finite
from index.errors import AnnDeviceError, AnnQueryError
from index.post_filter import Found, Marks
from index.tiers import HNSW, SELECTED_SHARES, IndexFile, IndexPart, divide_rows, is_small

faiss: Any = faiss_module  # Its type stubs lag the library and know no GPU.

FAISS_VERSION = str(faiss_module.__version__)

IndexKind = Literal["auto", "flat", "ivf_flat", "nested", "hnsw"]
Device = Literal["cpu", "cuda"]

INDEX_KINDS: tuple[str, ...] = get_args(IndexKind)

_ROWS_PER_LIST_MIN = 39  # faiss warns about fewer training points per centroid.
_HNSW_NEIGHBOURS = 32
_HNSW_BUILD_QUEUE = 80


def build_index(
    vectors: NDArray[np.float32],
    kind: IndexKind = "auto",
    *,
    learning_count: int = 0,
    tier_stops: Sequence[int] = (),
) -> IndexFile:
    """Builds an inner-product index over vectors in row order.

    Its efforts look at every row until `index.tuning` lowers them.

    Args:
        vectors: float32 [n, dim], finite, n >= 1.
        kind: "flat", "ivf_flat" and "hnsw" are one index over all rows; "nested" is one for each tier, an
            inverted file or, if it is small, flat; "auto" is flat if all of it is small, else nested.
        learning_count: rows of learning content, which come first.
        tier_stops: one past the last row that each risk limit admits.

    Returns:
        the serialised index; the same input gives the same bytes.

    Raises:
        AnnQueryError: the vectors cannot be indexed.
    """
    if vectors.ndim != 2 or vectors.shape[0] == 0 or vectors.shape[1] == 0:
        raise AnnQueryError(f"vectors: shape {vectors.shape}; expected [n >= 1, dim >= 1]")
    require_finite(vectors, "vectors")
    count = len(vectors)
    if kind == "auto":
        kind = "flat" if is_small(count) else "nested"
    ranges = divide_rows(count, learning_count, tier_stops) if kind == "nested" else [(0, count)]
    built = [_build_part(vectors[start:stop], kind) for start, stop in ranges]
    parts = tuple(
        _describe(index, start, stop, len(content))
        for (start, stop), (index, content) in zip(ranges, built, strict=True)
    )
    return IndexFile(b"".join(content for _, content in built), parts)


def _describe(index: Any, row_start: int, row_stop: int, size: int) -> IndexPart:
    """Returns a part that looks at every row."""
    kind, lists = type(index).__name__, list_count_of(index)
    effort = row_stop - row_start if kind == HNSW else lists
    efforts = (effort,) * len(SELECTED_SHARES)
    return IndexPart(kind, row_start, row_stop, lists, effort, efforts, efforts, size)


def _build_part(vectors: NDArray[np.float32], kind: IndexKind) -> tuple[Any, bytes]:
    content = np.ascontiguousarray(vectors, dtype=np.float32)
    count, dim = content.shape
    # One thread, so that sums in the clustering are made in one order.
    faiss.omp_set_num_threads(1)
    if kind == "ivf_flat" or (kind == "nested" and not is_small(count)):
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, _list_count_for(count), faiss.METRIC_INNER_PRODUCT
        )
        index.cp.min_points_per_centroid = 1
        index.train(content)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, _HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _HNSW_BUILD_QUEUE
    else:
        index = faiss.IndexFlatIP(dim)
    index.add(content)
    return index, bytes(faiss.serialize_index(index).tobytes())


def _list_count_for(row_count: int) -> int:
    """Chooses about sqrt(n) lists, fewer where each would have too few rows to be trained."""
    return max(1, min(math.isqrt(row_count), row_count // _ROWS_PER_LIST_MIN))


def load_index(file: IndexFile, *, device: Device = "cpu", thread_count: int = 1) -> AnnIndex:
    """Loads an index on a device. On the CPU nothing is copied: its vectors stay where `file` has them.

    Raises:
        AnnFormatError: it is not an inner-product index of faiss.
        AnnDeviceError: the device is not there.
    """
    if device not in get_args(Device):
        raise AnnDeviceError(f"device is {device!r}; expected one of {get_args(Device)}")
    indexes = read_parts(file)
    pairs = zip(indexes, file.parts, strict=True)
    searches: list[Part] = []
    if device == "cuda":
        resources = open_gpu()
        searches += [GpuPart(index, part, resources) for index, part in pairs]
    else:
        searches += [_CpuPart(index, part, thread_count) for index, part in pairs]
    return AnnIndex(searches, file.parts, dim=int(indexes[0].d), owner=file.content)


def place_rows(
    file: IndexFile, position: int, queries: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Says when an inverted file would meet each of its rows.

    Args:
        file: the index.
        position: that of a part which is an inverted file.
        queries: float32 [batch, dim].

    Returns:
        the list of each row of the part, int64 [rows], and how many lists are probed before each list,
        int64 [batch, lists].
    """
    index = read_parts(file)[position]
    list_of = np.empty(file.parts[position].count, np.int64)
    for each, rows in enumerate(read_lists(index)):
        list_of[rows] = each
    order = index.quantizer.search(np.ascontiguousarray(queries, np.float32), index.nlist)[1]
    return list_of, np.argsort(order, axis=1).astype(np.int64)


def find_nearest(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Returns the rows of the k largest inner products with each query, int64 [batch, k], by comparing all.

    Args:
        vectors: float32 [n, dim], finite.
        queries: float32 [batch, dim], finite.
        k: from 1 to n.
    """
    faiss.omp_set_num_threads(1)
    nearest: NDArray[np.int64] = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return nearest


class _CpuPart:
    """Selects with faiss."""

    def __init__(self, index: Any, part: IndexPart, thread_count: int) -> None:
        self._index = index
        self._part = part
        self._thread_count = thread_count
        self._whole = self._plan(None, part.effort)
        self.kind = type(index).__name__

    def search(self, queries: Queries, count: int, start: int, stop: int, marks: Marks | None) -> Found:
        index, parameters = self._whole
        if marks is not None or stop - start < self._part.count:
            index, parameters = self._plan(
                _make_selector(start, stop, marks), find_effort(self._part, start, stop, marks)
            )
        # OpenMP keeps this number per calling thread; a thread that never set it gets every core.
        faiss.omp_set_num_threads(self._thread_count)
        scores, rows = index.search(queries.values, count, params=parameters)
        return scores, rows

    def _plan(self, selector: Any, effort: int) -> tuple[Any, Any]:
        """Returns what to search, and its parameters."""
        index = self._index
        if isinstance(index, faiss.IndexIVF):
            return index, faiss.SearchParametersIVF(sel=selector, nprobe=effort)
        if isinstance(index, faiss.IndexHNSW):
            if effort * _HNSW_NEIGHBOURS < self._part.count:
                return index, faiss.SearchParametersHNSW(sel=selector, efSearch=effort)
            # Walking the graph would meet every row, so they are compared in their order.
            index = index.storage
        return index, faiss.SearchParameters(sel=selector)


def _make_selector(start: int, stop: int, marks: Marks | None) -> Any:
    if marks is None:
        return faiss.IDSelectorRange(start, stop)
    return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
