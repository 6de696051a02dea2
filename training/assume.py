"""Applies a documented assumptions file: fills what a source does not state, marks and counts every field.

The file is JSON: {"schema": "prudence-assumptions/1", "source": NAME, "about": TEXT, "fill": [...]}; each
entry of "fill" names table, field, reason in words, and exactly one of "value" and "rule". Unknown and
repeated keys are refused. A value and most rules fill missing cells only. Rules:

* estimate: the importer's own estimate for the same field, where it has one.
* identifier: the row's own id.
* reconfirmed: a date that is missing or at least twelve months old becomes the day before the clock's.
* refreshed: an instant becomes the clock, whatever was stated.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from training.dataset import parse_clock
from training.errors import AssumptionError, DataError, MissingFileError
from training.findings import check_field
from training.importers.imported import ImportedData
from training.schema import ARROW_TYPES, TABLES, Field, Kind
from training.tables import RawTable

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

SCHEMA: Final = "prudence-assumptions/1"
FILE_KEYS: Final = {"schema", "source", "about", "fill"}
ENTRY_KEYS: Final = {"table", "field", "reason"}
RULE_KINDS: Final[Mapping[str, frozenset[Kind]]] = {
    "estimate": frozenset(Kind),
    "identifier": frozenset({Kind.TEXT}),
    "reconfirmed": frozenset({Kind.DATE}),
    "refreshed": frozenset({Kind.INSTANT}),
}


@dataclass(frozen=True)
class Assumption:
    """One filled field: either a constant `value` (an Arrow scalar) or a named `rule`."""

    table: str
    field: Field
    reason: str
    value: Any = None
    rule: str | None = None


@dataclass(frozen=True)
class Assumptions:
    """A read and checked assumptions file."""

    source: str
    about: str
    fill: tuple[Assumption, ...]


def read_assumptions(path: Path) -> Assumptions:
    """Reads an assumptions file.

    Raises:
        MissingFileError: the file is not there.
        AssumptionError: it is no JSON, a key is unknown, repeated or missing, or a value does not fit.
    """
    if not path.is_file():
        raise MissingFileError(f"assumptions: expected a file at {path}, found none")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_refuse_repeated_keys)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AssumptionError(f"{path.name}: expected JSON: {error}") from error
    _check_keys(content, required=FILE_KEYS, where=path.name)
    if content["schema"] != SCHEMA:
        raise AssumptionError(f"{path.name}: schema: expected {SCHEMA!r}, got {content['schema']!r}")
    if not isinstance(content["fill"], list):
        raise AssumptionError(f"{path.name}: fill: expected a list, got {type(content['fill']).__name__}")
    fill = tuple(_read_entry(entry, f"{path.name}: fill[{row}]") for row, entry in enumerate(content["fill"]))
    names = [(entry.table, entry.field.name) for entry in fill]
    for name in names:
        if names.count(name) > 1:
            raise AssumptionError(f"{path.name}: {name[0]}.{name[1]} is filled more than once")
    return Assumptions(str(content["source"]), str(content["about"]), fill)


def apply_assumptions(imported: ImportedData, assumptions: Assumptions, clock: datetime) -> ImportedData:
    """Fills the tables, marks each filled field in its row's `assumed` list and counts it in the description.

    Raises:
        AssumptionError: the file was written for another source, or asks for an estimate that there is not.
    """
    if assumptions.source != imported.source.name:
        raise AssumptionError(
            f"source: the assumptions are for {assumptions.source!r}, the data is {imported.source.name!r}"
        )
    products, product_counts = _fill_table(imported.products, assumptions, imported.estimates, clock)
    profiles, profile_counts = _fill_table(imported.profiles, assumptions, imported.estimates, clock)
    reasons = [f"assumed {e.table}.{e.field.name}: {e.reason}" for e in assumptions.fill]
    source = replace(
        imported.source,
        notes=(*imported.source.notes, assumptions.about, *reasons),
        assumed={"products": product_counts, "profiles": profile_counts},
    )
    return replace(imported, products=products, profiles=profiles, source=source)


def _fill_table(
    raw: RawTable,
    assumptions: Assumptions,
    estimates: Mapping[str, Mapping[str, Any]],
    clock: datetime,
) -> tuple[RawTable, dict[str, int]]:
    table = raw.table
    names: list[list[str]] = [list(row or ()) for row in table.column("assumed").to_pylist()]
    counts: dict[str, int] = {}
    for entry in assumptions.fill:
        if entry.table != raw.spec.name:
            continue
        position = table.column_names.index(entry.field.name)
        present = table.column(position).combine_chunks()
        offered, wanted = _offer(entry, raw, present, estimates, clock)
        use = pc.and_(wanted, pc.is_valid(offered))
        filled = _merge(use, offered, present)
        table = table.set_column(position, table.schema.field(position), filled)
        rows = np.flatnonzero(use.to_numpy(zero_copy_only=False))
        for row in rows.tolist():
            names[row].append(entry.field.name)
        counts[entry.field.name] = len(rows)
    position = table.column_names.index("assumed")
    marked = pa.array(names, pa.list_(pa.string()))
    return replace(raw, table=table.set_column(position, table.schema.field(position), marked)), counts


def _offer(
    entry: Assumption,
    raw: RawTable,
    present: Any,
    estimates: Mapping[str, Mapping[str, Any]],
    clock: datetime,
) -> tuple[Any, Any]:
    """Returns the values on offer, one per row, and the mask of rows that want one."""
    missing = pc.is_null(present)
    if entry.rule is None:
        return _constant(entry.value, len(present)), missing
    if entry.rule == "identifier":
        assert raw.spec.key is not None, "only keyed tables are filled"
        return raw.table.column(raw.spec.key).combine_chunks(), missing
    if entry.rule == "refreshed":
        return _constant(pa.scalar(clock, present.type), len(present)), pc.is_valid(missing)
    if entry.rule == "reconfirmed":
        today = clock.astimezone(UTC).date()
        oldest = pa.scalar(_year_before(today), present.type)
        old = pc.fill_null(pc.less_equal(present, oldest), True)
        return _constant(pa.scalar(today - timedelta(days=1), present.type), len(present)), old
    known = estimates.get(entry.table, {})
    if entry.field.name not in known:
        raise AssumptionError(
            f"{entry.table}.{entry.field.name}: the source has no estimate; expected one of {sorted(known)}"
        )
    return known[entry.field.name].cast(present.type), missing


def _merge(use: Any, offered: Any, present: Any) -> Any:
    """Takes from `offered` where `use` is true; by position, because Arrow's if_else has no lists or maps."""
    count = len(present)
    rows = np.arange(count) + np.where(use.to_numpy(zero_copy_only=False), 0, count)
    both: Any = pa.concat_arrays([offered, present])
    return both.take(pa.array(rows))


