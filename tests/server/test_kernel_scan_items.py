"""Items that are kept for many scans give what the definition gives, on every path."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import reference
from server import native
from tests.server.scanning import DIMS, ROW_COUNTS, Case, check, define, draw, with_bitmaps


def keep(items: np.ndarray, path: str) -> native.ScanItems:
    """Keeps items as `server.row_search` does."""
    kept = native.ScanItems(items, path)
    if kept.packed_size > 0:
        kept.pack(np.zeros(kept.packed_size, np.uint8))
    return kept


def check_kept(case: Case, counts: list[int]) -> None:
    """Compares kept items of every path with the definition, each user with a count of its own."""
    random = np.random.default_rng(len(case.items))
    limits = random.choice([1, 127, 32767, reference.STEP_LIMIT], (len(case.users), 1))
    queries = (case.users.astype(np.int64) * limits // 128).astype(np.int32)
    bitmaps = case.bitmaps or [None] * len(queries)
    for path in native.available_paths():
        found = keep(case.items, path).scan(
            queries,
            case.row_starts.tolist(),
            case.row_stops.tolist(),
            [None if bitmap is None else bitmap.tobytes() for bitmap in bitmaps],
            counts,
        )
        for place, (rows, count) in enumerate(zip(found, counts, strict=True)):
            own = slice(place, place + 1)
            alone = Case(
                reference.narrow(queries[own]),
                case.items,
                case.row_starts[own],
                case.row_stops[own],
                bitmaps[own],
            )
            expected = define(alone, count)[0][0]
            np.testing.assert_array_equal(rows, expected[expected >= 0], err_msg=path)


@pytest.mark.parametrize("row_count", ROW_COUNTS)
@pytest.mark.parametrize("dim", DIMS)
def test_kept_items_give_what_the_definition_gives(dim: int, row_count: int) -> None:
    case = draw(17 + 1000 * dim + row_count, dim, row_count)
    check_kept(case, [0, 1, 64, row_count, row_count + 3])
    check_kept(with_bitmaps(case, 0.1, every=2), [20, 5, 100, 0, 3])


@pytest.mark.parametrize("user_count", [0, 1, 2, 3, 4, 5, 9])
def test_kept_items_serve_any_batch(user_count: int) -> None:
    case = draw(user_count, 64, 900, user_count=9)
    case = Case(
        case.users[:user_count],
        case.items,
        case.row_starts[:user_count],
        case.row_stops[:user_count],
    )
    check_kept(case, [30] * user_count)
    check_kept(with_bitmaps(case, 0.1), [30] * user_count)


def test_rows_of_dense_and_sparse_stretches_keep_their_order() -> None:
    # All scores are equal, and the rows of some stretches wait while those of others do not.
    stretch = 4096
    row_count = 5 * stretch + 100
    items = np.ones((row_count, 16), np.int8)
    density = np.repeat([0.02, 0.9, 0.03, 0.02, 0.5, 0.01], stretch)[:row_count]
    bitmap = np.packbits(np.random.default_rng(5).random(row_count) < density, bitorder="little")
    for user_count in (1, 4):
        users = np.ones((user_count, 16), np.int8)
        starts, stops = np.full(user_count, 70), np.full(user_count, row_count - 3)
        case = Case(users, items, starts, stops, [bitmap] * user_count)
        for count in (1, 50, 300, row_count):
            check(case, count)
            check_kept(case, [count] * user_count)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(0, 70),
    largest=st.sampled_from([0, 1, 2, 127, 254, 32767, reference.STEP_LIMIT, 2**31 - 1]),
)
def test_queries_are_narrowed_as_defined(seed: int, dim: int, largest: int) -> None:
    random = np.random.default_rng(seed)
    queries = random.integers(-largest - (largest > 254), largest, (3, dim), np.int32, endpoint=True)
    # Each row has one 1, or -1, so that the order of the rows found tells that of the components.
    items = np.concatenate([np.eye(dim, dtype=np.int8), -np.eye(dim, dtype=np.int8)])
    found = keep(items, "auto").scan(queries, [0] * 3, [2 * dim] * 3, [None] * 3, [2 * dim] * 3)
    users = reference.narrow(queries)
    expected = reference.scan(users, items, np.zeros(3, np.int64), np.full(3, 2 * dim), [None] * 3, 2 * dim)
    np.testing.assert_array_equal(found, expected[0])


def test_what_kept_items_cannot_scan_is_refused() -> None:
    kept = native.ScanItems(np.zeros((30, 4), np.int8), "portable")
    good: list[object] = [np.zeros((1, 4), np.int32), [0], [30], [b"1234"], [3]]
    kept.scan(*good)  # type: ignore[arg-type]
    for place, value, message in (
        (0, np.zeros((1, 4), np.int8), "queries: wrong dtype; expected int32"),
        (0, np.zeros((1, 5), np.int32), "queries: length 5 on axis 1; expected 4"),
        (1, [], "row_starts: 0; expected one per user, 1"),
        (2, [31], "row_stops: 31 at position 0; expected 0 to 30"),
        (3, [b"123"], "bitmaps: 3 bytes; expected 4"),
        (4, [-1], "counts: -1; expected 0 to"),
    ):
        changed = [value if at == place else each for at, each in enumerate(good)]
        with pytest.raises(native.KernelInputError, match=message):
            kept.scan(*changed)  # type: ignore[arg-type]
    with pytest.raises(native.KernelInputError, match="packed: 9 bytes; expected 1024"):
        kept.pack(np.zeros(9, np.uint8))
    with pytest.raises(native.KernelInputError, match="items: wrong dtype"):
        native.ScanItems(np.zeros((3, 4), np.int32), "auto")


def lets_others_run(call: Callable[[], object]) -> bool:
    """Tells whether this thread went on while another was in a call."""
    begun, done = threading.Event(), []

    def work() -> None:
        begun.set()
        call()
        done.append(True)

    other = threading.Thread(target=work)
    other.start()
    begun.wait()
    found = not done
    other.join()
    return found


@pytest.mark.parametrize("part", ["pack", "scan"])
def test_other_threads_go_on_while_items_are_packed_and_scanned(part: str) -> None:
    items = native.ScanItems(np.zeros((200_000, 64), np.int8), "portable")
    packed, queries = np.zeros(items.packed_size, np.uint8), np.zeros((8, 64), np.int32)
    calls: dict[str, Callable[[], object]] = {
        "pack": lambda: items.pack(packed),
        "scan": lambda: items.scan(queries, [0] * 8, [200_000] * 8, [None] * 8, [5] * 8),
    }
    usual_s = sys.getswitchinterval()
    # Nobody is made to give way, so that another thread runs only where the kernel lets it.
    sys.setswitchinterval(60.0)
    try:
        # The machine may be busy: one time is enough, and without it there is none.
        assert any(lets_others_run(calls[part]) for _ in range(50))
    finally:
        sys.setswitchinterval(usual_s)
