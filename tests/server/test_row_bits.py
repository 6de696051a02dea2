"""Packed rows say what a mark for each row says, whatever the number of rows."""

import numpy as np
import pytest

from server import row_bits

SIZES = (0, 1, 63, 64, 65, 127, 128, 1000)


def draw(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < 0.4


@pytest.mark.parametrize("size", SIZES)
def test_packing_keeps_every_mark_and_sets_none_past_the_last_row(size: int) -> None:
    marks = draw(size)
    bits = row_bits.pack(marks)
    assert bits.dtype == np.uint64
    assert len(bits) == row_bits.count_words(size)
    assert row_bits.unpack(bits, size).tolist() == marks.tolist()
    assert int(np.bitwise_count(bits).sum()) == marks.sum()
    assert (row_bits.mark(np.flatnonzero(marks), size) == bits).all()
    assert (row_bits.every_row(size) == row_bits.pack(np.ones(size, np.bool_))).all()


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_counted_within_any_range(size: int) -> None:
    marks = draw(size)
    bits = row_bits.pack(marks)
    places = sorted({0, 1, 62, 63, 64, 65, 128, size // 2, size - 1, size} & set(range(size + 1)))
    for start in places:
        for stop in places:
            assert row_bits.count(bits, start, stop) == marks[start : max(start, stop)].sum()


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_listed_within_any_range(size: int) -> None:
    marks = draw(size)
    bits = row_bits.pack(marks)
    for start, stop in ((0, size), (size // 3, size), (size // 3, 2 * size // 3), (size, size)):
        expected = [row for row in range(start, stop) if marks[row]]
        assert row_bits.list_rows(bits, start, stop).tolist() == expected


@pytest.mark.parametrize("size", SIZES[1:])
def test_rows_are_asked_for_and_dropped_by_number(size: int) -> None:
    marks = draw(size)
    bits = row_bits.pack(marks)
    rows = np.random.default_rng(1).integers(0, size, 90)  # Some of them twice.
    assert row_bits.holds(bits, rows).tolist() == marks[rows].tolist()
    row_bits.drop(bits, rows)
    marks[rows] = False
    assert row_bits.unpack(bits, size).tolist() == marks.tolist()
    row_bits.drop(bits, np.zeros(0, np.int64))
    assert row_bits.count(bits, 0, size) == marks.sum()
