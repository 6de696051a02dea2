"""Columns as their distinct values: what is asked of a value is asked once, however many products hold it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ITEM_COUNT_MAX = 64
"""A longer list is not compared with others: it stands for itself."""

_CODES_MAX = 2**62  # Codes of several columns in one number stay below it.

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distinct:
    """The values of a column, and which of them each row has. Equal values may stand there more than once."""

    values: Sequence[Any]
    codes: Codes  # [n]

    def map(self, function: Callable[[Any], Any]) -> Distinct:
        """Returns what a function makes of each row's value."""
        return Distinct([function(value) for value in self.values], self.codes)

    def array(self, dtype: Any) -> NDArray[Any]:
        """Returns each row's value, [n]."""
        found: NDArray[Any] = np.array(self.values, dtype)[self.codes]
        return found

    def objects(self) -> NDArray[np.object_]:
        """Returns each row's value as the object that it is, [n]; rows of one value share it."""
        values = np.empty(len(self.values), np.object_)
        for code, value in enumerate(self.values):
            values[code] = value
        return values[self.codes]

    def merge(self, key: Callable[[Any], Hashable]) -> Distinct:
        """Returns the first of the values that have one key in place of all of them."""
        number_of: dict[Hashable, int] = {}
        numbers = [number_of.setdefault(key(value), len(number_of)) for value in self.values]
        firsts: dict[int, Any] = {}
        for number, value in zip(numbers, self.values, strict=True):
            firsts.setdefault(number, value)
        return Distinct(list(firsts.values()), np.array(numbers, np.int64)[self.codes])


def apart(values: Sequence[Any]) -> Distinct:
    """Returns a column in which no two rows are known to have the same value."""
    return Distinct(values, np.arange(len(values), dtype=np.int64))


def encode(column: Any, convert: Callable[[Any], Any]) -> Distinct:
    """Finds the distinct values of an Arrow column.

    Args:
        column: pa.Array; its own type keeps values apart that Python calls equal, such as 1 and True.
        convert: makes of a value, which is not None, what a row holds.

    Raises:
        pa.ArrowException, ValueError, OverflowError, TypeError: a value is nothing that Python can hold.
    """
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        codes = _encode_lists(column)
    elif pa.types.is_nested(column.type):
        codes = None
    else:
        codes = _encode_plain(column)
    if codes is None:
        found = apart(column.to_pylist())
    else:
        firsts = find_firsts(codes)
        found = Distinct(column.take(pa.array(firsts)).to_pylist(), codes)
    return found if convert is keep else found.map(lambda value: None if value is None else convert(value))


def keep(value: Any) -> Any:
    """Returns a value that a row holds as Arrow gives it."""
    return value


def combine(columns: Sequence[Distinct], row_count: int) -> Codes:
    """Returns one code for each distinct combination of the columns' codes, numbered as they first occur."""
    codes, size = np.zeros(row_count, np.int64), 1
    for column in columns:
        if size * len(column.values) >= _CODES_MAX:
            codes = _renumber(codes)
            size = row_count
        codes = codes * len(column.values) + column.codes
        size *= len(column.values)
    return _renumber(codes)


def find_firsts(codes: Codes) -> Codes:
    """Returns the first row with each code; codes are numbered from 0 without a gap."""
    firsts = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # The last one written stays.
    return firsts


def _encode_plain(column: Any) -> Codes | None:
    try:
        encoded = column.dictionary_encode(null_encoding="encode")
    except pa.ArrowNotImplementedError:
        return None
    assert isinstance(encoded, pa.DictionaryArray)
    codes: Codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _encode_lists(column: Any) -> Codes | None:
    """Returns one code for each distinct list, its order included; None where its items are lists again."""
    items = column.flatten()
    if isinstance(items, pa.DictionaryArray):
        items = items.dictionary_decode()
    if pa.types.is_nested(items.type) or (item_codes := _encode_plain(items)) is None:
        return None
    lengths = column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
    base = int(item_codes.max(initial=-1)) + 1
    codes = _renumber(lengths)
    for place in range(min(int(lengths.max(initial=0)), ITEM_COUNT_MAX)):
        rows = np.flatnonzero(lengths > place)
        codes = codes * (base + 1)
        codes[rows] += 1 + item_codes[starts[rows] + place]
        codes = _renumber(codes)
    long = np.flatnonzero(lengths > ITEM_COUNT_MAX)
    codes[long] = len(codes) + long
    return _renumber(codes)


def _renumber(codes: Codes) -> Codes:
    encoded = pa.array(codes).dictionary_encode()
    assert isinstance(encoded, pa.DictionaryArray)
    numbers: Codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
