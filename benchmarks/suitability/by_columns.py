"""Products as a bundle stores them, by columns: what a column cannot hold is something else that is wrong."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from index.product_rows import ProductRows
from index.products import table_of
from suitability.records import PRODUCT_FIELDS, Kind

_TYPES: Final[Mapping[Kind, pa.DataType]] = {
    Kind.INTEGER: pa.int64(),
    Kind.TEXT: pa.string(),
    Kind.FLAG: pa.bool_(),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.TEXTS: pa.list_(pa.string()),
}
_WRONG: Final[Mapping[Kind, Any]] = {
    Kind.INTEGER: -7,
    Kind.TEXT: " ",
    Kind.FLAG: None,
    Kind.INSTANT: datetime(1, 1, 1, tzinfo=UTC),
    Kind.TEXTS: ["app", ""],
}


def store_by_columns(products: Sequence[Mapping[str, Any]]) -> ProductRows:
    """Returns products by columns; their ids are x0, x1 and so on."""
    columns = {
        name: pa.array([_fit(product.get(name), field.kind) for product in products], _TYPES[field.kind])
        for name, field in PRODUCT_FIELDS.items()
    }
    columns["id"] = pa.array([f"x{row}" for row in range(len(products))], pa.string())
    assumed = [["title"] if row % 3 else product.get("assumed") for row, product in enumerate(products)]
    columns["assumed"] = pa.array(assumed, pa.list_(pa.string()))
    return table_of(pa.table(columns), name="battery").rows


def _fit(value: Any, kind: Kind) -> Any:
    plain = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    try:
        return pa.array([plain], _TYPES[kind])[0].as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _WRONG[kind]
