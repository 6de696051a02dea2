"""The products of a catalogue as plain mappings, made when they are asked for and not kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.distinct import Distinct, apart, combine, encode, find_firsts

_BATCH_ROWS = 1024  # Rows made at a time where all of them are asked for.
_SHORT_BYTES_MAX = 2**31 - 1  # What one array of short texts can hold.

Row = Mapping[str, Any]
Convert = Callable[[Any], Any]


class ProductRows(Sequence[Row]):
    """Holds a catalogue by columns; `rows[item_row]` is a read-only mapping without its missing fields."""

    def __init__(self, table: pa.Table, converters: Mapping[str, Convert]) -> None:
        """Keeps the columns.

        Args:
            table: the catalogue; every value of it is one that Python can hold.
            converters: by column, what makes of a value what a row holds.
        """
        self._count = table.num_rows
        self._columns = {name: _in_one_piece(table.column(name)) for name in table.column_names}
        self._converters = converters

    def __len__(self) -> int:
        """Returns the number of products."""
        return self._count

    @overload
    def __getitem__(self, item_row: int) -> Row: ...

    @overload
    def __getitem__(self, item_row: slice) -> Sequence[Row]: ...

    def __getitem__(self, item_row: int | slice) -> Row | Sequence[Row]:
        """Returns one product as `suitability` expects it: aware instants, dates, sets, maps."""
        if isinstance(item_row, slice):
            return [self[row] for row in range(*item_row.indices(self._count))]
        row = range(self._count)[item_row]
        return next(self._make(row, 1))

    def __iter__(self) -> Iterator[Row]:
        """Yields every product in row order."""
        for start in range(0, self._count, _BATCH_ROWS):
            yield from self._make(start, _BATCH_ROWS)

    def read(self, item_row: int, name: str) -> Any:
        """Returns one field of one product, None where it is missing."""
        if name not in self._columns:
            return None
        value = self._columns[name][item_row].as_py()
        return None if value is None else self._converters[name](value)

    def column(self, name: str) -> list[Any]:
        """Returns one field of every product in row order, None where it is missing.

        Raises:
            KeyError: the catalogue has no such column.
        """
        convert = self._converters[name]
        values = self._columns[name].to_pylist()
        return [None if value is None else convert(value) for value in values]

    def to_arrow(self) -> pa.Table:
        """Returns the catalogue as a table."""
        return pa.table(self._columns)

    def distinct(self, name: str) -> Distinct:
        """Returns the distinct values of a field, None where it is missing."""
        if name not in self._columns:
            return Distinct([None], np.zeros(self._count, np.int64))
        return encode(self._columns[name], self._converters[name])

    def find_rows(self, ids: Collection[str]) -> NDArray[np.int64]:
        """Returns the rows of those products that are there, ascending."""
        # No product has an id that is not Unicode, and Arrow cannot hold one.
        sound = [value for value in ids if value.encode(errors="ignore").decode() == value]
        found = pc.is_in(self._columns["id"], value_set=pa.array(sound, self._columns["id"].type))
        return np.flatnonzero(found.to_numpy(zero_copy_only=False))

    def _make(self, start: int, count: int) -> Iterator[Row]:
        columns = []
        for name, column in self._columns.items():
            convert = self._converters[name]
            values = column.slice(start, count).to_pylist()
            columns.append([None if value is None else convert(value) for value in values])
        for row in zip(*columns, strict=True):
            pairs = zip(self._columns, row, strict=True)
            yield MappingProxyType({name: value for name, value in pairs if value is not None})


def ask(
    products: Sequence[object],
    function: Callable[[Any], Any],
    *names: str,
    alike: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Distinct:
    """Returns what a function says of every product.

    Of a catalogue by columns it is asked once for each distinct combination of the fields that it reads; of
    any other once for each product.

    Args:
        products: the catalogue.
        function: what to ask. It reads no other fields than those named.
        names: the fields.
        alike: by field, a key; the function makes no difference between values that have one key.
    """
    if not isinstance(products, ProductRows):
        return apart([function(product) for product in products])
    merges = alike or {}
    columns = [
        products.distinct(name).merge(merges[name]) if name in merges else products.distinct(name)
        for name in names
    ]
    codes = combine(columns, len(products))
    firsts = find_firsts(codes)
    fields = [[column.values[code] for code in column.codes[firsts].tolist()] for column in columns]
    combinations = (dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True))
    return Distinct([function(product) for product in combinations], codes)


def _in_one_piece(column: Any) -> Any:
    """Returns a column as one array, in which a row is found without a search."""
    if pa.types.is_string(column.type) and column.nbytes > _SHORT_BYTES_MAX:
        column = column.cast(pa.large_string())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
