"""Makes the ways to search that were asked for, over one bundle, and measures them if there is a choice."""

import time
from collections.abc import Callable
from typing import Literal, assert_never

import numpy as np

from index import ann_gpu
from index.ann_index import AnnIndex
from index.bundle import Bundle
from index.device_matrix import DeviceMatrix
from index.errors import AnnDeviceError
from server import native
from server.calibration import Stopwatch, time_index, time_matrix, time_scan
from server.encoder import copy_to_gpu
from server.errors import DeviceError
from server.planner import Costs, Planner, Strategy
from server.retrieval import Retriever
from server.row_search import IndexSearch, RowSearch, ScanSearch

Mode = Literal["auto", "exact", "faiss", "gpu"]
Device = Literal["cpu", "cuda"]


def open_retriever(
    bundle: Bundle,
    index: AnnIndex,
    mode: Mode,
    device: Device,
    *,
    thread_count: int = 1,
    kernel: str = native.AUTO,
) -> Retriever:
    """Makes a retriever over a bundle.

    Args:
        bundle: the bundle.
        index: its index, on the device.
        mode: one way to search, or "auto" for the cheapest of those there are.
        device: where the index is.
        thread_count: threads of the index on the CPU.
        kernel: path of the scan; see `native.scan_path`.

    Raises:
        DeviceError: the GPU was asked for and is not there.
    """
    if mode == "gpu" and device != "cuda":
        raise DeviceError(f"retriever gpu: needs the device cuda, got {device}")
    if mode == "auto":
        return Retriever(_open_planner(bundle, index, device, thread_count, kernel))
    return Retriever(Planner({mode: _open_search(bundle, index, mode, kernel)}, {}))


def _open_search(bundle: Bundle, index: AnnIndex, strategy: Strategy, kernel: str) -> RowSearch:
    if strategy == "exact":
        return ScanSearch(bundle.item_vectors_int8, kernel)
    if strategy == "faiss":
        return IndexSearch(index, "faiss")
    if strategy == "gpu":
        return _open_matrix(bundle)
    assert_never(strategy)


def _open_planner(bundle: Bundle, index: AnnIndex, device: Device, thread_count: int, kernel: str) -> Planner:
    """Measures every way to search that the device has."""
    scan = ScanSearch(bundle.item_vectors_int8, kernel)
    faiss = IndexSearch(index, "faiss")
    vectors = [request.user_vector for request in bundle.golden.requests]
    stopwatch = Stopwatch(np.stack(vectors), bundle.products.count, _choose_clock(device, thread_count))
    searches: dict[Strategy, RowSearch] = {"exact": scan, "faiss": faiss}
    costs: dict[Strategy, Costs] = {"exact": time_scan(stopwatch, scan)}
    if device == "cuda":
        matrix = _open_matrix(bundle)
        searches["gpu"], costs["gpu"] = matrix, time_matrix(stopwatch, matrix)
    costs["faiss"] = time_index(stopwatch, faiss, selects=device == "cpu")
    return Planner(searches, costs)


def _choose_clock(device: Device, thread_count: int) -> Callable[[], float]:
    """Returns the clock that sees a search's work and least of anything else.

    A thread's own leaves out what a live server does beside it. It knows nothing of a GPU, nor of the threads
    that faiss starts if it may have several; the kernel starts none.
    """
    if device == "cuda":
        return time.perf_counter
    return time.thread_time if thread_count == 1 else time.process_time


def _open_matrix(bundle: Bundle) -> IndexSearch:
    """Copies the item vectors to the memory of the GPU and searches them there."""
    vectors = bundle.item_vectors.astype(np.float32)  # [product_count, dim]
    pointer, owner = copy_to_gpu(vectors)
    try:
        matrix = DeviceMatrix(pointer, len(vectors), vectors.shape[1], owner)
        return IndexSearch(ann_gpu.search_matrix(matrix), "gpu")
    except AnnDeviceError as error:
        raise DeviceError(f"retriever gpu: {error}") from error
