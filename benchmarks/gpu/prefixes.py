"""Searches prefixes of a large drawn catalogue on the GPU, as a risk limit makes them, beside the CPU's ways.

Per tier an inverted file on the GPU, and exact search of a prefix of one matrix: what a server chooses from.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.suite import (
    CANDIDATE_COUNT,
    NOT_MEASURED,
    GpuCase,
    open_matrix,
    search_exactly,
    share_found,
    time_call,
)
from benchmarks.retrieval.catalogue import Catalogue, draw_catalogue, prefix_stops
from index import ann, ann_gpu
from index.ann_index import AnnIndex
from index.errors import AnnDeviceError
from index.tuning import build_tuned
from server.errors import DeviceError
from server.row_search import Extent, ScanSearch, Wanted

ITEM_COUNTS = (100_000, 1_000_000)
BATCHES = (1, 32)
RECALL_K = 20
"""Agreement is the share of the exact best so many that are among the candidates."""
_SEED = 1
_USER_COUNT = 128

Search = Callable[[NDArray[np.int32], int], NDArray[np.int64]]
"""Takes queries int32 [batch, dim] and one past the last row; returns candidates int64 [batch, n]."""


def run_prefixes() -> list[GpuCase]:
    """Runs every case; without a GPU none, and no catalogue is drawn."""
    try:
        ann_gpu.try_selector_on_gpu()
        open_matrix(np.ones((1, 1), np.float32))
    except (AnnDeviceError, DeviceError) as error:
        return [GpuCase(name, NOT_MEASURED, str(error)) for name, *_ in _name_cases()]
    return [case for item_count in ITEM_COUNTS for case in _measure_catalogue(item_count)]


def _name_cases() -> Iterator[tuple[str, int, str, int, int]]:
    """Yields of each case its name, catalogue, way to search, prefix and batch."""
    for item_count in ITEM_COUNTS:
        for way in ("inverted file per tier", "matrix"):
            for row_stop in prefix_stops(item_count):
                for batch in BATCHES:
                    name = f"{way}, first {row_stop:,} of {item_count:,} items, batch {batch}"
                    yield name, item_count, way, row_stop, batch


def _measure_catalogue(item_count: int) -> Iterator[GpuCase]:
    catalogue = draw_catalogue(item_count, user_count=_USER_COUNT, tuning_count=_USER_COUNT, seed=_SEED)
    searches = open_searches(catalogue)
    for name, count, way, row_stop, batch in _name_cases():
        if count == item_count:
            yield measure_prefix(name, catalogue, searches[way], row_stop, batch)


def open_searches(catalogue: Catalogue) -> dict[str, tuple[str, Search, Search]]:
    """Opens each way to search: what it is called, on the CPU, and on the GPU."""
    users = catalogue.tuning_users
    file = build_tuned(
        catalogue.int32,
        users.codes.astype(np.float32),
        users.codes,
        kind="nested",
        learning_count=0,
        tier_stops=prefix_stops(catalogue.count),
    ).file
    tiers = ann.load_index(file, device="cuda")
    matrix = open_matrix(catalogue.int32.astype(np.float32))
    return {
        "inverted file per tier": (
            f"{tiers.kind} against the same on the CPU",
            partial(_search_index, ann.load_index(file)),
            partial(_search_index, tiers),
        ),
        "matrix": (
            f"{matrix.kind} against the int8 scan of the CPU",
            partial(_scan, ScanSearch(catalogue.int8)),
            partial(_search_index, matrix),
        ),
    }


def measure_prefix(
    name: str, catalogue: Catalogue, ways: tuple[str, Search, Search], row_stop: int, batch: int
) -> GpuCase:
    """Measures one way to search a prefix; the agreement is of the GPU with exact search."""
    note, cpu, gpu = ways
    queries = catalogue.users.codes[:batch]
    best = search_exactly(queries.astype(np.float32), catalogue.int32[:row_stop], RECALL_K)
    return GpuCase(
        name,
        "measured",
        note,
        cpu_ms=time_call(lambda: cpu(queries, row_stop)),
        gpu_ms=time_call(lambda: gpu(queries, row_stop)),
        agreement=share_found(best, gpu(queries, row_stop)),
    )


def _search_index(index: AnnIndex, queries: NDArray[np.int32], row_stop: int) -> NDArray[np.int64]:
    return index.search(queries.astype(np.float32), CANDIDATE_COUNT, 0, row_stop)


def _scan(search: ScanSearch, queries: NDArray[np.int32], row_stop: int) -> NDArray[np.int64]:
    wanted = [Wanted(Extent(0, row_stop, row_stop), CANDIDATE_COUNT)] * len(queries)
    return np.stack(search.search(queries, wanted))
