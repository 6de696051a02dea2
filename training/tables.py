"""Reads an input table from CSV or Parquet into its Arrow schema, keeping what could not be read as faults.

CSV: UTF-8, one header row, commas, double quotes. An empty cell is missing. A list is written `a|b`, a map
`FUND=2|WEALTH=1`, and `[]` is a list or map that is known to be empty. Flags are true or false, dates
YYYY-MM-DD, instants RFC 3339 with a zone; a vector is numbers parted by `|`. Parquet: columns of the
documented type (integers and floats of any width, instants with a zone). A file that is not the table it
should be is a SchemaError; a cell that cannot be read is a Fault, for the checks to count and set aside.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from training.errors import MissingFileError, SchemaError
from training.schema import ARROW_TYPES, Field, Kind, TableSpec, make_arrow

INTEGER_PATTERN: Final = r"^[+-]?[0-9]{1,18}$"  # 18 digits always fit 64 bits.
NUMBER_PATTERN: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$|^[+-]?(?i:nan|inf)$"
DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
KNOWN_EMPTY: Final = "[]"
TEXT_HEADER_MAX: Final = 100_000

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class Fault:
    """Cells of one field that could not be read, by position in the table."""

    field: str
    positions: npt.NDArray[np.int64]  # [fault_count]


@dataclass(frozen=True)
class RawTable:
    """One table as it was read, before any check.

    `table` has the spec's Arrow schema with unreadable cells null; `raw` holds the same rows as they stood
    in the source; `row_numbers` counts from 1, the first row of data; `malformed` are lines with the wrong
    number of cells, as (row number, text).
    """

    spec: TableSpec
    table: pa.Table
    raw: pa.Table
    row_numbers: npt.NDArray[np.int64]  # [row_count]
    faults: tuple[Fault, ...] = ()
    malformed: tuple[tuple[int, str], ...] = ()


def read_table(path: Path, spec: TableSpec) -> RawTable:
    """Reads a .csv or .parquet file.

    Raises:
        MissingFileError: the file is not there or cannot be opened.
        SchemaError: a column is missing, unknown or of the wrong type, or the file is neither format.
    """
    if not path.is_file():
        raise MissingFileError(f"{spec.name}: expected a file at {path}, found none")
    if path.suffix == ".csv":
        return _read_csv(path, spec)
    if path.suffix == ".parquet":
        return _read_parquet(path, spec)
    raise SchemaError(f"{spec.name}: expected a .csv or .parquet file, got {path.name}")


def from_columns(spec: TableSpec, columns: dict[str, Any]) -> RawTable:
    """Makes a RawTable from arrays that a generator or an importer built; absent columns are all missing."""
    row_count = max((len(values) for values in columns.values()), default=0)
    unknown = sorted(set(columns) - {field.name for field in spec.fields})
    assert not unknown, f"columns {unknown} are not in {spec.name}"
    fields = spec.choose_fields(columns)
    arrays = [_as_array(columns.get(field.name), field, row_count) for field in fields]
    table = pa.Table.from_arrays(arrays, schema=make_arrow(fields))
    return RawTable(spec, table, table, np.arange(1, row_count + 1, dtype=np.int64))


def read_csv_text(path: Path, columns: Sequence[str]) -> tuple[pa.Table, tuple[tuple[int, str], ...], int]:
    """Reads a CSV as text cells.

    Returns: the well-formed rows; the malformed rows as (row number, text); the number of all rows.

    Raises:
        MissingFileError: the file is not there or cannot be read.
        SchemaError: the file is not CSV, or one of `columns` is missing.
    """
    if not path.is_file():
        raise MissingFileError(f"expected a file at {path}, found none")
    malformed: list[tuple[int, str]] = []

    def keep_malformed(row: Any) -> Literal["skip"]:
        malformed.append((row.number - 1, row.text))
        return "skip"

    try:
        names = _header(path)
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=keep_malformed
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except OSError as error:
        raise MissingFileError(f"cannot read {path}: {error}") from error
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise SchemaError(f"{path.name}: expected a CSV file with a header row: {error}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise SchemaError(f"{path.name}: column {missing[0]!r} is missing; found {table.column_names}")
    return table, tuple(malformed), table.num_rows + len(malformed)


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig") as file:
        line = file.readline(TEXT_HEADER_MAX).strip("\r\n")
    names = [name.strip('"') for name in line.split(",")]
    if len(set(names)) != len(names):
        raise SchemaError(f"{path.name}: a column name is repeated in the header {line!r}")
    return names


def _read_csv(path: Path, spec: TableSpec) -> RawTable:
    required = [field.name for field in spec.fields if field.required]
    raw, malformed, total = read_csv_text(path, required)
    _refuse_unknown_columns(path.name, spec, raw.column_names)
    bad_numbers = np.array([number for number, _ in malformed], dtype=np.int64)
    row_numbers = np.setdiff1d(np.arange(1, total + 1, dtype=np.int64), bad_numbers)
    arrays: list[Any] = []
    faults: list[Fault] = []
    fields = spec.choose_fields(raw.column_names)
    for field in fields:
        if field.name not in raw.column_names:
            arrays.append(pa.nulls(raw.num_rows, ARROW_TYPES[field.kind]))
            continue
        array, positions = parse_text(raw.column(field.name).combine_chunks(), field.kind)
        arrays.append(array)
        if len(positions):
            faults.append(Fault(field.name, positions))
    table = pa.Table.from_arrays(arrays, schema=make_arrow(fields))
    return RawTable(spec, table, raw, row_numbers, tuple(faults), malformed)


def _read_parquet(path: Path, spec: TableSpec) -> RawTable:
    try:
        raw = pyarrow.parquet.read_table(path, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path.name}: expected a Parquet file: {error}") from error
    table = conform(raw, spec, path.name)
    return RawTable(spec, table, raw, np.arange(1, raw.num_rows + 1, dtype=np.int64))


def conform(raw: pa.Table, spec: TableSpec, file_name: str) -> pa.Table:
    """Gives the rows of a Parquet file the spec's Arrow schema.

    Raises:
        SchemaError: a column is missing, unknown or of the wrong type, or its name is no text.
    """
    try:
        names = raw.column_names
    except UnicodeDecodeError as error:
        raise SchemaError(f"{file_name}: expected column names in UTF-8: {error}") from error
    _refuse_unknown_columns(file_name, spec, names)
    arrays = []
    fields = spec.choose_fields(names)
    for field in fields:
        if field.name in names:
            arrays.append(_cast(raw.column(field.name).combine_chunks(), field, file_name))
        elif field.required:
            raise SchemaError(f"{file_name}: column {field.name!r} is missing; found {names}")
        else:
            arrays.append(pa.nulls(raw.num_rows, ARROW_TYPES[field.kind]))
    return pa.Table.from_arrays(arrays, schema=make_arrow(fields))


def _refuse_unknown_columns(file_name: str, spec: TableSpec, names: Sequence[str]) -> None:
    known = [field.name for field in spec.fields]
    unknown = [name for name in names if name not in known]
    if unknown:
        nearest = get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {nearest[0]!r}?" if nearest else f"expected columns of {known}"
        raise SchemaError(f"{file_name}: column {unknown[0]!r} is unknown; {meant}")
    if len(set(names)) != len(names):
        raise SchemaError(f"{file_name}: a column name is repeated in {list(names)}")


def _cast(array: Any, field: Field, file_name: str) -> Any:
    """Casts a Parquet column where nothing can change meaning: width, dictionary, time unit."""
    target = ARROW_TYPES[field.kind]
    if not _castable(array.type, field.kind):
        raise SchemaError(f"{file_name}: column {field.name!r} has type {array.type}, expected {target}")
    try:
        return array.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"{file_name}: column {field.name!r} does not fit {target}: {error}") from error


def _castable(found: pa.DataType, kind: Kind) -> bool:
    value = found.value_type if pa.types.is_dictionary(found) else found
    tests: dict[Kind, Callable[[pa.DataType], bool]] = {
        Kind.TEXT: _is_text,
        Kind.INTEGER: pa.types.is_integer,
        Kind.NUMBER: lambda t: pa.types.is_floating(t) or pa.types.is_integer(t),
        Kind.FLAG: pa.types.is_boolean,
        Kind.DATE: pa.types.is_date,
        Kind.INSTANT: lambda t: pa.types.is_timestamp(t) and t.tz is not None,
        Kind.TEXTS: lambda t: (
            (pa.types.is_list(t) or pa.types.is_large_list(t))
            and (_is_text(t.value_type) or pa.types.is_null(t.value_type))
        ),
        Kind.INTEGER_MAP: lambda t: (
            pa.types.is_map(t) and _is_text(t.key_type) and pa.types.is_integer(t.item_type)
        ),
        Kind.VECTOR: lambda t: (
            (pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t))
            and (pa.types.is_floating(t.value_type) or pa.types.is_integer(t.value_type))
        ),
    }
    return pa.types.is_null(found) or tests[kind](value)


def _is_text(found: pa.DataType) -> bool:
    return pa.types.is_string(found) or pa.types.is_large_string(found)


def _as_array(values: Any, field: Field, row_count: int) -> Any:
    target = ARROW_TYPES[field.kind]
    if values is None:
        return pa.nulls(row_count, target)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values.cast(target)
    return pa.array(values, type=target)


def parse_text(cells: Any, kind: Kind) -> tuple[Any, npt.NDArray[np.int64]]:
    """Parses text cells into the kind's Arrow type.

    Returns: the parsed array, null where a cell is missing or unreadable; the unreadable positions.
    """
    if kind is Kind.TEXT:
        return cells, np.empty(0, dtype=np.int64)
    if kind is Kind.INTEGER:
        return _parse_matching(cells, INTEGER_PATTERN, pa.int64())
    if kind is Kind.NUMBER:
        return _parse_matching(cells, NUMBER_PATTERN, pa.float32())
    if kind is Kind.DATE:
        return _parse_matching(_null_impossible_days(cells), DATE_PATTERN, pa.date32(), given=cells)
    if kind is Kind.INSTANT:
        return _parse_matching(
            _null_impossible_days(cells), INSTANT_PATTERN, ARROW_TYPES[Kind.INSTANT], given=cells
        )
    parsers: dict[Kind, Callable[[str], Any]] = {
        Kind.FLAG: {"true": True, "false": False}.get,
        Kind.TEXTS: _parse_texts,
        Kind.INTEGER_MAP: _parse_map,
        Kind.VECTOR: _parse_vector,
    }
    return _parse_distinct(cells, parsers[kind], ARROW_TYPES[kind])


def _parse_matching(
    cells: Any, pattern: str, target: pa.DataType, given: Any = None
) -> tuple[Any, npt.NDArray[np.int64]]:
    matching = pc.match_substring_regex(cells, pattern)
    parsed = pc.if_else(matching, cells, pa.scalar(None, pa.string())).cast(target)
    return parsed, _positions(pc.and_(pc.is_valid(cells if given is None else given), pc.is_null(parsed)))


def _null_impossible_days(cells: Any) -> Any:
    """Makes null the cells that start with no calendar day, such as 2023-02-30, which Arrow refuses."""
    days = pc.utf8_slice_codeunits(cells, 0, 10)
    bad = [day for day in pc.unique(days).to_pylist() if day is not None and not _is_day(day)]
    return pc.if_else(pc.is_in(days, pa.array(bad, pa.string())), pa.scalar(None, pa.string()), cells)


def _is_day(text: str) -> bool:
    if re.fullmatch(DATE_PATTERN, text) is None:
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _parse_distinct(
    cells: Any, parse: Callable[[str], Any], target: pa.DataType
) -> tuple[Any, npt.NDArray[np.int64]]:
    encoded = cells.dictionary_encode()
    parsed = pa.array([parse(value) for value in encoded.dictionary.to_pylist()], type=target)
    array = parsed.take(encoded.indices)
    return array, _positions(pc.and_(pc.is_valid(cells), pc.is_null(array)))


def _parse_texts(cell: str) -> list[str]:
    return [] if cell == KNOWN_EMPTY else cell.split("|")


def _parse_map(cell: str) -> list[tuple[str, int]] | None:
    if cell == KNOWN_EMPTY:
        return []
    pairs = []
    for part in cell.split("|"):
        key, _, value = part.rpartition("=")
        if re.fullmatch(INTEGER_PATTERN, value) is None:
            return None
        pairs.append((key, int(value)))
    return pairs


def _parse_vector(cell: str) -> list[float] | None:
    numbers = cell.split("|")
    if not all(re.fullmatch(NUMBER_PATTERN, number) for number in numbers):
        return None
    return [float(number) for number in numbers]


def _positions(mask: Any) -> npt.NDArray[np.int64]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).astype(np.int64)
