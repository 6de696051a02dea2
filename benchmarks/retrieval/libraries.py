"""Other libraries as they are, and what must be put around them to obey a filter.

hnswlib takes a filter, which it calls for every row that it meets. From Python the others take none, so their
answers are filtered afterwards and the search grows until k are left. It starts where enough would be left if
eligible rows were spread evenly, and ends at a limit: beyond that a list stays short.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.catalogue import Filter, Rows, Users
from benchmarks.retrieval.strategies import Search

REACH_MAX: Final = 16_384
"""Most neighbours that a search grows to."""

LINKS: Final = 16
BUILD_QUEUE: Final = 200
"""Links of each node of a graph, and the length of the queue while it is built: the usual ones."""

Vectors = NDArray[np.float32]


class Library(Protocol):
    """One library's index over a catalogue, with one thread."""

    @property
    def efforts(self) -> Sequence[int]:
        """How hard it can search, in ascending order: length of the queue, or lists probed."""

    def search(self, users: Vectors, count: int, effort: int) -> Rows:
        """Returns the best `count` rows for each user, int64 [users, count], -1 where it has no more."""


class Hnswlib:
    """A graph of hnswlib."""

    efforts = (20, 50, 100, 200, 400, 800, 1600)

    def __init__(self, vectors: Vectors) -> None:
        hnswlib = importlib.import_module("hnswlib")
        self._index: Any = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self._index.init_index(max_elements=len(vectors), ef_construction=BUILD_QUEUE, M=LINKS)
        self._index.set_num_threads(1)
        self._index.add_items(vectors)

    def search(
        self, users: Vectors, count: int, effort: int, allows: Callable[[int], bool] | None = None
    ) -> Rows:
        """Searches as a library does, or only among the rows that `allows` is true for."""
        self._index.set_ef(max(effort, count))
        try:
            labels = self._index.knn_query(users, count, num_threads=1, filter=allows)[0]
        except RuntimeError:
            # It refuses the batch where one user's list is short, so each is asked for alone.
            return _search_each(lambda user: self.search(user, count, effort, allows), users, count)
        found: Rows = labels.astype(np.int64)
        return found


class Usearch:
    """A graph of usearch."""

    efforts = Hnswlib.efforts

    def __init__(self, vectors: Vectors) -> None:
        index = importlib.import_module("usearch.index").Index
        self._index: Any = index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=BUILD_QUEUE,
        )
        self._index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=1)

    def search(self, users: Vectors, count: int, effort: int) -> Rows:
        """See `Library`."""
        self._index.expansion_search = max(effort, count)
        found = self._index.search(users, count, threads=1)
        keys: Rows = np.array(found.keys, dtype=np.int64).reshape(len(users), -1)
        # The answer to one user counts nothing: it holds only what was found.
        counts: Any = np.broadcast_to(np.asarray(getattr(found, "counts", keys.shape[1])), len(users))
        return np.where(np.arange(keys.shape[1]) < counts[:, np.newaxis], keys, -1)


class Voyager:
    """A graph of voyager."""

    efforts = Hnswlib.efforts

    def __init__(self, vectors: Vectors) -> None:
        voyager = importlib.import_module("voyager")
        self._index: Any = voyager.Index(
            voyager.Space.InnerProduct, vectors.shape[1], M=LINKS, ef_construction=BUILD_QUEUE
        )
        self._index.add_items(vectors, ids=list(range(len(vectors))), num_threads=1)
        self._error: type[Exception] = voyager.RecallError

    def search(self, users: Vectors, count: int, effort: int) -> Rows:
        """See `Library`."""
        try:
            ids = self._index.query(users, count, num_threads=1, query_ef=max(effort, count))[0]
        except self._error:
            return _search_each(lambda user: self.search(user, count, effort), users, count)
        found: Rows = ids.astype(np.int64)
        return found


class Scann:
    """A tree of scann over its quantised vectors, which it scores again in full."""

    efforts = (1, 2, 4, 8, 16, 32, 64, 128, 256)

    def __init__(self, vectors: Vectors) -> None:
        builder = importlib.import_module("scann.scann_ops.py.scann_ops_pybind").builder
        list_count = max(1, math.isqrt(len(vectors)))
        self._index: Any = (
            builder(vectors, 10, "dot_product")
            .set_n_training_threads(1)
            .tree(list_count, 1, training_sample_size=min(len(vectors), 100_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .build()
        )
        self._index.set_num_threads(1)

    def search(self, users: Vectors, count: int, effort: int) -> Rows:
        """See `Library`."""
        rows, scores = self._index.search_batched(
            users,
            final_num_neighbors=count,
            pre_reorder_num_neighbors=max(100, 2 * count),
            leaves_to_search=effort,
        )
        # It pads with row 0, and NaN for its score.
        return np.where(np.isnan(scores), -1, rows.astype(np.int64))


LIBRARIES: Final[dict[str, Callable[[Vectors], Library]]] = {
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "voyager": Voyager,
    "scann": Scann,
}

GRAPHS: Final = ("hnswlib", "usearch", "voyager")
"""Those whose build takes minutes for each 100,000 rows."""


def is_installed(name: str) -> bool:
    """Tells whether a library can be imported."""
    return importlib.util.find_spec(name) is not None


def filter_after(library: Library, effort: int) -> Search:
    """Makes a search that grows until k of what a library found are eligible."""

    def search(users: Users, which: Filter, k: int) -> Rows:
        found = np.full((len(users), k), -1, np.int64)
        pending = np.arange(len(users))
        reach_max = min(REACH_MAX, which.row_stop if which.kind == "all" else REACH_MAX)
        reach = min(reach_max, math.ceil(k / which.share))
        while len(pending):
            rows = library.search(users.vectors[pending], reach, effort)  # [pending, reach]
            fits = which.allows(rows)
            found[pending] = _take_first(rows, fits, k)
            if reach == reach_max:
                break
            pending = pending[fits.sum(axis=1) < k]
            reach = min(reach_max, 2 * reach)
        return found

    return search


def filter_inside(library: Hnswlib, effort: int) -> Search:
    """Makes a search that hands the filter to hnswlib, as the cheapest callable that there is for it."""

    def search(users: Users, which: Filter, k: int) -> Rows:
        if which.kind == "all":
            return library.search(users.vectors, k, effort)
        allows: Callable[[int], Any] = which.row_stop.__gt__
        if which.marks is not None:
            allows = which.marks.tobytes().__getitem__
        return library.search(users.vectors, k, effort, allows)

    return search


def _take_first(rows: Rows, fits: NDArray[np.bool_], k: int) -> Rows:
    """Returns the first k rows that fit of each user, int64 [users, k], -1 where there are fewer."""
    order = np.argsort(~fits, axis=1, kind="stable")[:, :k]
    taken = np.full((len(rows), k), -1, np.int64)
    width = order.shape[1]
    kept = np.take_along_axis(fits, order, axis=1)
    taken[:, :width] = np.where(kept, np.take_along_axis(rows, order, axis=1), -1)
    return taken


def _search_each(search: Callable[[Vectors], Rows], users: Vectors, count: int) -> Rows:
    """Searches for one user at a time; whose list is short has none."""
    if len(users) == 1:
        return np.full((1, count), -1, np.int64)
    return np.concatenate([search(user[np.newaxis]) for user in users])