def _constant(scalar: Any, count: int) -> Any:
    return pa.array([scalar.as_py()], scalar.type).take(pa.array(np.zeros(count, dtype=np.int64)))


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


def _read_entry(entry: Any, where: str) -> Assumption:
    if not isinstance(entry, dict):
        raise AssumptionError(f"{where}: expected an object, got {type(entry).__name__}")
    if ("value" in entry) == ("rule" in entry):
        raise AssumptionError(f"{where}: expected exactly one of 'value' and 'rule', got {sorted(entry)}")
    how = "value" if "value" in entry else "rule"
    _check_keys(entry, required=ENTRY_KEYS | {how}, where=where)
    if entry["table"] not in ("products", "profiles"):
        raise AssumptionError(f"{where}: table: expected products or profiles, got {entry['table']!r}")
    spec = TABLES[entry["table"]]
    field = spec.field(entry["field"]) if isinstance(entry["field"], str) else None
    if field is None or field.extra or field.name in {spec.key, "assumed"}:
        raise AssumptionError(f"{where}: field: {entry['field']!r} is no field of {spec.name} to fill")
    if not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise AssumptionError(f"{where}: reason: expected words, got {entry['reason']!r}")
    if how == "value":
        value = _read_value(entry["value"], field, where)
        return Assumption(spec.name, field, entry["reason"], value=value)
    rule = entry["rule"]
    if not isinstance(rule, str) or field.kind not in RULE_KINDS.get(rule, ()):
        raise AssumptionError(f"{where}: rule: {rule!r} cannot fill a field of kind {field.kind}")
    return Assumption(spec.name, field, entry["reason"], rule=rule)


def _read_value(value: Any, field: Field, where: str) -> Any:
    readers: dict[Kind, tuple[type, Callable[[Any], Any]]] = {
        Kind.TEXT: (str, str),
        Kind.INTEGER: (int, int),
        Kind.FLAG: (bool, bool),
        Kind.DATE: (str, date.fromisoformat),
        Kind.INSTANT: (str, parse_clock),
        Kind.TEXTS: (list, list),
        Kind.INTEGER_MAP: (dict, lambda pairs: list(pairs.items())),
    }
    expected, read = readers[field.kind]
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise AssumptionError(f"{where}: value: expected a {field.kind} for {field.name}, got {value!r}")
    try:
        array: Any = pa.array([read(value)], ARROW_TYPES[field.kind])
    except (ValueError, OverflowError, DataError, pa.ArrowException) as error:
        raise AssumptionError(f"{where}: value: {value!r} is no {field.kind}: {error}") from error
    if check_field(array, field):
        raise AssumptionError(f"{where}: value: {value!r} is out of range for {field.name}")
    return array[0]


def _check_keys(content: Any, *, required: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise AssumptionError(f"{where}: expected an object, got {type(content).__name__}")
    for name in sorted(set(content) - required):
        raise AssumptionError(f"{where}: key {name!r} is unknown; expected {sorted(required)}")
    for name in sorted(required - set(content)):
        raise AssumptionError(f"{where}: key {name!r} is missing; found {sorted(content)}")


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise AssumptionError(f"key {next(n for n in names if names.count(n) > 1)!r} is repeated")
    return content
