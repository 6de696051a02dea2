"""Rows as packed bits, 64 to a word: a set of rows that is cut and counted a word at a time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
RowBits = NDArray[np.uint64]
"""[ceil(row_count / 64)], the first row in the lowest bit. What stands past the last row means nothing."""

_WORD_ROWS: Final = 64
_BYTE_ROWS: Final = 8
# Of the type of rows, so that nothing is converted.
_ONE: Final = np.int64(1)
_PLACE: Final = np.int64(_WORD_ROWS - 1)
_WORD_SHIFT: Final = np.int64(6)


@dataclass(frozen=True, slots=True)
class RowSet:
    """A set of rows of a catalogue of `row_count` rows; `bits` is its own and changes."""

    bits: RowBits
    row_count: int

    def cut(self, bits: RowBits) -> None:
        """Keeps only the rows that are in other bits as well."""
        np.bitwise_and(self.bits, bits, out=self.bits)

    def drop(self, rows: Rows) -> None:
        """Takes rows out."""
        if len(rows):
            self.take(rows)

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Tells for each row whether it is in the set, bool [n]."""
        held: NDArray[np.bool_] = (
            self.bits.view(np.int64)[rows >> _WORD_SHIFT] & (_ONE << (rows & _PLACE))
        ) != 0
        return held

    def take(self, rows: Rows) -> NDArray[np.bool_]:
        """Takes rows out, and tells for each whether it was in the set, bool [n]."""
        words, marks = self.bits.view(np.int64), _ONE << (rows & _PLACE)
        places = rows >> _WORD_SHIFT
        held: NDArray[np.bool_] = (words[places] & marks) != 0
        np.bitwise_and.at(words, places, ~marks)
        return held

    def count(self, row_start: int, row_stop: int) -> int:
        """Counts the rows within [row_start, row_stop)."""
        if row_start >= row_stop:
            return 0
        part = self.bits[row_start // _WORD_ROWS : (row_stop - 1) // _WORD_ROWS + 1]
        found = int(np.bitwise_count(part).sum(dtype=np.int64))
        before = int(part[0]) & ((1 << row_start % _WORD_ROWS) - 1)
        after = int(part[-1]) >> ((row_stop - 1) % _WORD_ROWS + 1)
        return found - before.bit_count() - after.bit_count()

    def to_bytes(self) -> bytes:
        """Returns a bit for each row, [ceil(row_count / 8)]."""
        return self.bits.view(np.uint8)[: -(-self.row_count // _BYTE_ROWS)].tobytes()


def all_rows(row_count: int) -> RowSet:
    """Returns the set of every row."""
    return RowSet(np.full(count_words(row_count), np.iinfo(np.uint64).max, np.uint64), row_count)


def some_rows(rows: Rows, row_count: int) -> RowSet:
    """Returns the set of some rows."""
    bits = np.zeros(count_words(row_count), np.uint64)
    np.bitwise_or.at(bits.view(np.int64), rows >> _WORD_SHIFT, _ONE << (rows & _PLACE))
    return RowSet(bits, row_count)


def pack(marks: NDArray[np.bool_]) -> RowBits:
    """Packs a mark for each row, bool [row_count]."""
    packed = np.packbits(marks, bitorder="little")
    words = np.zeros(count_words(len(marks)), np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    return words


def unpack(bits: RowBits, row_count: int) -> NDArray[np.bool_]:
    """Returns a mark for each row, bool [row_count]."""
    return np.unpackbits(bits.view(np.uint8), count=row_count, bitorder="little").view(np.bool_)


def count_words(row_count: int) -> int:
    """Returns how many words hold so many rows."""
    return -(-row_count // _WORD_ROWS)
