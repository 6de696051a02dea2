"""Turns a catalogue into records; their embeddings stay numbers of four bytes."""

from typing import Any

import numpy as np
import pyarrow as pa

from index.fields import EMBEDDING, Record


def list_products(table: pa.Table) -> tuple[dict[str, Any], ...]:
    """Lists the products of a table of the products' schema, each embedding float32 [width]."""
    if EMBEDDING not in table.column_names:
        return tuple(table.to_pylist())
    column: Any = table[EMBEDDING].combine_chunks()
    records: list[dict[str, Any]] = table.drop_columns([EMBEDDING]).to_pylist()
    # A number that is missing becomes NaN, which fitting refuses by name.
    values = column.values.to_numpy(zero_copy_only=False).astype(np.float32)
    offset = column.offsets.to_numpy()
    for row, (record, known) in enumerate(zip(records, column.is_valid().to_pylist(), strict=True)):
        record[EMBEDDING] = values[offset[row] : offset[row + 1]] if known else None
    return tuple(records)


def without_embedding(products: tuple[Record, ...]) -> tuple[Record, ...]:
    """Returns the records without their embeddings; the same ones where they have none."""
    if not products or EMBEDDING not in products[0]:
        return products
    return tuple({name: value for name, value in each.items() if name != EMBEDDING} for each in products)
