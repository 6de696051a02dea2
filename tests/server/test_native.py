"""The native kernel agrees with its NumPy definition, and refuses what the definition does not allow."""

from __future__ import annotations

import numpy as np
import pytest

from index import reference
from index.manifest import EMBEDDING_DIM_MAX
from server import native

SIZES = (0, 1, 2, 3, 7, 31, 64, 65)


def _case(dim: int, count: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed + 1000 * dim + count)
    user = random.integers(-(2**31), 2**31, dim, dtype=np.int32)
    items = random.integers(-(2**31), 2**31, (count, dim), dtype=np.int32)
    return user, items, random.permutation(count).astype(np.int64)


@pytest.mark.parametrize("dim", SIZES)
@pytest.mark.parametrize("count", SIZES)
def test_kernel_equals_the_definition_on_odd_sizes(dim: int, count: int) -> None:
    user, items, ranks = _case(dim, count)
    rows = np.random.default_rng(1).permutation(count).astype(np.int64)[: max(count - 1, 0)]
    scores = native.rescore(user, items, rows)
    np.testing.assert_array_equal(scores, reference.score(user, items[rows]))
    for k in (0, 1, 5, count, count + 3):
        expected = reference.select(scores, ranks[rows], k)
        np.testing.assert_array_equal(native.select(scores, ranks[rows], k=k), expected)


def test_scores_are_exact_at_the_extremes() -> None:
    limit = reference.STEP_LIMIT
    user = np.full(EMBEDDING_DIM_MAX, -limit, dtype=np.int32)
    scores = native.rescore(user, np.stack([user, -user]), np.array([0, 1], dtype=np.int64))
    assert scores.tolist() == [EMBEDDING_DIM_MAX * limit**2, -EMBEDDING_DIM_MAX * limit**2]


def test_sums_beyond_64_bits_wrap_as_the_definitions_do() -> None:
    user = np.full(19, -(2**31), dtype=np.int32)
    scores = native.rescore(user, user[np.newaxis], np.zeros(1, dtype=np.int64))
    assert scores.tolist() == reference.score(user, user[np.newaxis]).tolist() == [-(2**62)]


@pytest.mark.parametrize("k", [1, 2, 31, 64, 65])
def test_ties_are_broken_by_id_rank(k: int) -> None:
    random = np.random.default_rng(3)
    ranks = random.permutation(65).astype(np.int64)
    scores = random.integers(-1, 2, 65)
    best = native.select(scores, ranks, k=k)
    assert best.tolist() == reference.select(scores, ranks, k).tolist()
    assert ranks[native.select(np.full(65, 3), ranks, k=65)].tolist() == list(range(65))


@pytest.mark.parametrize("k", [1, 7, 30])
def test_ranks_may_be_those_of_all_products(k: int) -> None:
    random = np.random.default_rng(4)
    ranks, scores = random.permutation(65).astype(np.int64), random.integers(-1, 2, 30)
    rows = random.permutation(65)[:30].astype(np.int64)
    expected = reference.select(scores, ranks[rows], k)
    np.testing.assert_array_equal(native.select(scores, ranks, k=k, rows=rows), expected)


def test_rows_without_a_rank_are_refused() -> None:
    scores, ranks = np.arange(3), np.arange(65)
    with pytest.raises(native.KernelInputError, match="rows: row 65 at position 2; expected 0 <= row < 65"):
        native.select(scores, ranks, k=1, rows=np.array([0, 64, 65]))
    with pytest.raises(native.KernelInputError, match="rows: length 2 on axis 0; expected 3"):
        native.select(scores, ranks, k=1, rows=np.array([0, 64]))
    with pytest.raises(native.KernelInputError, match="rows: wrong dtype"):
        native.select(scores, ranks, k=1, rows=np.array([0, 1, 2], np.int32))  # type: ignore[arg-type]


def test_the_lowest_and_highest_scores_are_ordered() -> None:
    scores = np.array([-(2**63), 2**63 - 1, 0, -(2**63)])
    ranks = np.array([1, 3, 2, 0], dtype=np.int64)
    assert native.select(scores, ranks, k=4).tolist() == [1, 2, 3, 0]


def test_rescore_keeps_order_and_repeats() -> None:
    user, items, _ = _case(4, 7)
    rows = np.array([6, 2, 6], dtype=np.int64)
    scores = native.rescore(user, items, rows)
    assert scores[0] == scores[2]
    assert scores.tolist() == reference.score(user, items[rows]).tolist()


@pytest.mark.parametrize("bad_row", [-1, 7, 2**62, -(2**63)])
def test_a_row_out_of_range_is_refused_and_named(bad_row: int) -> None:
    user, items, _ = _case(4, 7)
    rows = np.array([0, bad_row], dtype=np.int64)
    with pytest.raises(native.KernelInputError, match=f"row {bad_row} at position 1; expected 0 <= row < 7"):
        native.rescore(user, items, rows)


