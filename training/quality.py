"""Checks input tables: sets bad rows aside with a reason, collapses exact duplicates, counts everything.

A row with any bad value is set aside whole. Clearing only the bad cell would be unsafe: an absent risk_score,
dup_group or credit_like has a meaning of its own, so that clearing one could make a product suit more users.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from training.errors import DuplicateIdError, EmptyDataError, RowError
from training.findings import (
    Finding,
    Mask,
    Reason,
    check_field,
    find_after_clock,
    find_duplicate_ids,
    find_missing,
    find_repeated_rows,
    find_unknown_products,
    write_rows,
)
from training.schema import QUARANTINE
from training.tables import RawTable

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


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
    relations = [find_unknown_products(interactions.table, checked_products.table)]
    if clock is not None:
        relations.append(find_after_clock(interactions.table, clock))
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
    for spec_field in raw.spec.choose_fields(raw.table.column_names):
        unreadable = np.zeros(raw.table.num_rows, dtype=bool)
        for fault in raw.faults:
            if fault.field == spec_field.name:
                unreadable[fault.positions] = True
        array = raw.table.column(spec_field.name).combine_chunks()
        findings += check_field(array, spec_field)
        if spec_field.required:
            findings.append(find_missing(array, spec_field, unreadable))
    extra = np.zeros(raw.table.num_rows, dtype=bool)
    if raw.spec.key is not None:
        conflicting, extra = find_duplicate_ids(raw.table, raw.spec.key)
        findings.append(Finding(raw.spec.key, Reason.DUPLICATE_ID, conflicting))
    bad = _any(findings, raw.table.num_rows)
    # A row that is wrong in itself says so; what it refers to matters only when it is otherwise right.
    relations = [Finding(f.field, f.reason, f.mask & ~bad) for f in relations]
    bad |= _any(relations, raw.table.num_rows)
    if raw.spec.key is None:
        extra = find_repeated_rows(raw.table, ~bad)
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
    texts = dict(zip(np.flatnonzero(bad).tolist(), write_rows(raw.raw, bad), strict=True))
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
            for f in raw.spec.choose_fields(raw.table.column_names)
            if (count := raw.table.column(f.name).null_count) and f.name != "assumed"
        },
        out_of_range=dict(
            sorted(Counter(p.field for p in problems if p.reason is Reason.OUT_OF_RANGE).items())
        ),
        quarantined=dict(sorted(Counter(p.reason.value for p in problems).items())),
    )
    return CheckedTable(clean, tuple(problems), quality)


def _fill_defaults(table: pa.Table) -> pa.Table:
    """Fills what has a documented default: a weight and a confidence of 1, and no assumed fields."""
    if "weight" in table.column_names:
        for name in sorted({"weight", "confidence"}.intersection(table.column_names)):
            position = table.column_names.index(name)
            filled = pc.fill_null(table.column(position), 1.0)
            table = table.set_column(position, table.field(position), filled)
        return table
    position = table.column_names.index("assumed")
    empty = pa.scalar([], pa.list_(pa.string()))
    return table.set_column(position, table.field(position), pc.coalesce(table.column(position), empty))


def _from_fault(raw: RawTable, name: str, positions: npt.NDArray[np.int64]) -> Finding:
    mask = np.zeros(raw.table.num_rows, dtype=bool)
    mask[positions] = True
    return Finding(name, Reason.WRONG_TYPE, mask)


def _any(findings: list[Finding], row_count: int) -> Mask:
    bad = np.zeros(row_count, dtype=bool)
    for finding in findings:
        bad |= finding.mask
    return bad
