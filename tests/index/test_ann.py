"""The faiss door: ranges, padding and refusals on the CPU, and on a stand-in that behaves like the GPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import faiss
import numpy as np
import pytest

from index import ann, ann_format, ann_gpu, tiers
from index.ann_index import AnnIndex
from index.device_matrix import DeviceMatrix
from index.errors import AnnDeviceError, AnnError, AnnFormatError, AnnQueryError
from index.post_filter import GPU_K_MAX, Found
from index.tiers import SELECTED_SHARES, IndexFile, IndexPart
from tests.index.gpu_stand_in import gpu  # noqa: F401 - a fixture.

DIM = 7
ONES = (1,) * len(SELECTED_SHARES)


@pytest.fixture
def small_is_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets tests see inverted files of few rows."""
    monkeypatch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 64)


def _vectors(count: int, seed: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def _exact(vectors: np.ndarray, queries: np.ndarray, k: int, start: int, stop: int) -> np.ndarray:
    scores = queries @ vectors[start:stop].T
    return start + np.argsort(-scores, axis=1)[:, :k]


def _nested(vectors: np.ndarray) -> IndexFile:
    tenth = len(vectors) // 10
    stops = (tenth, 3 * tenth, 3 * tenth, 8 * tenth)
    return ann.build_index(vectors, "nested", learning_count=tenth, tier_stops=stops)


class RangeSearch:
    """What every loaded index must do; `load` says how it is loaded."""

    def load(self, vectors: np.ndarray) -> AnnIndex:
        raise NotImplementedError

    @pytest.mark.parametrize("rows", [(0, 1000), (0, 313), (600, 1000), (500, 541)])
    def test_search_finds_the_best_rows_of_a_range(self, rows: tuple[int, int]) -> None:
        vectors, queries = _vectors(1000), _vectors(3, seed=5)
        found = self.load(vectors).search(queries, 31, *rows)
        np.testing.assert_array_equal(found, _exact(vectors, queries, 31, *rows))

    @pytest.mark.parametrize("rows", [(0, 1000), (300, 1000), (500, 541)])
    @pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
    def test_search_finds_the_best_rows_of_a_bitmap(self, rows: tuple[int, int], share: float) -> None:
        vectors, queries = _vectors(1003), _vectors(3, seed=5)
        marked = np.random.default_rng(3).random(1003) < share
        found = self.load(vectors).search(
            queries, 31, *rows, np.packbits(marked, bitorder="little").tobytes()
        )
        exact = _exact(vectors, queries, 1003, *rows)
        for got, order in zip(found, exact, strict=True):
            best = order[marked[order]][:31]
            best = best if len(best) == 31 else np.sort(best)  # All of them are returned in row order.
            np.testing.assert_array_equal(got[: len(best)], best)
            assert (got[len(best) :] == -1).all()

    def test_a_small_range_keeps_to_the_bitmap(self) -> None:
        found = self.load(_vectors(300)).search(_vectors(2), 5, 8, 12, b"\0\x0a" + bytes(36))
        assert found.tolist() == [[9, 11, -1, -1, -1]] * 2

    @pytest.mark.parametrize("byte_count", [0, 37, 39])
    def test_a_bitmap_of_another_size_is_refused(self, byte_count: int) -> None:
        with pytest.raises(AnnQueryError, match=f"bitmap: {byte_count} bytes; expected 38 for the 300 rows"):
            self.load(_vectors(300)).search(_vectors(1), 3, 0, 300, bytes(byte_count))

    def test_a_small_range_is_returned_whole_and_padded(self) -> None:
        found = self.load(_vectors(300)).search(_vectors(2), 5, 10, 13)
        assert found.tolist() == [[10, 11, 12, -1, -1]] * 2

    @pytest.mark.parametrize("row", [0, 150, 300])
    def test_an_empty_range_gives_padding(self, row: int) -> None:
        found = self.load(_vectors(300)).search(_vectors(1), 2, row, row)
        assert found.tolist() == [[-1, -1]]

    def test_an_empty_batch_gives_an_empty_answer(self) -> None:
        index = self.load(_vectors(300))
        assert index.search(np.zeros((0, DIM), np.float32), 4, 0, 300).shape == (0, 4)
        assert index.search(np.zeros((0, DIM), np.float32), 4, 0, 200).shape == (0, 4)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_queries_that_are_not_finite_are_refused(self, value: float) -> None:
        queries = _vectors(2)
        queries[1, 3] = value
        with pytest.raises(AnnQueryError, match="1 of 14 values are NaN or infinite"):
            self.load(_vectors(300)).search(queries, 4, 0, 300)

    @pytest.mark.parametrize("candidate_count", [0, -1])
    def test_a_candidate_count_below_one_is_refused(self, candidate_count: int) -> None:
        with pytest.raises(AnnQueryError, match="candidate_count"):
            self.load(_vectors(300)).search(_vectors(1), candidate_count, 0, 300)

    @pytest.mark.parametrize("rows", [(-1, 3), (5, 4), (0, 301)])
    def test_a_range_outside_the_rows_is_refused(self, rows: tuple[int, int]) -> None:
        with pytest.raises(AnnQueryError, match="expected 0 <= start <= stop <= 300"):
            self.load(_vectors(300)).search(_vectors(1), 3, *rows)

    @pytest.mark.parametrize("shape", [(DIM,), (1, DIM + 1), (1, 1, DIM)])
    def test_queries_of_a_wrong_shape_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(AnnQueryError, match="queries: shape"):
            self.load(_vectors(300)).search(np.zeros(shape, np.float32), 3, 0, 300)


class TestFlat(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(ann.build_index(vectors, "flat"))
        assert index.kind == "IndexFlatIP"
        return index


class TestIvfFlat(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(ann.build_index(vectors, "ivf_flat"))
        assert index.kind == "IndexIVFFlat"
        return index


class TestHnsw(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(ann.build_index(vectors, "hnsw"))
        assert index.kind == "IndexHNSWFlat"
        return index


@pytest.mark.usefixtures("small_is_64")
class TestNested(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(_nested(vectors))
        assert index.kind == "nested IndexIVFFlat"
        return index


@pytest.mark.usefixtures("gpu")
class TestGpu(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(ann.build_index(vectors, "ivf_flat"), device="cuda")
        assert index.kind == "GpuIndexIVFFlat"
        return index


@pytest.mark.usefixtures("gpu", "small_is_64")
class TestNestedGpu(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        index = ann.load_index(_nested(vectors), device="cuda")
        assert index.kind == "nested GpuIndexIVFFlat"
        return index


@pytest.mark.usefixtures("gpu")
class TestGpuMatrix(RangeSearch):
    def load(self, vectors: np.ndarray) -> AnnIndex:
        matrix = DeviceMatrix(vectors.ctypes.data, len(vectors), vectors.shape[1], owner=vectors)
        index = ann_gpu.search_matrix(matrix)
        assert index.kind == "GpuMatrix"
        return index


@pytest.mark.usefixtures("gpu")
def test_more_candidates_than_a_gpu_returns_are_padded() -> None:
    vectors = _vectors(2500)
    index = ann.load_index(ann.build_index(vectors, "ivf_flat"), device="cuda")
    for stop in (2500, 2400):
        found = index.search(_vectors(1), 2300, 0, stop)
        assert found.shape == (1, 2300)
        kept = found[0][found[0] >= 0]
        assert GPU_K_MAX * 0.9 < len(kept) <= GPU_K_MAX
        assert len(set(kept.tolist())) == len(kept)
        assert (found[0][len(kept) :] == -1).all()


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_refuses_the_index_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", refuse)
    with pytest.raises(AnnDeviceError, match="cannot move the index to the GPU: out of memory"):
        ann.load_index(ann.build_index(_vectors(5)), device="cuda")


def test_cuda_without_gpu_support_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(AnnDeviceError, match="has no GPU support"):
        ann.load_index(ann.build_index(_vectors(5)), device="cuda")


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(AnnDeviceError, match="finds 0 GPUs; expected one"):
        ann.load_index(ann.build_index(_vectors(5)), device="cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(AnnDeviceError, match="'tpu'; expected one of"):
        ann.load_index(ann.build_index(_vectors(5)), device="tpu")  # type: ignore[arg-type]


def test_a_failing_search_is_ours() -> None:
    class Broken:
        kind = "Broken"

        def search(self, *_arguments: object) -> Found:
            raise RuntimeError("a device-side fault")

    index = AnnIndex([Broken()], [IndexPart("Broken", 0, 9, 1, 1, ONES, ONES, 1)], dim=DIM)
    with pytest.raises(AnnError, match="Broken: the search failed: a device-side fault"):
        index.search(_vectors(1), 2, 0, 9)


@pytest.mark.usefixtures("small_is_64")
@pytest.mark.parametrize(
    ("count", "kinds"), [(1, ["IndexFlatIP"]), (64, ["IndexFlatIP"]), (65, ["IndexIVFFlat"])]
)
def test_auto_builds_inverted_files_only_for_many_rows(count: int, kinds: list[str]) -> None:
    assert [part.kind for part in ann.build_index(_vectors(count)).parts] == kinds


def test_a_row_outside_of_the_range_is_never_returned() -> None:
    class Damaged:
        kind = "Damaged"

        def search(self, queries: np.ndarray, count: int, *_range: object) -> Found:
            rows = np.array([[7, -5, 3, 2**40]])
            return np.ones((1, count), np.float32), rows

    index = AnnIndex([Damaged()], [IndexPart("Damaged", 0, 9, 1, 1, ONES, ONES, 1)], dim=DIM)
    assert index.search(_vectors(1), 4, 0, 6).tolist() == [[-1, -1, 3, -1]]


def test_building_twice_gives_the_same_bytes() -> None:
    vectors = _vectors(700)
    assert ann.build_index(vectors, "ivf_flat") == ann.build_index(vectors, "ivf_flat")


@pytest.mark.parametrize("count", [1, 2, 38, 40])
def test_an_inverted_file_of_few_rows_can_be_built(count: int) -> None:
    index = ann.load_index(ann.build_index(_vectors(count), "ivf_flat"))
    assert index.search(_vectors(1), count + 1, 0, count)[0, :count].tolist() == list(range(count))


def test_identical_vectors_can_be_indexed() -> None:
    index = ann.load_index(ann.build_index(np.ones((400, DIM), np.float32), "ivf_flat"))
    assert index.count == 400


@pytest.mark.parametrize(
    "vectors", [np.zeros((0, DIM), np.float32), np.zeros((3, 0), np.float32), np.zeros(3)]
)
def test_nothing_to_index_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(AnnQueryError, match="vectors: shape"):
        ann.build_index(vectors)


def _wrap(index: Any, **changes: Any) -> IndexFile:
    content = faiss.serialize_index(index).tobytes()
    part = IndexPart(type(index).__name__, 0, int(index.ntotal), 1, 1, ONES, ONES, len(content))
    return IndexFile(content, (dataclasses.replace(part, **changes),))


def _flat(count: int) -> Any:
    index = faiss.IndexFlatIP(DIM)
    index.add(_vectors(count))
    return index


def test_bytes_that_are_no_index_are_refused() -> None:
    part = IndexPart("IndexFlatIP", 0, 5, 1, 1, ONES, ONES, 64)
    with pytest.raises(AnnFormatError, match=r"IndexFlatIP of rows \[0, 5\): expected a faiss index of 64"):
        ann.load_index(IndexFile(b"\0" * 64, (part,)))


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (faiss.IndexFlatL2(DIM), {}, "it has metric 1; expected the inner product"),
        (faiss.IndexLSH(DIM, 8), {}, "it is IndexLSH, which is not supported"),
        (_flat(5), {"row_stop": 6}, "expected 6 rows in 1 lists"),
        (_flat(5), {"kind": "IndexIVFFlat"}, r"it is \('IndexFlatIP', 5, 1\)"),
        (_flat(5), {"list_count": 2}, "expected 5 rows in 2 lists"),
        (_flat(5), {"effort": 2}, "an effort is 2; expected 1 to 1"),
        (_flat(5), {"range_efforts": (1, 1, 2, 1, 1, 1)}, "an effort is 2; expected 1 to 1"),
        (_flat(5), {"mask_efforts": (1, 1, 1, 1, 1, 0)}, "an effort is 0; expected 1 to 1"),
        (_flat(5), {"size": 9}, r"expected parts of \[9\]"),
    ],
)
def test_a_part_that_is_not_what_is_said_is_refused(
    index: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnnFormatError, match=message):
        ann.load_index(_wrap(index, **changes))


@pytest.mark.parametrize(("count", "dim"), [(3, DIM), (6, DIM), (5, 2 * DIM)])
def test_lists_without_a_centre_each_are_refused(count: int, dim: int) -> None:
    vectors = _vectors(300)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, 5, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    centres = faiss.IndexFlatIP(dim)
    centres.add(np.ones((count, dim), np.float32))
    index.quantizer = centres
    with pytest.raises(AnnFormatError, match=f"has {count} centres of dim {dim}; expected 5 of {DIM}"):
        ann_format.check_index(_wrap(index, list_count=5), 300, DIM)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 3], [0, 1, 2, 3, 5], [-1, 0, 1, 2, 3]])
def test_lists_without_each_row_once_are_refused(rows: list[int]) -> None:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, 1, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(_vectors(5))
    index.add_with_ids(_vectors(5), np.array(rows, np.int64))
    with pytest.raises(AnnFormatError, match="its lists hold 5 rows; expected each from 0 to 4 once"):
        ann_format.check_index(_wrap(index), 5, DIM)


def test_parts_without_all_rows_or_of_another_dim_are_refused() -> None:
    ann_format.check_index(_wrap(_flat(5)), 5, DIM)
    with pytest.raises(AnnFormatError, match="holds 5 rows; expected 6"):
        ann_format.check_index(_wrap(_flat(5)), 6, DIM)
    with pytest.raises(AnnFormatError, match=r"expected parts that together are rows \[0, 6\)"):
        ann.load_index(_wrap(_flat(5), row_start=1, row_stop=6))
    with pytest.raises(AnnFormatError, match=f"dim is {DIM}; expected 9"):
        ann_format.check_index(_wrap(_flat(5)), 5, 9)


def test_an_index_that_asks_for_more_memory_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_reader: Any) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(ann_format.faiss, "read_index", read)
    with pytest.raises(AnnFormatError, match=r"expected a faiss index of .*bad_alloc"):
        ann.load_index(_wrap(_flat(5)))
