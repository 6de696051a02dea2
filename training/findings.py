"""Finds what is wrong in a table: bad values, shared ids, repeated rows, events that fit no product."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from training.schema import LIST_COUNT_MAX, Field, Kind

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

Mask: TypeAlias = npt.NDArray[np.bool_]


class Reason(StrEnum):
    """Why a row was set aside."""

    MALFORMED_ROW = "malformed_row"
    MISSING_REQUIRED = "missing_required"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    OUT_OF_RANGE = "out_of_range"
    NOT_FINITE = "not_finite"
    REPEATED_KEY = "repeated_key"
    OTHER_WIDTH = "other_width"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_PRODUCT = "unknown_product"
    AFTER_CLOCK = "after_clock"


@dataclass(frozen=True)
class Finding:
    """Where one field is bad for one reason."""

    field: str
    reason: Reason
    mask: Mask  # [row_count], true where the value is bad.


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
        outside = _outside(array, spec)
        findings.append(Finding(spec.name, Reason.OUT_OF_RANGE, outside))
        if spec.pattern is not None:
            findings.append(Finding(spec.name, Reason.UNKNOWN_VALUE, _unlike(array, spec.pattern) & ~outside))
    elif spec.kind in {Kind.DATE, Kind.INSTANT}:
        findings.append(Finding(spec.name, Reason.OUT_OF_RANGE, _outside_calendar(array, spec)))
    elif spec.kind is Kind.TEXTS:
        members = pc.list_flatten(array)
        outside = _outside(members, spec) | _numpy(pc.is_null(members))
        parents = pc.list_parent_indices(array)
        findings.append(_nested(array, parents, outside, spec))
        if spec.pattern is not None:
            mask = np.zeros(len(array), dtype=bool)
            mask[parents.to_numpy(zero_copy_only=False)[_unlike(members, spec.pattern) & ~outside]] = True
            findings.append(Finding(spec.name, Reason.UNKNOWN_VALUE, mask))
    elif spec.kind is Kind.INTEGER_MAP:
        findings += _check_map(array, spec)
    elif spec.kind is Kind.VECTOR:
        findings += _check_vectors(array, spec)
    return [finding for finding in findings if finding.mask.any()]


def find_missing(array: Any, spec: Field, unreadable: Mask) -> Finding:
    """Finds the empty cells of a required field; those that could not be read have a reason of their own."""
    return Finding(spec.name, Reason.MISSING_REQUIRED, _numpy(pc.is_null(array)) & ~unreadable)


def _outside(array: Any, spec: Field) -> Mask:
    """Marks values outside [low, high]: byte length for texts, NaN never (it has a reason of its own)."""
    if pa.types.is_string(array.type):
        # The rules take a blank text for a missing one, so blanks do not count towards its shortest length.
        shortest, size = pc.binary_length(pc.utf8_trim_whitespace(array)), pc.binary_length(array)
    else:
        shortest = size = array
    assert spec.low is not None, "a field that is compared has bounds"
    assert spec.high is not None, "a field that is compared has bounds"
    cast = float if pa.types.is_floating(size.type) else int
    low, high = pa.scalar(cast(spec.low), size.type), pa.scalar(cast(spec.high), size.type)
    return _numpy(pc.or_(pc.less(shortest, low), pc.greater(size, high)))


def _unlike(array: Any, pattern: str) -> Mask:
    """Marks the texts that do not match the pattern as a whole; a missing one is not unlike it."""
    return _numpy(pc.invert(pc.match_substring_regex(array, rf"\A(?:{pattern})\z")))


def _outside_calendar(array: Any, spec: Field) -> Mask:
    """Marks what Python has no day for: years before 1 and after 9999."""
    first, last = (
        (date.min, date.max)
        if spec.kind is Kind.DATE
        else (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    )
    low, high = pa.scalar(first, array.type), pa.scalar(last, array.type)
    return _numpy(pc.or_(pc.less(array, low), pc.greater(array, high)))


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


def _check_vectors(array: Any, spec: Field) -> list[Finding]:
    """Finds vectors with wrong numbers, of no or too many numbers, or of another width than most have."""
    parents = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
    members = pc.list_flatten(array)
    infinite, empty = np.zeros(len(array), dtype=bool), np.zeros(len(array), dtype=bool)
    infinite[parents[_numpy(pc.invert(pc.is_finite(members)))]] = True
    empty[parents[_numpy(pc.is_null(members))]] = True
    width = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)  # -1 is none
    assert spec.low is not None, "a vector has a least width"
    assert spec.high is not None, "a vector has a largest width"
    outside = (width >= 0) & ((width < spec.low) | (width > spec.high))
    sound = width[(width >= 0) & ~outside]
    # Of two widths that as many have, the smaller one counts.
    usual = int(np.bincount(sound).argmax()) if len(sound) else 0
    return [
        Finding(spec.name, Reason.NOT_FINITE, infinite),
        Finding(spec.name, Reason.OUT_OF_RANGE, outside | empty),
        Finding(spec.name, Reason.OTHER_WIDTH, (width >= 0) & ~outside & (width != usual)),
    ]


def find_duplicate_ids(table: pa.Table, key: str) -> tuple[Mask, Mask]:
    """Returns masks of the rows whose id is shared with a different row, and of repeats of an equal row."""
    codes = pc.fill_null(table.column(key).combine_chunks().dictionary_encode().indices, -1)
    code_row = codes.to_numpy(zero_copy_only=False)
    conflicting = np.zeros(len(code_row), dtype=bool)
    extra = np.zeros(len(code_row), dtype=bool)
    ids, counts = np.unique(code_row, return_counts=True)
    shared = np.isin(code_row, ids[(counts > 1) & (ids >= 0)])
    contents: dict[int, dict[str, list[int]]] = {}
    for position, text in zip(np.flatnonzero(shared).tolist(), write_rows(table, shared), strict=True):
        contents.setdefault(int(code_row[position]), {}).setdefault(text, []).append(position)
    for versions in contents.values():
        for positions in versions.values():
            if len(versions) > 1:
                conflicting[positions] = True
            else:
                extra[positions[1:]] = True
    return conflicting, extra


def find_repeated_rows(table: pa.Table, among: Mask) -> Mask:
    """Marks every repeat, after the first, of an equal row among those given."""
    positions = pa.array(np.flatnonzero(among))
    rows = table.filter(pa.array(among)).append_column("position", positions)
    names = table.column_names
    first = rows.group_by(names, use_threads=False).aggregate([("position", "min")]).column("position_min")
    extra = among.copy()
    extra[first.to_numpy()] = False
    return extra


def find_unknown_products(interactions: pa.Table, products: pa.Table) -> Finding:
    """Finds the events on a product that the table does not have."""
    ids = interactions.column("product_id").combine_chunks()
    known = pc.is_in(ids, products.column("id").combine_chunks())
    return Finding("product_id", Reason.UNKNOWN_PRODUCT, _numpy(pc.invert(known)))


def find_after_clock(interactions: pa.Table, clock: datetime) -> Finding:
    """Finds the events later than the clock."""
    times = interactions.column("event_time").combine_chunks()
    return Finding("event_time", Reason.AFTER_CLOCK, _numpy(pc.greater(times, pa.scalar(clock, times.type))))


def write_rows(table: pa.Table, mask: Mask) -> list[str]:
    """Writes the marked rows as JSON texts, in order."""
    marked = table.filter(pa.array(mask))
    columns = [_write_times(column) for column in marked.columns]
    rows = pa.Table.from_arrays(columns, names=marked.column_names).to_pylist()
    return [json.dumps(_plain(row), ensure_ascii=False) for row in rows]


def _write_times(column: Any) -> Any:
    """Turns times into text, because Python cannot hold every time that Arrow can."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    return column.cast(pa.string()) if pa.types.is_temporal(column.type) else column


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Drops missing cells and writes numbers that JSON does not have as text."""
    return {name: _write_numbers(value) for name, value in row.items() if value is not None}


def _write_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_write_numbers(member) for member in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _numpy(mask: Any) -> Mask:
    """Turns an Arrow mask into NumPy, null as false."""
    result: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool)
    return result
