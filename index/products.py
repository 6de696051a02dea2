"""The catalogue in a bundle: columns by name, rows as plain mappings, and the order of the rows.

Rows stand in ascending risk: learning content by id, then unrated products by id, then rated products by
effective risk score (unknown last), then id. "Risk score at most L" is then a prefix and a domain is a range.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import BuildInputError
from suitability.policy import Policy, policy_values
from suitability.ratings import effective_risk_score, is_learning, is_rated
from suitability.records import PRODUCT_FIELDS, RISK_SCORE_MAX, Kind

ID_BYTES_MAX = 128  # The wire contract's limit for ids.

_COPIED_TEXTS = frozenset({"title", "title_alternate", "family", "issuer", "scale"})
_SET_FIELDS = frozenset(name for name, field in PRODUCT_FIELDS.items() if field.kind is Kind.TEXTS)


@dataclass(frozen=True)
class ProductTable:
    """Holds the catalogue: `rows[item_row]` is a read-only mapping without its missing fields."""

    ids: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    column_names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Returns the number of products."""
        return len(self.ids)

    def row(self, item_row: int) -> Mapping[str, Any]:
        """Returns one product as `suitability` expects it: aware instants, dates, sets, maps."""
        return self.rows[item_row]

    def column(self, name: str) -> list[Any]:
        """Returns one field of every product in row order, None where it is missing.

        Raises:
            KeyError: the catalogue has no such column.
        """
        if name not in self.column_names:
            raise KeyError(name)
        return [row.get(name) for row in self.rows]


def read_products(source: pa.BufferReader | str, *, name: str) -> pa.Table:
    """Reads a catalogue without judging it.

    Args:
        source: bytes to read, or a path.
        name: what to call it in a message.

    Raises:
        BuildInputError: it is not Parquet, has no text column `id`, or answers would copy what is no text.
    """
    try:
        # One thread: a second pool would compete with the server's compute thread.
        table = pq.read_table(source, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BuildInputError(f"{name}: expected a Parquet table, got: {error}") from error
    if "id" not in table.column_names or not _is_text(table.schema.field("id").type):
        raise BuildInputError(f"{name}: expected a text column 'id', got columns {table.column_names[:8]}")
    if len(set(table.column_names)) != table.num_columns:
        raise BuildInputError(f"{name}: a column name is repeated in {table.column_names}")
    for field in table.schema:
        if not _has_copied_type(field):
            raise BuildInputError(f"{name}: column {field.name!r} is {field.type}; expected text")
    return table


def table_of(table: pa.Table, *, name: str) -> ProductTable:
    """Turns a catalogue into rows.

    Raises:
        BuildInputError: an id is missing, repeated, blank or over ID_BYTES_MAX bytes, or a column holds
            what Python cannot, such as a day after the year 9999.
    """
    columns = {field.name: _read_column(table, field, name) for field in table.schema}
    ids = _require_ids(columns["id"], name)
    names = tuple(columns)
    rows = tuple(
        MappingProxyType({key: value for key, value in zip(names, values, strict=True) if value is not None})
        for values in zip(*columns.values(), strict=True)
    )
    return ProductTable(ids=ids, rows=rows, column_names=names)


def order_rows(rows: Sequence[Mapping[str, Any]], policy: Policy) -> list[int]:
    """Returns the positions of `rows` in bundle order under a policy. Does not depend on the order given."""
    return sorted(range(len(rows)), key=lambda position: _row_key(rows[position], policy))


def count_learning(rows: Sequence[Mapping[str, Any]]) -> int:
    """Counts the learning products, which are the first rows of a bundle."""
    return sum(is_learning(row) for row in rows)


def find_tiers(rows: Sequence[Mapping[str, Any]], policy: Policy) -> tuple[int, ...]:
    """Returns for each distinct risk limit of a policy, in ascending order, one past the last row it admits.

    Args:
        rows: the catalogue in bundle order under that policy.
        policy: the policy.
    """
    limits = sorted(set(policy_values(policy)["risk_score"]["limit_by_level"].values()))
    keys = [_row_key(row, policy)[:2] for row in rows]
    return tuple(bisect_right(keys, (2, limit)) for limit in limits)


def write_products(table: pa.Table, order: Sequence[int]) -> bytes:
    """Writes a catalogue as Parquet with its rows in the given order."""
    sink = pa.BufferOutputStream()
    ordered = table.take(pa.array(order, type=pa.int64())).replace_schema_metadata(None)
    pq.write_table(ordered, sink, compression="zstd", store_schema=True)
    return bytes(sink.getvalue())


def _row_key(row: Mapping[str, Any], policy: Policy) -> tuple[int, int, bytes]:
    product_id = str(row["id"]).encode("utf-8")
    if is_learning(row):
        return 0, 0, product_id
    if not is_rated(row, policy):
        return 1, 0, product_id
    risk_score = effective_risk_score(row, policy)
    return 2, RISK_SCORE_MAX + 1 if risk_score is None else risk_score, product_id


def _has_copied_type(field: pa.Field[Any]) -> bool:
    """Tells whether a column that answers copy holds text; what the rules alone read, they judge."""
    found: Any = field.type
    if pa.types.is_null(found):
        return True
    if field.name == "assumed":
        listed = pa.types.is_list(found) or pa.types.is_large_list(found)
        return listed and (_is_text(found.value_type) or pa.types.is_null(found.value_type))
    return field.name not in _COPIED_TEXTS or _is_text(found)


def _is_text(found: pa.DataType) -> bool:
    return pa.types.is_string(found) or pa.types.is_large_string(found)


def _read_column(table: pa.Table, field: pa.Field[Any], name: str) -> list[Any]:
    convert = _converter(field)
    try:
        values = table.column(field.name).to_pylist()
        return [None if value is None else convert(value) for value in values]
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise BuildInputError(f"{name}: column {field.name!r} of {field.type}: {error}") from error


def _converter(field: pa.Field[Any]) -> Callable[[Any], Any]:
    if pa.types.is_map(field.type):
        return lambda pairs: MappingProxyType(dict(pairs))
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        return frozenset if field.name in _SET_FIELDS else tuple
    return lambda value: value


def _require_ids(values: list[Any], name: str) -> tuple[str, ...]:
    seen: set[str] = set()
    for position, value in enumerate(values):
        if not isinstance(value, str) or not value.strip() or len(value.encode()) > ID_BYTES_MAX:
            raise BuildInputError(
                f"{name}: id at row {position} is {value!r:.80}; expected a text of 1 to {ID_BYTES_MAX} bytes"
            )
        if value in seen:
            raise BuildInputError(
                f"{name}: id {value!r} at row {position} is there twice; expected distinct ids"
            )
        seen.add(value)
    return tuple(values)
