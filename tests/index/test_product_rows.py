"""A catalogue by columns holds the rows that it was written from, and is asked once for equal values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from index.distinct import ITEM_COUNT_MAX, Distinct, apart, combine, encode, find_firsts
from index.product_rows import ProductRows, ask
from index.products import table_of

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS: Mapping[str, Any] = {
    "channels": pa.array([["web"], None, [], ["web", "app"], ["web"], [None], ["app", "web"]]),
    "tags": pa.array([["x"], ["x", "x"], None, [], ["x"], [""], ["x"]], pa.list_(pa.string())),
    "sale_start": pa.array([START, None, START, None, START, START, START], pa.timestamp("us", tz="UTC")),
    "launched": pa.array([date(2026, 1, 1), None] * 3 + [None], pa.date32()),
    "weights": pa.array(
        [[("k", 1)], None, [], [("k", 1)], None, [("j", 2)], None], pa.map_("string", "int64")
    ),
    "family": pa.array(["FUND", "COURSE", None, "FUND", "fund", "", "FUND"]).dictionary_encode(),
    "level_issuer": pa.array([1, 2, None, 1, 1, 9, -1]),
    "us_persons_ok": pa.array([True, None, False, True, False, None, True]),
    "price": pa.array([1.0, float("nan"), None, -0.0, 0.0, float("nan"), 1.0]),
    "nested": pa.array([[[1]], None, [[1], None], [], [[1]], None, None]),
    "parts": pa.array([[1, 2], None, [1, 2], [2, 1], None, None, [1, 2]], pa.list_(pa.int64(), 2)),
    "nothing": pa.nulls(7),
}


def make_rows(count: int = 7, **columns: Any) -> ProductRows:
    values = dict(columns or COLUMNS)
    return table_of(
        pa.table({"id": [f"p{row}" for row in range(count)], **values}).slice(0, count), name="test"
    ).rows


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("name", [*COLUMNS, "id", "unknown"])
def test_distinct_values_are_those_of_the_rows(name: str, count: int) -> None:
    columns = {key: values.slice(0, count) for key, values in COLUMNS.items()}
    rows = make_rows(count, **columns)
    found = rows.distinct(name)
    values = [found.values[code] for code in found.codes.tolist()]
    # Their texts, since NaN equals nothing and 1 equals True.
    assert [_write(value) for value in values] == [_write(row.get(name)) for row in rows]


def _write(value: object) -> str:
    return repr(sorted(value)) if isinstance(value, frozenset) and None not in value else repr(value)


def test_equal_values_have_one_code() -> None:
    rows = make_rows()
    assert rows.distinct("channels").codes.tolist() == [0, 1, 2, 3, 0, 4, 5]
    assert rows.distinct("family").codes.tolist() == [0, 1, 2, 0, 3, 4, 0]
    assert len(rows.distinct("sale_start").values) == 2


def test_a_long_list_stands_for_itself() -> None:
    long = [str(number) for number in range(ITEM_COUNT_MAX + 1)]
    column = pa.array([long, long[1:], long, long[1:], long[:-1]])
    found = encode(column, tuple)
    assert found.codes.tolist() == [0, 1, 2, 1, 3]
    assert [found.values[code] for code in found.codes.tolist()] == [
        tuple(each) for each in column.to_pylist()
    ]


def test_a_row_is_found_by_position_slice_and_iteration() -> None:
    rows = make_rows()
    every = list(rows)
    assert [repr(rows[row]) for row in range(-7, 7)] == [repr(row) for row in every + every]
    assert [row["id"] for row in rows[1:6:2]] == ["p1", "p3", "p5"]
    assert rows[-1]["id"] == "p6"
    for name in (*COLUMNS, "unknown"):
        assert [repr(rows.read(row, name)) for row in range(7)] == [repr(row.get(name)) for row in every]
    with pytest.raises(IndexError):
        rows[7]


def test_many_rows_come_in_batches() -> None:
    count = 2500
    rows = make_rows(count, number=pa.array(range(count)))
    assert [row["number"] for row in rows] == list(range(count))


def test_a_function_is_asked_once_for_each_combination() -> None:
    asked = []

    def read(product: Mapping[str, Any]) -> tuple[Any, ...]:
        asked.append(dict(product))
        return product.get("family"), product.get("level_issuer")

    rows = make_rows()
    found = ask(rows, read, "family", "level_issuer")
    assert [found.values[code] for code in found.codes] == [
        (row.get("family"), row.get("level_issuer")) for row in rows
    ]
    assert len(asked) == 6
    plain = ask([dict(row) for row in rows], read, "family", "level_issuer")
    assert [plain.values[code] for code in plain.codes] == [found.values[code] for code in found.codes]


def test_values_that_are_alike_are_asked_about_once() -> None:
    found = ask(make_rows(), lambda product: "id" in product, "id", "family", alike={"id": lambda _: True})
    assert len(found.values) == 5
    assert found.array(np.bool_).all()


def test_ids_are_found_whatever_is_asked_for() -> None:
    rows = make_rows()
    assert rows.find_rows({"p5", "p1", "absent", "\ud800"}).tolist() == [1, 5]
    assert rows.find_rows(()).tolist() == []


def test_combinations_of_many_columns_stay_apart() -> None:
    random = np.random.default_rng(0)
    columns = [Distinct(range(10**6), random.integers(0, 3, 500) * 333_333) for _ in range(6)]
    codes = combine(columns, 500)
    seen = [tuple(int(column.codes[row]) for column in columns) for row in range(500)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(seen))}
    assert codes.tolist() == [numbers[key] for key in seen]
    assert find_firsts(codes).tolist() == [seen.index(key) for key in numbers]


def test_values_are_taken_by_row() -> None:
    found = Distinct([3, None, 5], np.array([2, 0, 0, 1]))
    assert found.map(lambda value: value or -1).array(np.int16).tolist() == [5, 3, 3, -1]
    assert found.objects().tolist() == [5, 3, 3, None]
    assert found.merge(lambda value: value is None).array(np.float64)[:3].tolist() == [3, 3, 3]
    assert apart([]).array(np.int64).tolist() == []
    assert apart([()]).objects().tolist() == [()]