@pytest.mark.parametrize("k", [-1, 10_001, 2**62])
def test_k_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(native.KernelInputError, match="expected 0 <= k <= 10000"):
        native.select(np.arange(7), np.arange(7), k=k)


def test_the_largest_k_is_accepted() -> None:
    assert len(native.select(np.arange(7), np.arange(7), k=native.K_MAX)) == 7


def test_the_stride_of_a_single_row_does_not_matter() -> None:
    user, items, _ = _case(4, 7)
    only = np.zeros(1, dtype=np.int64)
    assert native.rescore(user, items[::7], only).tolist() == reference.score(user, items[:1]).tolist()


@pytest.mark.parametrize("k", [2**64, 1.5, None])
def test_k_that_is_no_int64_is_refused(k: object) -> None:
    with pytest.raises(native.KernelInputError, match="an int k"):
        native.select(np.arange(7), np.arange(7), k=k)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint32, np.float32])
def test_a_wrong_dtype_is_refused(dtype: type) -> None:
    user, items, _ = _case(4, 7)
    rows = np.arange(7, dtype=np.int64)
    with pytest.raises(native.KernelInputError, match="user: wrong dtype"):
        native.rescore(user.astype(dtype), items, rows)
    with pytest.raises(native.KernelInputError, match="items: wrong dtype"):
        native.rescore(user, items.astype(dtype), rows)


def test_row_numbers_of_a_wrong_dtype_are_refused() -> None:
    user, items, ranks = _case(4, 7)
    with pytest.raises(native.KernelInputError, match="rows: wrong dtype; expected int64"):
        native.rescore(user, items, np.arange(7, dtype=np.int32))  # type: ignore[arg-type]
    with pytest.raises(native.KernelInputError, match="id_rank: wrong dtype"):
        native.select(np.arange(7), ranks.astype(np.int32), k=1)  # type: ignore[arg-type]
    with pytest.raises(native.KernelInputError, match="scores: wrong dtype"):
        native.select(np.arange(7.0), ranks, k=1)  # type: ignore[arg-type]


def test_arrays_that_are_not_contiguous_are_refused() -> None:
    user, items, ranks = _case(8, 7)
    rows = np.arange(7, dtype=np.int64)
    with pytest.raises(native.KernelInputError, match="items: not C-contiguous"):
        native.rescore(user[:4].copy(), items[:, ::2], rows)
    with pytest.raises(native.KernelInputError, match="items: not C-contiguous"):
        native.rescore(user, np.asfortranarray(items), rows)
    with pytest.raises(native.KernelInputError, match="rows: not C-contiguous"):
        native.rescore(user, items, rows[::2])
    with pytest.raises(native.KernelInputError, match="user: not C-contiguous"):
        native.rescore(user[::-1], items, rows)
    with pytest.raises(native.KernelInputError, match="id_rank: not C-contiguous"):
        native.select(rows, ranks[::-1], k=1)


def test_unaligned_arrays_are_refused() -> None:
    user, items, _ = _case(4, 7)
    storage = np.zeros(user.nbytes + 1, dtype=np.uint8)
    unaligned = storage[1:].view(np.int32)
    with pytest.raises(native.KernelInputError, match="user"):
        native.rescore(unaligned, items, np.arange(7, dtype=np.int64))


def test_wrong_shapes_are_refused() -> None:
    user, items, ranks = _case(4, 7)
    rows = np.arange(7, dtype=np.int64)
    with pytest.raises(native.KernelInputError, match="user: dim 3; expected the items' dim 4"):
        native.rescore(user[:3].copy(), items, rows)
    with pytest.raises(native.KernelInputError, match="user: dim 5; expected the items' dim 4"):
        native.rescore(np.append(user, user[:1]), items, rows)
    with pytest.raises(native.KernelInputError, match="items: 1 dimensions; expected 2"):
        native.rescore(user, items[0], rows)
    with pytest.raises(native.KernelInputError, match="id_rank: length 6; expected one per score, 7"):
        native.select(rows, ranks[:6].copy(), k=1)


def test_things_that_are_no_arrays_are_refused() -> None:
    user, items, _ = _case(4, 7)
    with pytest.raises(native.KernelInputError, match="expected plain NumPy arrays"):
        native.rescore(None, items, np.arange(7, dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(native.KernelInputError, match="expected plain NumPy arrays"):
        native.rescore(user, items, [0, 1])  # type: ignore[arg-type]


def test_read_only_and_memory_mapped_items_are_accepted(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user, items, _ = _case(4, 7)
    np.save(tmp_path / "items.npy", items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    rows = np.arange(7, dtype=np.int64)
    assert native.rescore(user, mapped, rows).tolist() == native.rescore(user, items, rows).tolist()
