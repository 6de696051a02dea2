"""A damaged graph of HNSW is refused before faiss follows its links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest

from index.ann_format import check_index
from index.errors import AnnFormatError
from index.tiers import SELECTED_SHARES, IndexFile, IndexPart

DIM = 4
COUNT = 600
Damage = Callable[[Any], None]

ONES = (1,) * len(SELECTED_SHARES)


def _build() -> Any:
    vectors = np.random.default_rng(3).normal(size=(COUNT, DIM)).astype(np.float32)
    index = faiss.IndexHNSWFlat(DIM, 4, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    return index


def _check(index: Any) -> None:
    content = faiss.serialize_index(index).tobytes()
    check_index(
        IndexFile(content, (IndexPart("IndexHNSWFlat", 0, COUNT, 1, 1, ONES, ONES, len(content)),)),
        COUNT,
        DIM,
    )


def _view(values: Any) -> np.ndarray:
    view: np.ndarray = faiss.rev_swig_ptr(values.data(), values.size())
    return view


def _lower(graph: Any) -> None:
    """Leads a link of the upper level to a row that is only on the lowest."""
    levels = _view(graph.levels)
    row, below = int(np.flatnonzero(levels > 1)[0]), int(np.flatnonzero(levels == 1)[0])
    upper = int(_view(graph.offsets)[row] + _view(graph.cum_nneighbor_per_level)[1])
    _view(graph.neighbors)[upper] = below


def _set(name: str, place: int, value: int) -> Damage:
    def change(graph: Any) -> None:
        _view(getattr(graph, name))[place] = value

    return change


def _assign(name: str, value: int) -> Damage:
    return lambda graph: setattr(graph, name, value)


def test_a_graph_as_it_was_built_is_accepted() -> None:
    index = _build()
    assert index.hnsw.max_level >= 2
    _check(index)


@pytest.mark.parametrize(
    "damage",
    [
        _set("neighbors", 5, COUNT),
        _set("neighbors", -1, -2),
        _set("neighbors", 0, 2**31 - 1),
        _set("offsets", 1, 2**40),
        _set("offsets", -2, 7),
        _set("levels", 7, 99),
        _set("cum_nneighbor_per_level", 1, -8),
        lambda graph: graph.neighbors.resize(graph.neighbors.size() - 8),
    ],
)
def test_a_graph_that_leads_out_of_its_memory_is_refused(damage: Damage) -> None:
    index = _build()
    damage(index.hnsw)
    with pytest.raises(AnnFormatError, match=r"IndexHNSWFlat of rows \[0, 600\): expected a faiss index"):
        _check(index)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lower, "links of level 1 lead to rows below it"),
        (_assign("entry_point", COUNT - 1), "it is entered at row 599; expected one of level"),
        (_assign("entry_point", -1), "it is entered at row -1; expected one of level"),
        (_assign("max_level", 9), "expected one of level 9"),
        (_assign("max_level", 0), "expected one of level 0"),
    ],
)
def test_a_graph_that_leaves_the_levels_of_its_rows_is_refused(damage: Damage, message: str) -> None:
    index = _build()
    damage(index.hnsw)
    with pytest.raises(AnnFormatError, match=message):
        _check(index)
