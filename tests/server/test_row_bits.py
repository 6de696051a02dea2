"""Packed rows say what a mark for each row says, whatever the number of rows."""

import numpy as np
import pytest

from server.row_bits import RowSet, all_rows, count_words, pack, some_rows, unpack

SIZES = (0, 1, 63, 64, 65, 127, 128, 1000)


def draw(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < 0.4


@pytest.mark.parametrize("size", SIZES)
def test_packing_keeps_every_mark_and_sets_none_past_the_last_row(size: int) -> None:
    marks = draw(size)
    bits = pack(marks)
    assert bits.dtype == np.uint64
    assert len(bits) == count_words(size)
    assert unpack(bits, size).tolist() == marks.tolist()
    assert int(np.bitwise_count(bits).sum()) == marks.sum()
    assert (some_rows(np.flatnonzero(marks), size).bits == bits).all()
    assert unpack(all_rows(size).bits, size).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_bytes_are_those_that_numpy_packs(size: int) -> None:
    marks = draw(size)
    assert RowSet(pack(marks), size).to_bytes() == np.packbits(marks, bitorder="little").tobytes()


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_counted_within_any_range(size: int) -> None:
    marks = draw(size)
    # A bit past the last row counts for nothing.
    rows = RowSet(pack(np.r_[marks, np.ones(-size % 64, np.bool_)]), size)
    every = all_rows(size)
    places = sorted({0, 1, 62, 63, 64, 65, 128, size // 2, size - 1, size} & set(range(size + 1)))
    for start in places:
        for stop in places:
            assert rows.count(start, stop) == marks[start : max(start, stop)].sum()
            assert every.count(start, stop) == max(stop - start, 0)


@pytest.mark.parametrize("size", SIZES[1:])
def test_rows_are_asked_for_dropped_and_cut(size: int) -> None:
    marks, others = draw(size), draw(size, 2)
    rows = RowSet(pack(marks), size)
    numbers = np.random.default_rng(1).integers(0, size, 90)  # Some of them twice.
    assert rows.take(numbers).tolist() == marks[numbers].tolist()
    marks[numbers] = False
    marks[:1] = False
    rows.drop(np.zeros(1, np.int64))
    assert unpack(rows.bits, size).tolist() == marks.tolist()
    rows.drop(np.zeros(0, np.int64))
    rows.cut(pack(others))
    assert unpack(rows.bits, size).tolist() == (marks & others).tolist()
    assert rows.count(0, size) == (marks & others).sum()
