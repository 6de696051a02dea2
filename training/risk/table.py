"""The table that risk models learn from: borrowers, whether each defaulted, and what was known before.

A directory holds `borrowers.parquet` (id, defaulted, and a column for each field), `fields.json`, which
describes the fields, `source.json` and `quality.json`. docs/risk.md documents it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from index.risk_bins import Value
from training.dataset import DataSource, read_source, source_to_json
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.risk.directory import write_directory

TEST_DIVISOR: Final = 5
BORROWERS: Final = "borrowers.parquet"
FIELDS: Final = "fields.json"
_ARROW_TYPES: Final = {"number": pa.float64(), "category": pa.string()}

Rows = NDArray[np.int64]


class RiskField(BaseModel):
    """One field of a borrower.

    Attributes:
        name: column of the table, and field of the record that is scored.
        kind: number (float64) or category (text).
        direction: 1 where more of a number never lowers the risk, -1 where it never raises it, 0 where
            either may be. Scorecard and boosting are bound to it.
        protected: whether the law protects it; such a field is no input unless asked for.
        reason: the reason code under which it is told.
        text: meaning and unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=128)
    kind: Literal["number", "category"]
    direction: Literal[-1, 0, 1] = 0
    protected: bool = False
    reason: str = Field(pattern="^RSK_[A-Z_]{1,60}$")
    text: str = ""


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1]
    split: str = Field(min_length=1)
    reason_texts: dict[str, tuple[str, str]] = {}
    fields: tuple[RiskField, ...] = Field(min_length=1, max_length=10_000)


@dataclass(frozen=True)
class BorrowerTable:
    """Borrowers with known outcomes.

    Attributes:
        source: where they come from.
        split: decides with the id who is held out for the test.
        fields: what is known of them.
        ids: distinct.
        defaulted: bool [borrowers].
        columns: by field, a value for each borrower; None where it is missing.
        reason_texts: by reason code what a borrower may be told, in English and Chinese.
    """

    source: DataSource
    split: str
    fields: tuple[RiskField, ...]
    ids: tuple[str, ...]
    defaulted: NDArray[np.bool_]
    columns: Mapping[str, Sequence[Value]]
    reason_texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def find_held_out(self) -> NDArray[np.bool_]:
        """Says who is held out: sha256("<split>:<id>") mod 5 == 0, bool [borrowers]."""
        texts = (f"{self.split}:{borrower}".encode() for borrower in self.ids)
        numbers = (int.from_bytes(hashlib.sha256(text).digest(), "big") for text in texts)
        return np.array([number % TEST_DIVISOR == 0 for number in numbers], np.bool_)

    def take(self, rows: Rows, fields: Sequence[RiskField]) -> "Sample":
        """Takes some borrowers with some fields."""
        columns = {field.name: [self.columns[field.name][row] for row in rows] for field in fields}
        return Sample(tuple(fields), columns, self.defaulted[rows])


@dataclass(frozen=True)
class Sample:
    """Some borrowers with the fields that a model may read."""

    fields: tuple[RiskField, ...]
    columns: Mapping[str, Sequence[Value]]
    defaulted: NDArray[np.bool_]  # [borrowers]

    def take(self, rows: Rows) -> "Sample":
        """Takes some of the borrowers."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Sample(self.fields, columns, self.defaulted[rows])


@dataclass(frozen=True)
class TableQuality:
    """What an importer found: rows read and kept, and the row numbers set aside, by reason."""

    rows_read: int
    rows_kept: int
    set_aside: Mapping[str, Sequence[int]]


def write_table(table: BorrowerTable, quality: TableQuality, out: Path, *, force: bool) -> None:
    """Writes the directory, whole or not at all.

    Raises:
        OutputError: `out` exists and `force` is not set, or it cannot be written.
    """
    arrays: dict[str, Any] = {
        "id": pa.array(table.ids, pa.string()),
        "defaulted": pa.array(table.defaulted.tolist(), pa.bool_()),
    }
    for column in table.fields:
        arrays[column.name] = pa.array(table.columns[column.name], _ARROW_TYPES[column.kind])
    description = _Description(
        format_version=1, split=table.split, reason_texts=dict(table.reason_texts), fields=table.fields
    )

    def write_files(directory: Path) -> None:
        pyarrow.parquet.write_table(pa.table(arrays), directory / BORROWERS)
        texts = {
            FIELDS: description.model_dump_json(indent=1) + "\n",
            "source.json": source_to_json(table.source),
            "quality.json": json.dumps(asdict(quality), indent=1) + "\n",
        }
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")

    write_directory(out, write_files, force=force)


def read_borrowers(data: Path) -> BorrowerTable:
    """Reads the directory.

    Raises:
        MissingFileError: a file is missing.
        SchemaError: a file is not what it should be; the message names the column or key.
        EmptyDataError: there are no borrowers, or all of them ended alike.
    """
    description = _read_description(data / FIELDS)
    found = _read_parquet(data / BORROWERS)
    kinds = {field.name: _ARROW_TYPES[field.kind] for field in description.fields}
    expected = {"id": pa.string(), "defaulted": pa.bool_(), **kinds}
    if len(kinds) != len(description.fields) or len(expected) != len(kinds) + 2:
        raise SchemaError(f"{FIELDS}: a field's name is repeated, or is id or defaulted")
    types = dict(zip(found.schema.names, found.schema.types, strict=True))
    for name in [*expected, *types]:
        if types.get(name) != expected.get(name):
            raise SchemaError(
                f"{BORROWERS}: column {name!r}: expected {expected.get(name)}, got {types.get(name)}"
            )
    if found.column("id").null_count or found.column("defaulted").null_count:
        raise SchemaError(f"{BORROWERS}: columns 'id' and 'defaulted': expected a value in every row")
    ids: Any = found.column("id").to_pylist()
    if len(set(ids)) != len(ids):
        raise SchemaError(f"{BORROWERS}: column 'id': expected distinct ids, found repeated ones")
    defaulted = np.array(found.column("defaulted").to_pylist(), np.bool_)
    if not 0 < defaulted.sum() < len(defaulted):
        raise EmptyDataError(f"{BORROWERS}: expected borrowers who defaulted and borrowers who did not")
    columns: dict[str, Any] = {name: found.column(name).to_pylist() for name in kinds}
    for name, values in columns.items():
        if kinds[name] == pa.float64() and any(value is not None and np.isinf(value) for value in values):
            raise SchemaError(f"{BORROWERS}: column {name!r}: expected finite numbers, found an infinite one")
    return BorrowerTable(
        source=read_source(data),
        split=description.split,
        fields=description.fields,
        ids=tuple(ids),
        defaulted=defaulted,
        columns=columns,
        reason_texts=description.reason_texts,
    )


def _read_description(path: Path) -> _Description:
    if not path.is_file():
        raise MissingFileError(f"expected a description of the fields at {path}, found none")
    try:
        return _Description.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SchemaError(f"{path.name}: {place}: {first['msg']}") from error


def _read_parquet(path: Path) -> pa.Table:
    if not path.is_file():
        raise MissingFileError(f"expected a table of borrowers at {path}, found none")
    try:
        return pyarrow.parquet.read_table(path, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path.name}: expected a Parquet file: {error}") from error
