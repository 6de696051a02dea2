"""Reads what an update brings: new and changed products checked row by row, and ids to take out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.errors import BuildInputError
from index.products import STATED_TIME, ProductTable, read_products, state_time, table_of
from suitability.records import PRODUCT_FIELDS, Field, Kind, read

_CONTENT_FIELDS: Final = (
    *(Field(name, Kind.TEXT) for name in ("title", "title_alternate", "description", "category")),
    Field("price_minor", Kind.INTEGER),
    Field("tags", Kind.TEXTS),
)
_CHECKED_FIELDS: Final = (*PRODUCT_FIELDS.values(), *_CONTENT_FIELDS)


@dataclass(frozen=True)
class Problem:
    """One bad value: the row (1 is the first row of data), the product, the field, and what is wrong."""

    row: int
    product_id: str
    field: str
    problem: str


@dataclass(frozen=True)
class Delta:
    """New and changed products: as a table in the bundle's columns, and as rows; bad rows apart."""

    table: pa.Table
    ids: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    problems: tuple[Problem, ...]


def read_delta(
    path: Path | None, former: ProductTable, *, stated_time: datetime | None, now: datetime
) -> Delta:
    """Reads a file of whole rows.

    Args:
        path: Parquet with every column that the bundle's catalogue has; None for no product.
        former: the bundle's catalogue.
        stated_time: the instant as of which the file says what it says; None where that is not known.
        now: the instant of the update, which no row can be stated after.

    Raises:
        BuildInputError: the file is missing, a column is missing or of another type, or ids are wrong; the
            message names the column and the row.
    """
    before = former.rows.to_arrow()
    if path is None:
        return Delta(before.slice(0, 0), (), (), ())
    if not path.is_file():
        raise BuildInputError(f"{path.name}: expected a file at {path}, found none")
    given = state_time(read_products(str(path), name=path.name), stated_time, now)
    table = _conform(given, before.schema, path.name)
    found = table_of(table, name=path.name)
    problems = tuple(_find_problems(found.rows))
    bad = {problem.row - 1 for problem in problems}
    good = [row for row in range(found.count) if row not in bad]
    return Delta(
        table.take(np.array(good, np.int64)),
        tuple(found.ids[row] for row in good),
        [found.row(row) for row in good],
        problems,
    )


def read_removed(path: Path | None, known: Sequence[str]) -> frozenset[str]:
    """Reads ids to take out, one on a line.

    Raises:
        BuildInputError: the file is missing, or the bundle does not have a product; the message names the
            line.
    """
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BuildInputError(f"{path.name}: expected a text file of ids: {error}") from error
    there = frozenset(known)
    for number, line in enumerate(lines, start=1):
        if line.strip() and line.strip() not in there:
            raise BuildInputError(
                f"{path.name}: line {number}: the bundle has no product {line.strip()!r:.80}"
            )
    return frozenset(line.strip() for line in lines if line.strip())


def join_catalogue(
    former: ProductTable, delta: Delta, removed: frozenset[str]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Returns the whole catalogue, the kept rows first and then the delta's, and which rows were kept.

    A known product whose new row was set aside is not kept: what is known of it is out of date.

    Raises:
        BuildInputError: a product is both given and removed.
    """
    both = sorted(removed & {*delta.ids, *(problem.product_id for problem in delta.problems)})
    if both:
        raise BuildInputError(f"products: {both[0]!r} is both given and removed; expected one of the two")
    left_out = removed.union(delta.ids, (problem.product_id for problem in delta.problems))
    kept = np.array([row for row, name in enumerate(former.ids) if name not in left_out], np.int64)
    rows = former.rows.to_arrow().take(kept)
    return pa.concat_tables([rows, delta.table], promote_options="permissive"), kept


def _conform(given: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Casts each column to the type that the bundle has it in; columns that only the file has stay."""
    missing = sorted(set(schema.names) - set(given.column_names) - {STATED_TIME})
    if missing:
        raise BuildInputError(
            f"{name}: lacks the columns {missing}, which the bundle's catalogue has; expected whole rows"
        )
    columns = {}
    for column_name in given.column_names:
        column = given.column(column_name)
        wanted = schema.field(column_name).type if column_name in schema.names else column.type
        columns[column_name] = (
            column if pa.types.is_null(wanted) else _cast(column, wanted, column_name, name)
        )
    return pa.table(columns)


def _cast(column: pa.ChunkedArray[Any], wanted: pa.DataType, field: str, name: str) -> Any:
    try:
        return column.cast(wanted)
    except pa.ArrowException:
        for row in range(len(column)):
            try:
                column.slice(row, 1).cast(wanted)
            except pa.ArrowException as error:
                raise BuildInputError(
                    f"{name}: row {row + 1}: {field} is {column.type}; expected {wanted}: {error}"
                ) from error
        raise


def _find_problems(rows: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yields every value that is there and that no reader would accept, which would otherwise be missing."""
    for number, row in enumerate(rows, start=1):
        for field in _CHECKED_FIELDS:
            if field.name in row and read(row, field) is None:
                value = row[field.name]
                yield Problem(number, row["id"], field.name, f"{value!r:.80}; expected {_describe(field)}")


def _describe(field: Field) -> str:
    if field.choices is not None:
        return f"one of {', '.join(sorted(field.choices))}"
    if field.pattern is not None:
        return f"{field.kind.value}, each {field.pattern.pattern}"
    return (
        f"{field.kind.value} from {field.low} to {field.high}"
        if field.kind is Kind.INTEGER
        else field.kind.value
    )
