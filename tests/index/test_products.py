"""The catalogue: python values as the rules expect them, and the order of the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.errors import BuildInputError
from index.products import find_tiers, order_rows, read_products, table_of, write_products
from suitability.policy import Policy, default_policy_path, load_policy

POLICY = load_policy(default_policy_path())


def _rows(table: pa.Table) -> tuple[Mapping[str, Any], ...]:
    return table_of(table, name="test").rows


def _ordered_ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [rows[position]["id"] for position in order_rows(rows, POLICY)]


def test_values_come_back_as_the_rules_expect_them() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "id": ["a", "b"],
            "channels": pa.array([["web", "app"], None], pa.list_(pa.string())),
            "tags": pa.array([["x", "y"], []], pa.list_(pa.string())),
            "sale_start": pa.array([start, None], pa.timestamp("us", tz="UTC")),
            "weights": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "us_persons_ok": [False, None],
        }
    )
    first, second = _rows(table)
    assert first["channels"] == frozenset({"web", "app"})
    assert first["tags"] == ("x", "y")
    assert first["sale_start"] == start
    assert first["sale_start"].utcoffset() is not None
    assert first["weights"] == {"k": 1}
    assert first["us_persons_ok"] is False
    assert dict(second) == {"id": "b", "tags": ()}


def test_a_column_keeps_row_order_and_gaps() -> None:
    table = table_of(pa.table({"id": ["a", "b"], "title": [None, "B"]}), name="test")
    assert table.column("title") == [None, "B"]
    with pytest.raises(KeyError):
        table.column("price")


def test_rows_are_read_only() -> None:
    row = _rows(pa.table({"id": ["a"]}))[0]
    with pytest.raises(TypeError):
        row["id"] = "b"  # type: ignore[index]


@pytest.mark.parametrize("bad_id", [None, "", "  ", "x" * 129, "\u00e9" * 65])
def test_a_bad_id_is_refused_with_its_row(bad_id: str | None) -> None:
    table = pa.table({"id": pa.array(["a", bad_id], pa.string())})
    with pytest.raises(BuildInputError, match="id at row 1"):
        table_of(table, name="test")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3 * 10**17], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        pa.array([253_402_300_799_999_999], pa.int64()).cast(pa.timestamp("us", tz="Asia/Shanghai")),
        pa.array([10**18 + 1], pa.int64()).cast(pa.timestamp("ns", tz="UTC")),
        pa.array([1], pa.int64()).cast(pa.timestamp("us", tz="Nowhere/Zone")),
        pa.array([10**8], pa.int32()).cast(pa.date32()),
        pa.array([[["app"]]]),
    ],
    ids=lambda values: str(values.type),
)
def test_values_that_python_cannot_hold_are_refused_and_named(values: Any) -> None:
    with pytest.raises(BuildInputError, match="test: column 'channels' of"):
        table_of(pa.table({"id": ["a"], "channels": values}), name="test")


def test_a_repeated_id_is_refused_and_named() -> None:
    with pytest.raises(BuildInputError, match="id 'a' at row 2 is there twice"):
        table_of(pa.table({"id": ["a", "b", "a"]}), name="test")


@pytest.mark.parametrize("table", [pa.table({"title": ["a"]}), pa.table({"id": [1]})])
def test_a_table_without_text_ids_is_refused(table: pa.Table) -> None:
    content = write_products(table, [0])
    with pytest.raises(BuildInputError, match="expected a text column 'id'"):
        read_products(pa.BufferReader(content), name="test")


@pytest.mark.parametrize(
    ("column", "values"), [("assumed", [1]), ("assumed", ["scale"]), ("assumed", [[1]]), ("issuer", [7])]
)
def test_a_column_that_answers_copy_must_hold_text(column: str, values: list[Any]) -> None:
    content = write_products(pa.table({"id": ["a"], column: values}), [0])
    with pytest.raises(BuildInputError, match=f"column '{column}' is"):
        read_products(pa.BufferReader(content), name="test")


@pytest.mark.parametrize("values", [[None], [[]], [["scale"]]])
def test_columns_that_state_nothing_or_text_are_read(values: list[Any]) -> None:
    content = write_products(pa.table({"id": ["a"], "issuer": [None], "assumed": values}), [0])
    assert read_products(pa.BufferReader(content), name="test").num_rows == 1


def test_rows_stand_in_ascending_risk() -> None:
    fund = {"family": "FUND", "scale": "CN5", "level_issuer": 2, "level_distributor": 2}
    cover = {"family": "INS_PROTECTION", "scale": "CN5", "level_issuer": 1, "level_distributor": 1}
    rows = [
        {"id": "unknown-level", "family": "FUND"},
        {"id": "stated-high", **fund, "risk_score": 9999},
        {"id": "malformed", **fund, "risk_score": 10_001},
        {"id": "derived", **fund},
        {"id": "stated-low", **fund, "risk_score": 0},
        {"id": "z-cover", **cover},
        {"id": "rated-cover", **cover, "level_issuer": 4, "risk_score": 5000},
        {"id": "z-course", "family": "COURSE", "risk_score": 9999},
        {"id": "a-cover", **cover},
        {"id": "a-course", "family": "COURSE"},
        {"id": "b-no-family"},
    ]
    assert _ordered_ids(rows) == [
        "a-course",
        "z-course",
        "a-cover",
        "z-cover",
        "stated-low",
        "derived",
        "rated-cover",
        "stated-high",
        "b-no-family",
        "malformed",
        "unknown-level",
    ]


def test_equal_risk_is_ordered_by_utf8_bytes_of_the_id() -> None:
    rows = [{"id": product_id, "family": "COURSE"} for product_id in ("\uff21", "b", "\U0001f600", "B")]
    assert _ordered_ids(rows) == ["B", "b", "\uff21", "\U0001f600"]


def test_the_order_does_not_depend_on_the_order_given(catalogue_rows: tuple[dict[str, Any], ...]) -> None:
    expected = _ordered_ids(catalogue_rows)
    for seed in range(3):
        permutation = np.random.default_rng(seed).permutation(len(catalogue_rows))
        assert _ordered_ids([catalogue_rows[position] for position in permutation]) == expected


def _policy(limits: Sequence[int]) -> Policy:
    """The default policy with these limits for the risk levels."""
    values = json.loads(default_policy_path().read_bytes())
    values["risk_score"]["limit_by_level"] = {str(level): limit for level, limit in enumerate(limits)}
    return load_policy(json.dumps(values).encode())


def test_a_tier_ends_where_its_limit_ends() -> None:
    scores = [None, 0, 2000, 2000, 2001, 4000, 9999]
    rows: list[dict[str, Any]] = [{"id": "course", "family": "COURSE"}]
    rows += [
        {"id": f"f{number}", "family": "FUND", "scale": "CN5", "risk_score": score}
        for number, score in enumerate(scores)
    ]
    rows = [rows[position] for position in order_rows(rows, POLICY)]
    assert [row["id"] for row in rows] == ["course", "f1", "f2", "f3", "f4", "f5", "f6", "f0"]
    assert find_tiers(rows, POLICY) == (4, 6, 6, 6, 7)
    assert find_tiers(rows, _policy([1999] * 6)) == (2,)
    assert find_tiers([], POLICY) == (0, 0, 0, 0, 0)


def test_a_table_whose_column_name_is_no_text_is_refused() -> None:
    table = pa.table({"id": ["a"], "zzqq": ["x"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False)
    damaged = sink.getvalue().to_pybytes().replace(b"zzqq", b"\xff\xfeqq")
    with pytest.raises(BuildInputError, match=r"p\.parquet: expected a Parquet table"):
        read_products(pa.BufferReader(damaged), name="p.parquet")
