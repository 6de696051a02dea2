"""The nearest-neighbour index: the only door to faiss, on CPU and GPU.

Rows are bundle rows; a search is limited to a range of them and may be to a bitmap. On the CPU faiss selects
them itself. On the GPU it ignores a selector without saying so and takes k <= 2048, so there range and bitmap
are applied afterwards and the search grows. Whatever is found is a candidate only: callers score exactly.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any, Literal, get_args

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from index.errors import AnnDeviceError, AnnError, AnnFormatError, AnnQueryError

faiss: Any = faiss_module  # Its type stubs lag the library and know no GPU.

FAISS_VERSION = str(faiss_module.__version__)

IndexKind = Literal["auto", "flat", "ivf_flat"]
Device = Literal["cpu", "cuda"]

INDEX_KINDS: tuple[str, ...] = get_args(IndexKind)
IVF_ROW_COUNT_MIN = 256
"""Fewest rows for which `auto` builds an inverted file."""

GPU_K_MAX = 2048
"""Most neighbours that faiss returns per query on a GPU (its own limit)."""

_GPU_GROWTH = 4
_ROWS_PER_LIST_MIN = 39  # faiss warns about fewer training points per centroid.


@dataclass(frozen=True)
class IndexShape:
    """What an index holds: its faiss class, rows, dim, lists and lists probed per query (1 and 1 if flat)."""

    kind: str
    count: int
    dim: int
    list_count: int
    probe_count: int


def build_index(vectors: NDArray[np.float32], kind: IndexKind = "auto") -> bytes:
    """Builds an inner-product index over vectors in row order.

    Args:
        vectors: float32 [n, dim], finite, n >= 1.
        kind: "flat", "ivf_flat", or "auto": ivf_flat from IVF_ROW_COUNT_MIN rows up.

    Returns:
        the serialised index; the same input gives the same bytes.

    Raises:
        AnnQueryError: the vectors cannot be indexed.
    """
    if vectors.ndim != 2 or vectors.shape[0] == 0 or vectors.shape[1] == 0:
        raise AnnQueryError(f"vectors: shape {vectors.shape}; expected [n >= 1, dim >= 1]")
    _require_finite(vectors, "vectors")
    row_count, dim = vectors.shape
    content = np.ascontiguousarray(vectors, dtype=np.float32)
    # One thread, so that sums in the clustering are made in one order.
    faiss.omp_set_num_threads(1)
    if kind == "ivf_flat" or (kind == "auto" and row_count >= IVF_ROW_COUNT_MIN):
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, _list_count_for(row_count), faiss.METRIC_INNER_PRODUCT
        )
        index.cp.min_points_per_centroid = 1
        index.train(content)
    else:
        index = faiss.IndexFlatIP(dim)
    index.add(content)
    return bytes(faiss.serialize_index(index).tobytes())


def with_probe_count(content: bytes, probe_count: int) -> bytes:
    """Returns an inverted file that probes `probe_count` lists per query; a flat index unchanged."""
    index = _deserialise(content)
    if not isinstance(index, faiss.IndexIVF):
        return content
    index.nprobe = probe_count
    return bytes(faiss.serialize_index(index).tobytes())


def describe_index(content: bytes) -> IndexShape:
    """Describes a serialised index.

    Raises:
        AnnFormatError: it is not an inner-product index of faiss.
    """
    return _shape_of(_deserialise(content))


def load_index(content: bytes, *, device: Device = "cpu", thread_count: int = 1) -> AnnIndex:
    """Loads a serialised index on a device.

    Raises:
        AnnFormatError: it is not an inner-product index of faiss.
        AnnDeviceError: the device is not there.
    """
    if device not in get_args(Device):
        raise AnnDeviceError(f"device is {device!r}; expected one of {get_args(Device)}")
    index = _deserialise(content)
    shape = _shape_of(index)
    if device == "cuda":
        resources = _gpu_resources()
        try:
            on_gpu = faiss.index_cpu_to_gpu(resources, 0, index)
        except RuntimeError as error:
            raise AnnDeviceError(f"device cuda: faiss cannot move the index to the GPU: {error}") from error
        return AnnIndex(on_gpu, shape, on_gpu=True, owner=resources, thread_count=thread_count)
    return AnnIndex(index, shape, on_gpu=False, thread_count=thread_count)


class AnnIndex:
    """Searches some of the rows. One search runs at a time: a GPU index is not thread-safe."""

    def __init__(
        self,
        index: Any,
        shape: IndexShape,
        *,
        on_gpu: bool,
        owner: object = None,
        thread_count: int = 1,
    ) -> None:
        self._index = index
        self._thread_count = thread_count
        self._on_gpu = on_gpu
        self._owner = owner  # GPU resources must outlive the index.
        self._lock = threading.Lock()
        self.kind: str = type(index).__name__
        self.count = shape.count
        self.dim = shape.dim
        self.list_count = shape.list_count
        self.probe_count = shape.probe_count

    def search(
        self,
        queries: NDArray[np.float32],
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
    ) -> NDArray[np.int64]:
        """Finds candidates among the rows [row_start, row_stop), or those of them in a bitmap.

        A range with no more than candidate_count rows is returned whole, in row order. Otherwise rows come
        best first and may be fewer than asked for; the rest is -1.

        Args:
            queries: float32 [batch, dim], finite.
            candidate_count: rows wanted per query, at least 1.
            row_start: first row of the range.
            row_stop: one past its last row.
            bitmap: one bit for each row of the index, the first in the lowest bit; None for no limit.

        Returns:
            item rows, int64 [batch, candidate_count].

        Raises:
            AnnQueryError: the queries, the count, the range or the bitmap cannot be searched.
        """
        self._require_query(queries, candidate_count, row_start, row_stop)
        bits = None if bitmap is None else self._read_bitmap(bitmap)  # [count / 8, rounded up]
        found = np.full((queries.shape[0], candidate_count), -1, dtype=np.int64)  # [batch, candidate_count]
        range_count = row_stop - row_start
        if range_count <= candidate_count:
            rows = np.arange(row_start, row_stop, dtype=np.int64)
            rows = rows if bits is None else rows[_hold(bits, rows)]
            found[:, : len(rows)] = rows
            return found
        content = np.ascontiguousarray(queries, dtype=np.float32)
        with self._lock:
            # OpenMP keeps this number per calling thread; a thread that never set it gets every core.
            faiss.omp_set_num_threads(self._thread_count)
            if self._on_gpu and (range_count < self.count or bits is not None):
                self._search_filtered(content, found, row_start, row_stop, bits)
            elif self._on_gpu:
                reachable = min(candidate_count, GPU_K_MAX)
                found[:, :reachable] = self._run(content, reachable)
            else:
                found[:] = self._search_selected(content, candidate_count, row_start, row_stop, bits)
        return found

    def _search_selected(
        self,
        queries: NDArray[np.float32],
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bits: NDArray[np.uint8] | None,
    ) -> NDArray[np.int64]:
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        if row_stop - row_start < self.count:
            in_range = faiss.IDSelectorRange(row_start, row_stop)
            selector = in_range if selector is None else faiss.IDSelectorAnd(in_range, selector)
        if isinstance(self._index, faiss.IndexIVF):
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=self.probe_count)
        else:
            parameters = faiss.SearchParameters(sel=selector)
        return self._run(queries, candidate_count, params=parameters)

    def _search_filtered(
        self,
        queries: NDArray[np.float32],
        found: NDArray[np.int64],
        row_start: int,
        row_stop: int,
        bits: NDArray[np.uint8] | None,
    ) -> None:
        """Fills `found` by searching all rows and keeping what is asked for, with more until it is enough."""
        wanted = found.shape[1]
        limit = min(GPU_K_MAX, self.count)
        reach = min(limit, wanted)
        while True:
            rows = self._run(queries, reach)  # [batch, reach]
            inside = (rows >= row_start) & (rows < row_stop)
            if bits is not None:
                inside &= _hold(bits, rows)
            if reach == limit or int(inside.sum(axis=1).min(initial=wanted)) >= wanted:
                break
            reach = min(limit, reach * _GPU_GROWTH)
        for position in range(rows.shape[0]):
            kept = rows[position][inside[position]][:wanted]
            found[position, : len(kept)] = kept

    def _run(self, queries: NDArray[np.float32], k: int, **options: Any) -> NDArray[np.int64]:
        try:
            rows: NDArray[np.int64] = self._index.search(queries, k, **options)[1]
        except RuntimeError as error:
            raise AnnError(f"{self.kind}: the search failed: {error}") from error
        return rows

    def _read_bitmap(self, bitmap: bytes) -> NDArray[np.uint8]:
        expected = (self.count + 7) // 8
        if len(bitmap) != expected:
            raise AnnQueryError(
                f"bitmap: {len(bitmap)} bytes; expected {expected} for the {self.count} rows of the index"
            )
        return np.frombuffer(bitmap, np.uint8)

    def _require_query(
        self, queries: NDArray[np.float32], candidate_count: int, row_start: int, row_stop: int
    ) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise AnnQueryError(f"queries: shape {queries.shape}; expected [batch, {self.dim}]")
        if candidate_count < 1:
            raise AnnQueryError(f"candidate_count is {candidate_count}; expected at least 1")
        if not 0 <= row_start <= row_stop <= self.count:
            raise AnnQueryError(
                f"rows [{row_start}, {row_stop}); expected 0 <= start <= stop <= {self.count}"
            )
        _require_finite(queries, "queries")


def _hold(bits: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tells for each row whether its bit is set; padding, row -1, gives anything."""
    holds: NDArray[np.bool_] = (bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 == 1
    return holds


def _list_count_for(row_count: int) -> int:
    """Chooses about sqrt(n) lists, fewer where each would have too few rows to be trained."""
    return max(1, min(math.isqrt(row_count), row_count // _ROWS_PER_LIST_MIN))


def _deserialise(content: bytes) -> Any:
    try:
        index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
    except RuntimeError as error:
        raise AnnFormatError(f"expected a faiss index of {len(content)} bytes: {error}") from error
    if not isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat):
        raise AnnFormatError(f"index is {type(index).__name__}; expected IndexFlatIP or IndexIVFFlat")
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise AnnFormatError(f"index has metric {index.metric_type}; expected the inner product")
    return index


def _shape_of(index: Any) -> IndexShape:
    inverted = isinstance(index, faiss.IndexIVF)
    return IndexShape(
        kind=type(index).__name__,
        count=int(index.ntotal),
        dim=int(index.d),
        list_count=int(index.nlist) if inverted else 1,
        probe_count=int(index.nprobe) if inverted else 1,
    )


def _gpu_resources() -> Any:
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


def _require_finite(values: NDArray[np.float32], name: str) -> None:
    # faiss answers infinite queries with plausible ids.
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise AnnQueryError(f"{name}: {bad} of {values.size} values are NaN or infinite")
