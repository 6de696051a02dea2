"""The ways to search that need no library beyond the server's own; each gives a whole answer, best first.

A search takes users, a filter and k, and returns rows int64 [users, k], -1 where it found no more. What a
scan or a nested index finds is a candidate, so the exact scores and the selection are part of their time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.catalogue import Catalogue, Filter, Rows, Users, prefix_stops
from index.ann import load_index
from index.tiers import IndexFile
from index.tuning import build_tuned
from server import native
from server.retrieval import CANDIDATE_COUNT_MIN, CANDIDATES_PER_K
from server.row_search import Extent, ScanSearch, Wanted

faiss: Any = faiss_module  # Its type stubs lag the library.

Search = Callable[[Users, Filter, int], Rows]

BLAS_THRESHOLD_SHIPPED: Final = int(faiss.cvar.distance_compute_blas_threshold)
_BLAS_THRESHOLD_LOW: Final = 1

FLAT: Final = "IndexFlatIP as shipped"
FLAT_BLAS: Final = "IndexFlatIP with BLAS"
FLAT_RANGE: Final = "IndexFlatIP + IDSelectorRange"
FLAT_BITMAP: Final = "IndexFlatIP + IDSelectorBitmap"
NESTED: Final = "nested IVF"
AUTO: Final = "auto"


@dataclass(frozen=True)
class Strategy:
    """A search by name, and how hard it searches where that was chosen."""

    name: str
    search: Search
    effort: int | None = None


@dataclass(frozen=True)
class FaissIndexes:
    """The indexes of faiss over one catalogue.

    Attributes:
        flat: IndexFlatIP over the float vectors.
        nested: what a bundle holds, with tiers at the prefixes measured.
        whole: one inverted file over all rows.
        whole_effort: lists of it to probe for the usual recall where nothing is filtered.
    """

    flat: Any
    nested: IndexFile
    whole: Any
    whole_effort: int


def use_one_thread() -> None:
    """Keeps faiss to one thread of this process's main thread."""
    faiss.omp_set_num_threads(1)


def name_scan(path: str) -> str:
    """Returns the name of the scan over one path."""
    return f"scan {path}"


def build_faiss(catalogue: Catalogue) -> FaissIndexes:
    """Builds them as `python -m index build` does, tuned on users who are not measured."""
    flat = faiss.IndexFlatIP(catalogue.vectors.shape[1])
    flat.add(catalogue.vectors)
    nested = _build(catalogue, "nested", prefix_stops(catalogue.count))
    # The last tier of a nested index is one over all rows, unless the catalogue is small.
    is_ivf = nested.parts[-1].kind == "IndexIVFFlat"
    single = nested if is_ivf else _build(catalogue, "ivf_flat", ())
    last = single.parts[-1]
    content = np.frombuffer(single.content, np.uint8)[-last.size :]
    return FaissIndexes(flat, nested, faiss.deserialize_index(content), last.effort)


def keep_scans(catalogue: Catalogue) -> dict[str, ScanSearch]:
    """Keeps the items as each path of this machine reads them, by path."""
    return {path: ScanSearch(catalogue.int8, path) for path in native.available_paths()}


def list_strategies(
    catalogue: Catalogue, scans: Mapping[str, ScanSearch], indexes: FaissIndexes, which: Filter
) -> list[Strategy]:
    """Lists what can answer under a filter."""
    strategies = [Strategy(name_scan(path), _make_scan(catalogue, scan)) for path, scan in scans.items()]
    strategies.append(Strategy(NESTED, _make_nested(catalogue, indexes.nested)))
    if which.kind == "all":
        strategies.append(Strategy(FLAT, _make_flat(indexes.flat, BLAS_THRESHOLD_SHIPPED)))
        strategies.append(Strategy(FLAT_BLAS, _make_flat(indexes.flat, _BLAS_THRESHOLD_LOW)))
    else:
        name = FLAT_RANGE if which.kind == "prefix" else FLAT_BITMAP
        strategies.append(Strategy(name, _make_flat(indexes.flat, BLAS_THRESHOLD_SHIPPED)))
    name = "one IVF" if which.kind == "all" else "one IVF + selector"
    strategies.append(Strategy(name, _make_whole(indexes), indexes.whole_effort))
    return strategies


def rank(catalogue: Catalogue, users: Users, candidates: Sequence[Rows], k: int) -> Rows:
    """Scores candidates exactly and selects the best k of each user: what follows every retrieval."""
    scorer = catalogue.scorer
    found = np.full((len(users), k), -1, np.int64)
    for place, rows in enumerate(candidates):
        best = rows[scorer.order(rows, scorer.score(users.codes[place], rows), k)]
        found[place, : len(best)] = best
    return found


def _build(catalogue: Catalogue, kind: Any, tier_stops: tuple[int, ...]) -> IndexFile:
    users = catalogue.tuning_users
    return build_tuned(
        catalogue.int32,
        users.codes.astype(np.float32),
        users.codes,
        kind=kind,
        learning_count=0,
        tier_stops=tier_stops,
    ).file


def _make_scan(catalogue: Catalogue, scan: ScanSearch) -> Search:
    def search(users: Users, which: Filter, k: int) -> Rows:
        bitmap = _pack(which)
        packed = None if bitmap is None else bitmap.tobytes()
        wanted = Wanted(Extent(0, which.row_stop, which.eligible_count, packed), _count_candidates(k))
        return rank(catalogue, users, scan.search(users.codes, [wanted] * len(users)), k)

    return search


def _make_nested(catalogue: Catalogue, file: IndexFile) -> Search:
    index = load_index(file)

    def search(users: Users, which: Filter, k: int) -> Rows:
        bitmap = _pack(which)
        packed = None if bitmap is None else bitmap.tobytes()
        queries = users.codes.astype(np.float32)
        rows = index.search(queries, _count_candidates(k), 0, which.row_stop, packed)
        return rank(catalogue, users, [each[each >= 0] for each in rows], k)

    return search


def _make_flat(flat: Any, blas_threshold: int) -> Search:
    def search(users: Users, which: Filter, k: int) -> Rows:
        faiss.cvar.distance_compute_blas_threshold = blas_threshold
        selector = _select(which)
        parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        found: Rows = flat.search(users.vectors, k, params=parameters)[1]
        return found

    return search


def _make_whole(indexes: FaissIndexes) -> Search:
    def search(users: Users, which: Filter, k: int) -> Rows:
        parameters = faiss.SearchParametersIVF(sel=_select(which), nprobe=indexes.whole_effort)
        found: Rows = indexes.whole.search(users.codes.astype(np.float32), k, params=parameters)[1]
        return found

    return search


def _select(which: Filter) -> Any:
    if which.kind == "all":
        return None
    bitmap = _pack(which)
    return faiss.IDSelectorRange(0, which.row_stop) if bitmap is None else faiss.IDSelectorBitmap(bitmap)


def _pack(which: Filter) -> NDArray[np.uint8] | None:
    return None if which.marks is None else np.packbits(which.marks, bitorder="little")


def _count_candidates(k: int) -> int:
    return max(CANDIDATE_COUNT_MIN, CANDIDATES_PER_K * k)
