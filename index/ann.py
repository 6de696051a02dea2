"""The nearest-neighbour index: the only door to faiss, on CPU and GPU.

Rows are bundle rows; a search is limited to a range of them and may be to a bitmap. On the CPU faiss selects
them itself. On the GPU it ignores a selector without saying so and takes k <= 2048, so there range and bitmap
are applied afterwards and the search grows. Whatever is found is a candidate only: callers score exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from index.ann_index import AnnIndex, Part, Queries, require_finite
from index.device_matrix import FLOAT_BYTES, DeviceMatrix
from index.errors import AnnDeviceError, AnnFormatError, AnnQueryError
from index.post_filter import GPU_K_MAX, Found, Marks, search_and_filter
from index.tiers import HNSW, SELECTED_SHARES, IndexFile, IndexPart, divide_rows, is_small, is_whole

faiss: Any = faiss_module  # Its type stubs lag the library and know no GPU.

FAISS_VERSION = str(faiss_module.__version__)

IndexKind = Literal["auto", "flat", "ivf_flat", "nested", "hnsw"]
Device = Literal["cpu", "cuda"]
SelectorTrial = Literal["ignored", "refused", "applied"]

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
    kind, lists = type(index).__name__, _list_count_of(index)
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


def _list_count_of(index: Any) -> int:
    return int(index.nlist) if isinstance(index, faiss.IndexIVF) else 1


def check_index(file: IndexFile, count: int, dim: int) -> None:
    """Checks that an index is readable and holds each of `count` rows of `dim` values.

    Raises:
        AnnFormatError: it does not; the message names the part.
    """
    for index, part in zip(_read_parts(file), file.parts, strict=True):
        if int(index.d) != dim:
            raise AnnFormatError(f"{part.name}: dim is {index.d}; expected {dim}")
        if isinstance(index, faiss.IndexIVF):
            _check_lists(index, part, index.quantizer)
    found = max(part.row_stop for part in file.parts)
    if found != count:
        raise AnnFormatError(f"holds {found} rows; expected {count}")


def load_index(file: IndexFile, *, device: Device = "cpu", thread_count: int = 1) -> AnnIndex:
    """Loads an index on a device. On the CPU nothing is copied: its vectors stay where `file` has them.

    Raises:
        AnnFormatError: it is not an inner-product index of faiss.
        AnnDeviceError: the device is not there.
    """
    if device not in get_args(Device):
        raise AnnDeviceError(f"device is {device!r}; expected one of {get_args(Device)}")
    indexes = _read_parts(file)
    pairs = zip(indexes, file.parts, strict=True)
    searches: list[Part] = []
    if device == "cuda":
        resources = _gpu_resources()
        searches += [_GpuPart(index, part, resources) for index, part in pairs]
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
    index = _read_parts(file)[position]
    list_of = np.empty(file.parts[position].count, np.int64)
    for each, rows in enumerate(_read_lists(index)):
        list_of[rows] = each
    order = index.quantizer.search(np.ascontiguousarray(queries, np.float32), index.nlist)[1]
    return list_of, np.argsort(order, axis=1).astype(np.int64)


def search_matrix(matrix: DeviceMatrix) -> AnnIndex:
    """Returns an exact search of a matrix on the GPU.

    Raises:
        AnnDeviceError: the device is not there.
    """
    efforts = (1,) * len(SELECTED_SHARES)
    size = matrix.count * matrix.dim * FLOAT_BYTES
    whole = IndexPart(_GpuMatrix.kind, 0, matrix.count, 1, 1, efforts, efforts, size)
    return AnnIndex([_GpuMatrix(matrix, _gpu_resources())], [whole], dim=matrix.dim)


def try_selector_on_gpu() -> SelectorTrial:
    """Asks an inverted file on the GPU for its best row, under a selector that admits only the other one.

    Returns:
        what faiss makes of the selector. No search relies on it: on the GPU none is given one.

    Raises:
        AnnDeviceError: the device is not there.
    """
    vectors = np.repeat(np.array([[2.0], [1.0]], np.float32), 8, axis=1)
    resources = _gpu_resources()
    index = faiss.index_cpu_to_gpu(resources, 0, _build_part(vectors, "ivf_flat")[0])
    parameters = faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(1, 2), nprobe=1)
    try:
        _, rows = index.search(vectors[:1], 1, params=parameters)
    except RuntimeError:
        return "refused"
    return "applied" if rows[0, 0] == 1 else "ignored"


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
                _make_selector(start, stop, marks), _effort_for(self._part, start, stop, marks)
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


def _effort_for(part: IndexPart, start: int, stop: int, marks: Marks | None) -> int:
    left = stop - start if marks is None else int(np.count_nonzero(marks))
    return part.find_effort(stop - start, max(1, left))


class _GpuPart:
    """Never hands faiss a selector."""

    def __init__(self, index: Any, part: IndexPart, resources: object) -> None:
        self._part = part
        self._resources = resources  # They must outlive the index.
        try:
            self._index = faiss.index_cpu_to_gpu(resources, 0, index)
        except RuntimeError as error:
            raise AnnDeviceError(f"device cuda: faiss cannot move the index to the GPU: {error}") from error
        self.kind = type(self._index).__name__

    def search(self, queries: Queries, count: int, start: int, stop: int, marks: Marks | None) -> Found:
        if self._part.list_count > 1:
            # One search runs at a time, so the index may keep what this one needs.
            self._index.nprobe = min(GPU_K_MAX, _effort_for(self._part, start, stop, marks))
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


def _read_parts(file: IndexFile) -> list[Any]:
    """Reads every part without copying its vectors."""
    content = np.frombuffer(file.content, dtype=np.uint8)
    if not file.parts or sum(part.size for part in file.parts) != len(content):
        sizes = [part.size for part in file.parts]
        raise AnnFormatError(f"{len(content)} bytes; expected parts of {sizes}")
    count = max(part.row_stop for part in file.parts)
    if not is_whole(file.parts, count):
        names = [part.name for part in file.parts]
        raise AnnFormatError(f"holds {names}; expected parts that together are rows [0, {count})")
    indexes, start = [], 0
    for part in file.parts:
        indexes.append(_read_part(content[start : start + part.size], part))
        start += part.size
    return indexes


def _read_part(content: NDArray[np.uint8], part: IndexPart) -> Any:
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content))
    try:
        index = faiss.read_index(reader)
    except (RuntimeError, MemoryError) as error:  # The latter where a damaged count asks for too much.
        raise AnnFormatError(f"{part.name}: expected a faiss index of {part.size} bytes: {error}") from error
    if not isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat | faiss.IndexHNSWFlat):
        raise AnnFormatError(f"{part.name}: it is {type(index).__name__}, which is not supported")
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise AnnFormatError(f"{part.name}: it has metric {index.metric_type}; expected the inner product")
    if reader.rp_ != part.size:
        raise AnnFormatError(f"{part.name}: it ends after {reader.rp_} of {part.size} bytes")
    found = (type(index).__name__, int(index.ntotal), _list_count_of(index))
    if found != (part.kind, part.count, part.list_count):
        raise AnnFormatError(
            f"{part.name}: it is {found}; expected {part.count} rows in {part.list_count} lists"
        )
    for effort in (part.effort, *part.range_efforts, *part.mask_efforts):
        if not 1 <= effort <= part.effort_max:
            raise AnnFormatError(f"{part.name}: an effort is {effort}; expected 1 to {part.effort_max}")
    return index


def _read_lists(index: Any) -> list[NDArray[np.int64]]:
    """Returns the rows of each list of an inverted file, in its own memory."""
    lists, sizes = index.invlists, map(index.invlists.list_size, range(index.nlist))
    empty = np.empty(0, np.int64)
    return [faiss.rev_swig_ptr(lists.get_ids(each), n) if n else empty for each, n in enumerate(sizes)]


def _check_lists(index: Any, part: IndexPart, centres: Any) -> None:
    """Checks that each list has a centre, and that the lists hold each row once."""
    if (centres.d, centres.ntotal) != (index.d, part.list_count):
        found = f"{centres.ntotal} centres of dim {centres.d}"
        raise AnnFormatError(f"{part.name}: has {found}; expected {part.list_count} of {index.d}")
    rows = np.concatenate(_read_lists(index))
    inside = len(rows) == part.count and 0 <= rows.min() <= rows.max() < part.count
    if not inside or np.bincount(rows, minlength=part.count).max() > 1:
        raise AnnFormatError(
            f"{part.name}: its lists hold {len(rows)} rows; expected each from 0 to {part.count - 1} once"
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
