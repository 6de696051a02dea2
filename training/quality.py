"""Checks input tables: sets bad rows aside with a reason, collapses exact duplicates, counts everything.

A row with any bad value is set aside whole. Clearing only the bad cell would be unsafe: an absent risk_score
or dup_group has a meaning of its own, so that clearing one could make a product suit more users.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from training.errors import DuplicateIdError, EmptyDataError, RowError
from training.schema import LIST_COUNT_MAX, QUARANTINE, Field, Kind
from training.tables import RawTable

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


class Reason(StrEnum):
    """Why a row was set aside."""

    MALFORMED_ROW = "malformed_row"
    MISSING_REQUIRED = "missing_required"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    OUT_OF_RANGE = "out_of_range"
    NOT_FINITE = "not_finite"
    REPEATED_KEY = "repeated_key"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_PRODUCT = "unknown_product"
    AFTER_CLOCK = "after_clock"


@dataclass(frozen=True)
class Problem:
    """One bad value: the source row (1 is the first row of data), the field, why, and the row as JSON."""

    table: str
    row: int
    field: str
    reason: Reason
    raw: str


@dataclass(frozen=True)
class TableQuality:
    """What the checks found in one table."""

    rows_read: int
    rows_kept: int
    rows_quarantined: int
    duplicates_collapsed: int
    missing: dict[str, int] = field(default_factory=dict)
    out_of_range: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckedTable:
    """The clean rows of one table in source order, the problems, and the counts."""

    table: pa.Table
    problems: tuple[Problem, ...]
    quality: TableQuality


@dataclass(frozen=True)
class CheckedData:
    """The three clean tables with everything that was found."""

    interactions: CheckedTable
    products: CheckedTable
    profiles: CheckedTable
    users_without_profile: int

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, tables in a fixed order."""
        return self.products.problems + self.profiles.problems + self.interactions.problems

    def quarantine(self) -> pa.Table:
        """Returns the problems as the table that is written to quarantine.parquet."""
        rows = [
            {"table": p.table, "row": p.row, "field": p.field, "reason": p.reason.value, "raw": p.raw}
            for p in self.problems
        ]
        return pa.Table.from_pylist(rows, schema=QUARANTINE)


Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """Where one field is bad for one reason."""

    field: str
    reason: Reason
    mask: Mask  # [row_count], true where the value is bad.


def check_data(
    *, interactions: RawTable, products: RawTable, profiles: RawTable, clock: datetime | None = None
) -> CheckedData:
    """Checks the three tables, each alone and then against each other.

    Args:
        interactions: who did what; an event on a product that is not in `products` is set aside.
        products: the catalogue; rows that share an id and differ are all set aside: any may be wrong.
        profiles: what is known about users; a user without a profile is kept and counted.
        clock: events later than this are set aside; None accepts any time.

    Raises:
        EmptyDataError: no valid interaction or product is left, or a profile file has rows and none is valid.
    """
    checked_products = _check_table(products, [])
    checked_profiles = _check_table(profiles, [])
    relations = [_unknown_products(interactions.table, checked_products.table)]
    if clock is not None:
        relations.append(_after_clock(interactions.table, clock))
    checked_interactions = _check_table(interactions, relations)
    for name, checked, may_be_empty in (
        ("products", checked_products, False),
        ("profiles", checked_profiles, profiles.table.num_rows == 0 and not profiles.malformed),
        ("interactions", checked_interactions, False),
    ):
        if checked.table.num_rows == 0 and not may_be_empty:
            raise EmptyDataError(
                f"{name}: no valid row is left of {checked.quality.rows_read}; "
                f"set aside by reason: {checked.quality.quarantined or 'none'}"
            )
    users = pc.unique(checked_interactions.table.column("user_id"))
    known = pc.is_in(users, checked_profiles.table.column("user_id").combine_chunks())
    without = len(users) - int(pc.sum(known).as_py() or 0)
    return CheckedData(checked_interactions, checked_products, checked_profiles, without)


def refuse_problems(checked: CheckedData) -> None:
    """Raises for the first problem, for callers who want all of their rows or none.

    Raises:
        DuplicateIdError: rows share an id and differ.
        RowError: any other problem.
    """
    for problem in checked.problems:
        kind = DuplicateIdError if problem.reason is Reason.DUPLICATE_ID else RowError
        raise kind(
            f"{problem.table}: row {problem.row}: {problem.field}: {problem.reason.value}; "
            f"expected no row to be set aside, found {len(checked.problems)} problem(s)"
        )


