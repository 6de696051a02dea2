"""The catalogue in a bundle: columns by name, rows as plain mappings, and the order of the rows.

Rows stand in ascending risk: learning content by id, then unrated products by id, then rated products by
effective risk score (unknown last), then id. "Risk score at most L" is then a prefix and a domain is a range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.distinct import encode, keep
from index.errors import BuildInputError
from index.fields import EMBEDDING
from index.product_rows import ProductRows, ask
from index.reference import rank_ids
from suitability.policy import Policy, policy_values
from suitability.ratings import effective_risk_score, is_learning, is_rated
from suitability.records import PRODUCT_FIELDS, RISK_SCORE_MAX, Kind

ID_BYTES_MAX = 128  # The wire contract's limit for ids.

STATED_TIME = "stated_time"
"""An optional column: the instant as of which a row was stated, by which a server knows what is newer."""

_COPIED_TEXTS = frozenset({"title", "title_alternate", "family", "issuer", "scale"})
_SET_FIELDS = frozenset(name for name, field in PRODUCT_FIELDS.items() if field.kind is Kind.TEXTS)
_RISK_FIELDS = ("family", "scale", "level_issuer", "level_distributor", "risk_score", "computed_risk_class")
# Learning content, unrated and rated products: each class of rows lies between multiples of this.
_CLASS = RISK_SCORE_MAX + 2


@dataclass(frozen=True)
class ProductTable:
    """Holds the catalogue: `rows[item_row]` is a read-only mapping without its missing fields."""

    ids: tuple[str, ...]
    rows: ProductRows
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
        return self.rows.column(name)


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
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BuildInputError(f"{name}: expected a Parquet table, got: {error}") from error
    if "id" not in names or not _is_text(table.schema.field("id").type):
        raise BuildInputError(f"{name}: expected a text column 'id', got columns {names[:8]}")
    if len(set(names)) != table.num_columns:
        raise BuildInputError(f"{name}: a column name is repeated in {names}")
    for field in table.schema:
        if not _has_copied_type(field):
            raise BuildInputError(f"{name}: column {field.name!r} is {field.type}; expected text")
    return table


def state_time(table: pa.Table, stated_time: datetime | None, now: datetime) -> pa.Table:
    """Says of every row as of when it was stated; without an instant the table stays as it is.

    Raises:
        BuildInputError: the instant has no zone or is still to come.
    """
    if stated_time is None:
        return table
    if stated_time.utcoffset() is None or stated_time > now:
        raise BuildInputError(f"stated time {stated_time}: expected an instant with a zone, up to {now}")
    column = pa.array([stated_time] * table.num_rows, pa.timestamp("us", tz="UTC"))
    kept = table.drop_columns([STATED_TIME]) if STATED_TIME in table.column_names else table
    return kept.append_column(STATED_TIME, column)


def table_of(table: pa.Table, *, name: str) -> ProductTable:
    """Turns a catalogue into rows.

    Raises:
        BuildInputError: an id is missing, repeated, blank or over ID_BYTES_MAX bytes, or a column holds
            what Python cannot, such as a day after the year 9999.
    """
    converters = {field.name: _converter(field) for field in table.schema}
    for field in table.schema:
        try:
            _require_python_values(table.column(field.name), converters[field.name])
        except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
            raise BuildInputError(f"{name}: column {field.name!r} of {field.type}: {error}") from error
    rows = ProductRows(table, converters)
    return ProductTable(
        ids=_require_ids(rows.column("id"), name), rows=rows, column_names=tuple(table.column_names)
    )


def order_rows(rows: Sequence[Mapping[str, Any]], policy: Policy) -> list[int]:
    """Returns the positions of `rows` in bundle order under a policy. Does not depend on the order given."""
    order: list[int] = np.lexsort((rank_ids(_read_ids(rows)), _find_keys(rows, policy))).tolist()
    return order


def is_ordered(rows: Sequence[Mapping[str, Any]], policy: Policy) -> bool:
    """Tells whether rows stand in bundle order under a policy."""
    keys = _find_keys(rows, policy)
    rising = np.array([first < second for first, second in pairwise(_read_ids(rows))], np.bool_)  # [n - 1]
    return bool(((keys[:-1] < keys[1:]) | ((keys[:-1] == keys[1:]) & rising)).all())


def count_learning(rows: Sequence[Mapping[str, Any]]) -> int:
    """Counts the learning products, which are the first rows of a bundle."""
    return int(np.count_nonzero(ask(rows, is_learning, "family").array(np.bool_)))


def find_tiers(rows: Sequence[Mapping[str, Any]], policy: Policy) -> tuple[int, ...]:
    """Returns for each distinct risk limit of a policy, in ascending order, one past the last row it admits.

    Args:
        rows: the catalogue, in any order; the answer is about bundle order.
        policy: the policy.
    """
    limits = sorted(set(policy_values(policy)["risk_score"]["limit_by_level"].values()))
    keys = np.sort(_find_keys(rows, policy))
    stops: list[int] = np.searchsorted(keys, [2 * _CLASS + limit for limit in limits], side="right").tolist()
    return tuple(stops)


def write_products(table: pa.Table, order: Sequence[int]) -> bytes:
    """Writes a catalogue as Parquet with its rows in the given order.

    Embeddings are left out: item vectors are made of them already, and they outweigh all else that a server
    keeps of a product.
    """
    sink = pa.BufferOutputStream()
    kept = table.drop_columns([EMBEDDING]) if EMBEDDING in table.column_names else table
    ordered = kept.take(pa.array(order, type=pa.int64())).replace_schema_metadata(None)
    pq.write_table(ordered, sink, compression="zstd", store_schema=True)
    return bytes(sink.getvalue())


def _find_keys(rows: Sequence[Mapping[str, Any]], policy: Policy) -> NDArray[np.int64]:
    """Returns for each row a number that is higher the later the row comes, but for its id, [n]."""
    return ask(rows, lambda row: _find_key(row, policy), *_RISK_FIELDS).array(np.int64)


def _find_key(row: Mapping[str, Any], policy: Policy) -> int:
    if is_learning(row):
        return 0
    if not is_rated(row, policy):
        return _CLASS
    risk_score = effective_risk_score(row, policy)
    return 2 * _CLASS + (RISK_SCORE_MAX + 1 if risk_score is None else risk_score)


def _read_ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return rows.column("id") if isinstance(rows, ProductRows) else [str(row["id"]) for row in rows]


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


def _require_python_values(column: pa.ChunkedArray[Any], convert: Callable[[Any], Any]) -> None:
    """Raises what converting every value would raise, without converting those that cannot fail."""
    column.validate(full=True)
    if _is_plain(column.type):
        return
    if pa.types.is_timestamp(column.type) and column.type.unit != "ns":
        # What lies between two instants that Python can hold is one as well.
        pc.min_max(column).as_py()
        return
    for chunk in column.chunks:
        encode(chunk, convert)


def _is_plain(found: pa.DataType) -> bool:
    """Tells whether Python can hold every sound value of a type."""
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        return not pa.types.is_nested(found.value_type) and _is_plain(found.value_type)
    return (_is_text(found) or pa.types.is_integer(found) or pa.types.is_floating(found)) or (
        pa.types.is_boolean(found) or pa.types.is_null(found)
    )


def _converter(field: pa.Field[Any]) -> Callable[[Any], Any]:
    if pa.types.is_map(field.type):
        return lambda pairs: MappingProxyType(dict(pairs))
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        return frozenset if field.name in _SET_FIELDS else tuple
    return keep


def _require_ids(values: list[Any], name: str) -> tuple[str, ...]:
    distinct = len(set(values)) == len(values)
    for position, value in enumerate(values):
        if not isinstance(value, str) or not value.strip() or len(value.encode()) > ID_BYTES_MAX:
            raise BuildInputError(
                f"{name}: id at row {position} is {value!r:.80}; expected a text of 1 to {ID_BYTES_MAX} bytes"
            )
    if not distinct:
        position, value = _find_repeated(values)
        raise BuildInputError(f"{name}: id {value!r} at row {position} is there twice; expected distinct ids")
    return tuple(values)


def _find_repeated(values: list[str]) -> tuple[int, str]:
    seen: set[str] = set()
    for position, value in enumerate(values):
        if value in seen:
            return position, value
        seen.add(value)
    raise AssertionError("every value is there once")
