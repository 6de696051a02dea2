"""Rows as packed bits, 64 to a word: a set of rows that is united, cut and counted a word at a time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

RowBits = NDArray[
    np.uint64
]  # [ceil(row_count / 64)], the first row in the lowest bit; no bit past the last row.

WORD_ROWS: Final = 64
_ONE: Final = np.uint64(1)
_PLACE: Final = np.uint64(WORD_ROWS - 1)


def pack(marks: NDArray[np.bool_]) -> RowBits:
    """Packs a mark for each row, bool [row_count]."""
    packed = np.packbits(marks, bitorder="little")
    words = np.zeros(count_words(len(marks)), "<u8")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def unpack(bits: RowBits, row_count: int) -> NDArray[np.bool_]:
    """Returns a mark for each row, bool [row_count]."""
    marks: NDArray[np.bool_] = np.unpackbits(bits.view(np.uint8), count=row_count, bitorder="little").view(
        np.bool_
    )
    return marks


def mark(rows: NDArray[np.int64], row_count: int) -> RowBits:
    """Returns a set of rows."""
    marks = np.zeros(row_count, np.bool_)
    marks[rows] = True
    return pack(marks)


def count_words(row_count: int) -> int:
    """Returns how many words hold so many rows."""
    return -(-row_count // WORD_ROWS)


def every_row(row_count: int) -> RowBits:
    """Returns the set of all rows."""
    bits = np.full(count_words(row_count), np.iinfo(np.uint64).max, np.uint64)
    if row_count % WORD_ROWS:
        bits[-1] = (_ONE << np.uint64(row_count % WORD_ROWS)) - _ONE
    return bits


def holds(bits: RowBits, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tells for each of some rows whether it is in the set, bool [n]."""
    places = rows.view(np.uint64) & _PLACE
    return (bits[rows // WORD_ROWS] >> places & _ONE).astype(np.bool_)


def drop(bits: RowBits, rows: NDArray[np.int64]) -> None:
    """Takes rows out of the set."""
    np.bitwise_and.at(bits, rows // WORD_ROWS, ~(_ONE << (rows.view(np.uint64) & _PLACE)))


def count(bits: RowBits, row_start: int, row_stop: int) -> int:
    """Counts the rows of the set within [row_start, row_stop)."""
    if row_start >= row_stop:
        return 0
    first, last = row_start // WORD_ROWS, (row_stop - 1) // WORD_ROWS
    part = bits[first : last + 1]
    found = int(np.bitwise_count(part).sum(dtype=np.int64))
    before = int(part[0]) & ((1 << row_start % WORD_ROWS) - 1)
    after = int(part[-1]) >> ((row_stop - 1) % WORD_ROWS + 1)
    return found - before.bit_count() - after.bit_count()


def list_rows(bits: RowBits, row_start: int, row_stop: int) -> NDArray[np.int64]:
    """Returns the rows of the set within [row_start, row_stop), ascending."""
    if row_start >= row_stop:
        return np.zeros(0, np.int64)
    first, last = row_start // WORD_ROWS, (row_stop - 1) // WORD_ROWS
    offset = first * WORD_ROWS
    marks = unpack(bits[first : last + 1], row_stop - offset)
    rows: NDArray[np.int64] = np.flatnonzero(marks[row_start - offset :]) + row_start
    return rows