def _check_table(raw: RawTable, relations: list[Finding]) -> CheckedTable:
    findings = [_from_fault(raw, fault.field, fault.positions) for fault in raw.faults]
    for spec_field in raw.spec.fields:
        unreadable = np.zeros(raw.table.num_rows, dtype=bool)
        for fault in raw.faults:
            if fault.field == spec_field.name:
                unreadable[fault.positions] = True
        array = raw.table.column(spec_field.name).combine_chunks()
        findings += check_field(array, spec_field)
        if spec_field.required:
            missing = _numpy(pc.is_null(array)) & ~unreadable
            findings.append(Finding(spec_field.name, Reason.MISSING_REQUIRED, missing))
    extra = np.zeros(raw.table.num_rows, dtype=bool)
    if raw.spec.key is not None:
        conflicting, extra = _duplicate_ids(raw.table, raw.spec.key)
        findings.append(Finding(raw.spec.key, Reason.DUPLICATE_ID, conflicting))
    bad = _any(findings, raw.table.num_rows)
    # A row that is wrong in itself says so; what it refers to matters only when it is otherwise right.
    relations = [Finding(f.field, f.reason, f.mask & ~bad) for f in relations]
    bad |= _any(relations, raw.table.num_rows)
    if raw.spec.key is None:
        extra = _repeated_rows(raw.table, ~bad)
    keep = ~bad & ~extra
    clean = raw.table.filter(pa.array(keep)).combine_chunks()
    return _assemble(raw, [*findings, *relations], clean=_fill_defaults(clean), bad=bad, extra=extra & ~bad)


def _assemble(
    raw: RawTable, findings: list[Finding], *, clean: pa.Table, bad: Mask, extra: Mask
) -> CheckedTable:
    problems = [
        Problem(raw.spec.name, number, "", Reason.MALFORMED_ROW, json.dumps(text, ensure_ascii=False))
        for number, text in raw.malformed
    ]
    texts = dict(zip(np.flatnonzero(bad).tolist(), _row_texts(raw.raw, bad), strict=True))
    for finding in findings:
        for position in np.flatnonzero(finding.mask).tolist():
            number = int(raw.row_numbers[position])
            problems.append(Problem(raw.spec.name, number, finding.field, finding.reason, texts[position]))
    problems.sort(key=lambda problem: problem.row)
    quality = TableQuality(
        rows_read=raw.table.num_rows + len(raw.malformed),
        rows_kept=clean.num_rows,
        rows_quarantined=int(bad.sum()) + len(raw.malformed),
        duplicates_collapsed=int(extra.sum()),
        missing={
            f.name: count
            for f in raw.spec.fields
            if (count := raw.table.column(f.name).null_count) and f.name != "assumed"
        },
        out_of_range=dict(
            sorted(Counter(p.field for p in problems if p.reason is Reason.OUT_OF_RANGE).items())
        ),
        quarantined=dict(sorted(Counter(p.reason.value for p in problems).items())),
    )
    return CheckedTable(clean, tuple(problems), quality)


def _fill_defaults(table: pa.Table) -> pa.Table:
    """Fills what has a documented default: a weight of 1, and no assumed fields."""
    if "weight" in table.column_names:
        position = table.column_names.index("weight")
        return table.set_column(position, table.field(position), pc.fill_null(table.column(position), 1.0))
    position = table.column_names.index("assumed")
    empty = pa.scalar([], pa.list_(pa.string()))
    return table.set_column(position, table.field(position), pc.coalesce(table.column(position), empty))


def _from_fault(raw: RawTable, name: str, positions: npt.NDArray[np.int64]) -> Finding:
    mask = np.zeros(raw.table.num_rows, dtype=bool)
    mask[positions] = True
    return Finding(name, Reason.WRONG_TYPE, mask)


def check_field(array: Any, spec: Field) -> list[Finding]:
    """Returns the kinds of bad values among the present ones of one field; none means that all are right."""
    findings = []
    if spec.kind is Kind.NUMBER:
        findings.append(Finding(spec.name, Reason.NOT_FINITE, _numpy(pc.invert(pc.is_finite(array)))))
    if spec.choices is not None:
        known = pc.is_in(array, pa.array(spec.choices, pa.string()))
        findings.append(
            Finding(spec.name, Reason.UNKNOWN_VALUE, _numpy(pc.and_(pc.is_valid(array), pc.invert(known))))
        )
    elif spec.kind in {Kind.TEXT, Kind.INTEGER, Kind.NUMBER}:
        findings.append(Finding(spec.name, Reason.OUT_OF_RANGE, _outside(array, spec)))
    elif spec.kind is Kind.TEXTS:
        members = pc.list_flatten(array)
        findings.append(_nested(array, pc.list_parent_indices(array), _outside(members, spec), spec))
    elif spec.kind is Kind.INTEGER_MAP:
        findings += _check_map(array, spec)
    return [finding for finding in findings if finding.mask.any()]


