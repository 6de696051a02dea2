"""Every path of the scan gives exactly what the definition gives, and refuses what it does not allow."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server import native
from tests.server.scanning import DENSITIES, DIMS, ROW_COUNTS, Case, check, define, draw, with_bitmaps


@pytest.mark.parametrize("row_count", ROW_COUNTS)
@pytest.mark.parametrize("dim", DIMS)
def test_every_path_equals_the_definition_on_odd_sizes(dim: int, row_count: int) -> None:
    case = draw(11 + 1000 * dim + row_count, dim, row_count)
    for count in (0, 1, 5, 64, row_count, row_count + 3):
        check(case, count)


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("row_count", [1, 64, 333, 2000])
def test_every_path_equals_the_definition_under_bitmaps(row_count: int, density: float) -> None:
    case = draw(row_count, 64, row_count)
    for every in (1, 2):
        for count in (1, 20, row_count):
            check(with_bitmaps(case, density, every=every), count)


@pytest.mark.parametrize("user_count", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_every_path_equals_the_definition_for_any_batch(user_count: int) -> None:
    case = draw(user_count, 64, 500, user_count=user_count)
    check(case, 20)
    check(with_bitmaps(case, 0.5, every=3), 20)


@pytest.mark.parametrize("dim", [1, 2, 4, 64, 65, 1024])
def test_the_extremes_of_a_byte_are_exact(dim: int) -> None:
    values = np.array([-128, -127, -1, 0, 1, 127], np.int8)
    items = np.repeat(values[:, None], dim, axis=1)
    count = len(values)
    case = Case(items.copy(), items, np.zeros(count, np.int64), np.full(count, count, np.int64))
    check(case, count)
    assert define(case, 1)[1][0, 0] == dim * 2**14
    check(draw(dim, dim, 200, low=-128, high=-127), 20)


def test_the_longest_vectors_do_not_overflow() -> None:
    dim = native.SCAN_DIM_MAX
    items = np.array([[-128], [127], [0]], np.int8).repeat(dim, axis=1)
    case = Case(items.copy(), items, np.zeros(3, np.int64), np.full(3, 3, np.int64))
    check(case, 3)
    assert define(case, 1)[1].tolist() == [[dim * 2**14], [dim * 127**2], [0]]


@pytest.mark.parametrize("value", [-128, 0, 127])
def test_equal_scores_are_ordered_by_row(value: int) -> None:
    items = np.full((1000, 16), value, np.int8)
    case = Case(items[:3].copy(), items, np.array([0, 5, 700]), np.array([1000, 999, 1000]))
    check(case, 150)
    assert define(case, 3)[0].tolist() == [[0, 1, 2], [5, 6, 7], [700, 701, 702]]
    check(with_bitmaps(case, 0.1), 150)
    check(with_bitmaps(case, 0.9), 150)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("count", [1, 10, 100])
def test_rows_may_grow_better_or_worse(count: int, step: int) -> None:
    scores = np.repeat(np.arange(-125, 126), 12)[::step]
    case = Case(
        np.ones((1, 1), np.int8), scores.astype(np.int8)[:, None], np.array([0]), np.array([len(scores)])
    )
    check(case, count)
    check(with_bitmaps(case, 0.1), count)


@pytest.mark.parametrize("density", [None, *DENSITIES])
@pytest.mark.parametrize("high", [1, 127])
def test_a_sample_of_many_rows_changes_nothing(density: float | None, high: int) -> None:
    case = draw(12, 8, 20_000, low=-high, high=high)
    for count in (1, 30, 100):
        check(case if density is None else with_bitmaps(case, density, every=2), count)


def test_a_sample_that_promises_too_much_changes_nothing() -> None:
    # One tile of 64 rows in 64 is looked at first: only there are scores high, and of too few rows.
    rows = np.arange(64 * 64 * 8)
    scores = np.where(rows // 64 % 64 == 0, 100 + rows % 20, rows % 90).astype(np.int8)
    case = Case(np.ones((3, 1), np.int8), scores[:, None], np.array([0, 0, 70]), np.full(3, len(rows)))
    # In the second half few rows are wanted, which are collected.
    density = np.where(rows < len(rows) // 2, 0.9, 0.03)
    marks = np.random.default_rng(1).random(len(rows)) < density
    bitmap = np.packbits(marks, bitorder="little")
    for count in (200, 400, 600):
        check(case, count)
        check(dataclasses.replace(case, bitmaps=[bitmap] * 3), count)


def test_few_different_scores_make_many_ties() -> None:
    case = draw(3, 3, 5000, low=-1, high=1)
    for count in (1, 50, 700, 5000):
        check(case, count)
        check(with_bitmaps(case, 0.05), count)
        check(with_bitmaps(case, 0.7, every=2), count)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(0, 140),
    row_count=st.integers(0, 700),
    user_count=st.integers(0, 9),
    high=st.sampled_from([0, 1, 127]),
    density=st.sampled_from([None, *DENSITIES]),
    every=st.integers(1, 3),
    count=st.integers(0, 120),
)
def test_every_path_equals_the_definition_on_drawn_cases(
    seed: int,
    dim: int,
    row_count: int,
    user_count: int,
    high: int,
    density: float | None,
    every: int,
    count: int,
) -> None:
    random = np.random.default_rng(seed)
    ends = np.sort(random.integers(0, row_count + 1, (2, user_count)), axis=0)
    low = -high - (high == 127)
    case = Case(
        random.integers(low, high, (user_count, dim), dtype=np.int8, endpoint=True),
        random.integers(low, high, (row_count, dim), dtype=np.int8, endpoint=True),
        ends[0],
        ends[1],
    )
    check(case if density is None else with_bitmaps(case, density, every=every), count)


def test_a_result_does_not_depend_on_the_batch() -> None:
    case = with_bitmaps(draw(8, 64, 3000, user_count=9), 0.3, every=2)
    together = native.scan(case.users, case.items, case.row_starts, case.row_stops, case.bitmaps, count=50)
    assert case.bitmaps is not None
    for place in range(len(case.users)):
        own = slice(place, place + 1)
        alone = native.scan(
            case.users[own],
            case.items,
            case.row_starts[own],
            case.row_stops[own],
            case.bitmaps[own],
            count=50,
        )
        np.testing.assert_array_equal(alone[0][0], together[0][place])
        np.testing.assert_array_equal(alone[1][0], together[1][place])


def test_threads_that_share_the_items_get_the_same_rows() -> None:
    case = draw(9, 64, 20_000)
    expected = define(case, 30)
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def scan_often() -> None:
        arguments = case.users, case.items, case.row_starts, case.row_stops
        found.extend(native.scan(*arguments, count=30) for _ in range(5))

    threads = [threading.Thread(target=scan_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for rows, scores in found:
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("offset", [1, 3, 13])
def test_unaligned_vectors_are_read(offset: int) -> None:
    case = draw(4, 65, 130)
    storage = np.zeros(case.items.size + offset, np.int8)
    storage[offset:] = case.items.ravel()
    users = np.zeros(case.users.size + offset, np.int8)
    users[offset:] = case.users.ravel()
    check(
        Case(
            users[offset:].reshape(case.users.shape),
            storage[offset:].reshape(case.items.shape),
            case.row_starts,
            case.row_stops,
        ),
        20,
    )


def test_rows_beyond_31_bits_are_found() -> None:
    # Pages that nobody touches take no memory.
    row_count = 2**31 + 1000
    items = np.zeros((row_count, 1), np.int8)
    items[2**31 + 3], items[2**31 + 900], items[2**31 - 2] = 5, 7, 6
    bitmap = np.zeros(row_count // 8, np.uint8)
    bitmap[(2**31 + 3) // 8] = 255
    starts, stops = np.full(2, 2**31 - 70), np.full(2, row_count)
    for path in native.available_paths():
        rows, scores = native.scan(
            np.ones((2, 1), np.int8), items, starts, stops, [None, bitmap], count=4, path=path
        )
        wanted = [2**31 + 900, 2**31 - 2, 2**31 + 3, 2**31 - 70]
        assert rows.tolist() == [wanted, [2**31 + 3, 2**31, 2**31 + 1, 2**31 + 2]], path
        assert scores.tolist() == [[7, 6, 5, 0], [5, 0, 0, 0]], path


def test_read_only_and_memory_mapped_items_are_accepted(tmp_path) -> None:  # type: ignore[no-untyped-def]
    case = draw(5, 64, 100)
    np.save(tmp_path / "items.npy", case.items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    check(Case(case.users, mapped, case.row_starts, case.row_stops), 9)


def test_a_matrix_of_bitmaps_is_one_bitmap_per_user() -> None:
    case = with_bitmaps(draw(6, 16, 300), 0.4)
    assert case.bitmaps is not None
    bitmaps = np.stack([bitmap for bitmap in case.bitmaps if bitmap is not None])
    found = native.scan(case.users, case.items, case.row_starts, case.row_stops, bitmaps, count=10)
    np.testing.assert_array_equal(found[0], define(case, 10)[0])


def test_every_path_is_available_or_refused_by_name() -> None:
    assert set(native.available_paths()) <= set(native.SCAN_PATHS)
    assert "portable" in native.available_paths()
    assert native.scan_path("auto") == native.scan_path() == native.available_paths()[0]
    for path in native.SCAN_PATHS:
        if path in native.available_paths():
            assert native.scan_path(path) == path
        else:
            with pytest.raises(native.KernelInputError, match=f'path: "{path}" is not available'):
                native.scan_path(path)


@pytest.mark.parametrize("path", ["", "avx", "AVX2", "neon"])
def test_an_unknown_path_is_refused_by_name(path: str) -> None:
    case = draw(1, 4, 7)
    with pytest.raises(native.KernelInputError, match=f'path: "{path}" .*expected one of auto, .*portable'):
        native.scan_path(path)
    with pytest.raises(native.KernelInputError, match=f'path: "{path}"'):
        native.scan(case.users, case.items, case.row_starts, case.row_stops, count=1, path=path)


def refused(message: str, **changes: object) -> None:
    """Expects that a good scan with these changes is refused."""
    case = with_bitmaps(draw(1, 4, 30), 0.5)
    arguments: dict[str, object] = {
        "users": case.users,
        "items": case.items,
        "row_starts": case.row_starts,
        "row_stops": case.row_stops,
        "bitmaps": case.bitmaps,
        "count": 3,
    }
    native.scan(**arguments)  # type: ignore[arg-type]
    with pytest.raises(native.KernelInputError, match=message):
        native.scan(**(arguments | changes))  # type: ignore[arg-type]


def test_wrong_dtypes_are_refused() -> None:
    refused("users: wrong dtype; expected int8", users=np.zeros((5, 4), np.uint8))
    refused("items: wrong dtype; expected int8", items=np.zeros((30, 4), np.int16))
    refused("row_starts: wrong dtype; expected int64", row_starts=np.zeros(5, np.int32))
    refused("row_stops: wrong dtype; expected int64", row_stops=np.zeros(5, np.float64))
    refused("bitmaps: wrong dtype; expected uint8", bitmaps=[np.zeros(4, np.bool_)] * 5)


def test_wrong_shapes_are_refused() -> None:
    refused("users: length 3 on axis 1; expected 4", users=np.zeros((5, 3), np.int8))
    refused("users: 1 dimensions; expected 2", users=np.zeros(4, np.int8))
    refused("items: 3 dimensions; expected 2", items=np.zeros((30, 4, 1), np.int8))
    refused("row_starts: length 4 on axis 0; expected 5", row_starts=np.zeros(4, np.int64))
    refused("row_stops: length 6 on axis 0; expected 5", row_stops=np.zeros(6, np.int64))
    refused("row_stops: 0 dimensions; expected 1", row_stops=np.zeros((), np.int64))
    refused("bitmaps: 4; expected one per user, 5", bitmaps=[None] * 4)
    refused("bitmaps: length 3 on axis 0; expected 4", bitmaps=[np.zeros(3, np.uint8)] * 5)
    refused("bitmaps: length 5 on axis 0; expected 4", bitmaps=[np.zeros(5, np.uint8)] * 5)
    refused("bitmaps: 2 dimensions; expected 1", bitmaps=[np.zeros((1, 4), np.uint8)] * 5)


def test_wrong_layouts_are_refused() -> None:
    refused("items: not C-contiguous", items=np.zeros((4, 30), np.int8).T)
    refused("users: not C-contiguous", users=np.zeros((5, 8), np.int8)[:, ::2])
    refused("row_starts: not C-contiguous", row_starts=np.zeros(10, np.int64)[::2])
    refused("bitmaps: not C-contiguous", bitmaps=[np.zeros(8, np.uint8)[::2]] * 5)
    unaligned = np.zeros(41, np.uint8)[1:].view(np.int64)
    refused("row_stops: not aligned to its dtype", row_stops=unaligned)


def test_ranges_outside_the_items_are_refused() -> None:
    def put(value: int) -> np.ndarray:
        return np.array([0, 0, value, 0, 0], np.int64)

    for stop in (31, -1, 2**63 - 1):
        message = f"row_stops: {stop} at position 2; expected 0 to 30"
        refused(message, row_starts=put(0), row_stops=put(stop))
    for start in (9, -1, -(2**63)):
        message = f"row_starts: {start} at position 2; expected 0 to 8"
        refused(message, row_starts=put(start), row_stops=np.full(5, 8))


def test_counts_and_dims_out_of_range_are_refused() -> None:
    limit = native.SCAN_COUNT_MAX
    refused(f"count: -1; expected 0 to {limit}", count=-1)
    refused(f"count: {limit + 1}; expected 0 to {limit}", count=limit + 1)
    dim = native.SCAN_DIM_MAX + 1
    refused(
        f"items: dim {dim}; expected at most",
        users=np.zeros((5, dim), np.int8),
        items=np.zeros((30, dim), np.int8),
    )


@pytest.mark.parametrize("name", ["users", "items", "row_starts", "row_stops", "bitmaps", "count", "path"])
def test_things_of_another_kind_are_refused(name: str) -> None:
    for value in (3.5, [[1, 2]], object()):
        refused("expected plain NumPy arrays", **{name: value})