def _outside(array: Any, spec: Field) -> Mask:
    """Marks values outside [low, high]: byte length for texts, NaN never (it has a reason of its own)."""
    size = pc.binary_length(array) if pa.types.is_string(array.type) else array
    assert spec.low is not None, "a field that is compared has bounds"
    assert spec.high is not None, "a field that is compared has bounds"
    cast = float if pa.types.is_floating(size.type) else int
    low, high = pa.scalar(cast(spec.low), size.type), pa.scalar(cast(spec.high), size.type)
    return _numpy(pc.or_(pc.less(size, low), pc.greater(size, high)))


def _nested(array: Any, parents: Any, outside: Mask, spec: Field) -> Finding:
    mask = np.zeros(len(array), dtype=bool)
    mask[parents.to_numpy(zero_copy_only=False)[outside]] = True
    mask |= _numpy(pc.greater(pc.list_value_length(array), LIST_COUNT_MAX))
    return Finding(spec.name, Reason.OUT_OF_RANGE, mask)


def _check_map(array: Any, spec: Field) -> list[Finding]:
    lists = array.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())])))
    parents, members = pc.list_parent_indices(lists), pc.list_flatten(lists)
    keys, values = members.field("key"), members.field("value")
    outside = (
        _outside(values, spec) | _numpy(pc.is_null(values)) | _numpy(pc.equal(pc.binary_length(keys), 0))
    )
    codes = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    owners = parents.to_numpy(zero_copy_only=False).astype(np.int64)
    _, inverse, counts = np.unique(owners * (len(codes) + 1) + codes, return_inverse=True, return_counts=True)
    repeated = np.zeros(len(array), dtype=bool)
    repeated[owners[counts[inverse] > 1]] = True
    return [_nested(lists, parents, outside, spec), Finding(spec.name, Reason.REPEATED_KEY, repeated)]


def _duplicate_ids(table: pa.Table, key: str) -> tuple[Mask, Mask]:
    """Returns masks of the rows whose id is shared with a different row, and of repeats of an equal row."""
    codes = pc.fill_null(table.column(key).combine_chunks().dictionary_encode().indices, -1)
    code_row = codes.to_numpy(zero_copy_only=False)
    conflicting = np.zeros(len(code_row), dtype=bool)
    extra = np.zeros(len(code_row), dtype=bool)
    ids, counts = np.unique(code_row, return_counts=True)
    shared = np.isin(code_row, ids[(counts > 1) & (ids >= 0)])
    contents: dict[int, dict[str, list[int]]] = {}
    for position, text in zip(np.flatnonzero(shared).tolist(), _row_texts(table, shared), strict=True):
        contents.setdefault(int(code_row[position]), {}).setdefault(text, []).append(position)
    for versions in contents.values():
        for positions in versions.values():
            if len(versions) > 1:
                conflicting[positions] = True
            else:
                extra[positions[1:]] = True
    return conflicting, extra


def _repeated_rows(table: pa.Table, among: Mask) -> Mask:
    """Marks every repeat, after the first, of an equal row among those given."""
    positions = pa.array(np.flatnonzero(among))
    rows = table.filter(pa.array(among)).append_column("position", positions)
    names = table.column_names
    first = rows.group_by(names, use_threads=False).aggregate([("position", "min")]).column("position_min")
    extra = among.copy()
    extra[first.to_numpy()] = False
    return extra


def _unknown_products(interactions: pa.Table, products: pa.Table) -> Finding:
    ids = interactions.column("product_id").combine_chunks()
    known = pc.is_in(ids, products.column("id").combine_chunks())
    return Finding("product_id", Reason.UNKNOWN_PRODUCT, _numpy(pc.invert(known)))


def _after_clock(interactions: pa.Table, clock: datetime) -> Finding:
    times = interactions.column("event_time").combine_chunks()
    return Finding("event_time", Reason.AFTER_CLOCK, _numpy(pc.greater(times, pa.scalar(clock, times.type))))


def _any(findings: list[Finding], row_count: int) -> Mask:
    bad = np.zeros(row_count, dtype=bool)
    for finding in findings:
        bad |= finding.mask
    return bad


def _row_texts(table: pa.Table, mask: Mask) -> list[str]:
    rows = table.filter(pa.array(mask)).to_pylist()
    return [json.dumps(_plain(row), ensure_ascii=False, default=str) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Drops missing cells and writes numbers that JSON does not have as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
        if value is not None
    }


def _numpy(mask: Any) -> Mask:
    """Turns an Arrow mask into NumPy, null as false."""
    result: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool)
    return result
