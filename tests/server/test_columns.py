"""A catalogue by columns is compiled into what its products give one by one."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from index.product_rows import ProductRows
from index.products import table_of
from server.columns import Columns, compile_columns
from server.filter import Filter
from server.gate import Gate
from server.row_bits import unpack
from suitability import load_policy
from suitability.policy import default_policy_path
from suitability.records import PRODUCT_FIELDS, Kind
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, policy_variants

POLICY = load_policy(default_policy_path())
VARIANTS = {name: load_policy(values) for name, values in policy_variants(POLICY.values).items()}
CASES = [(61, name) for name in sorted(VARIANTS)] + [(size, min(VARIANTS)) for size in (0, 1, 2, 500)]

TYPES: dict[Kind, pa.DataType] = {
    Kind.INTEGER: pa.int64(),
    Kind.TEXT: pa.string(),
    Kind.FLAG: pa.bool_(),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.TEXTS: pa.list_(pa.string()),
}
# What stands in a column for a malformed value that its type cannot hold.
MALFORMED: dict[Kind, Any] = {
    Kind.INTEGER: -7,
    Kind.TEXT: " ",
    Kind.FLAG: None,
    Kind.INSTANT: datetime(1, 1, 1, tzinfo=UTC),
    Kind.TEXTS: ["app", ""],
}
WIDE = {name: pa.float64() for name in ("min_age", "risk_score")} | {"channels": pa.string()}
"""Columns of a wrong type: nothing in them is ever read."""


def make_rows(products: list[dict[str, Any]], types: dict[str, pa.DataType]) -> ProductRows:
    """Returns products by columns; what a column cannot hold becomes something else that is wrong."""
    columns: dict[str, pa.Array] = {}
    for name, field in PRODUCT_FIELDS.items():
        kind = types.get(name, TYPES[field.kind])
        columns[name] = pa.array([fit(product.get(name), kind, field.kind) for product in products], kind)
    columns["id"] = pa.array([f"p{row}" for row in range(len(products))], pa.string())
    columns["assumed"] = pa.array(
        [product.get("assumed") if row % 3 else ["title"] for row, product in enumerate(products)],
        pa.list_(pa.string()),
    )
    return table_of(pa.table(columns), name="test").rows


def fit(value: Any, kind: pa.DataType, field_kind: Kind) -> Any:
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    try:
        return pa.array([value], kind)[0].as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return MALFORMED[field_kind] if kind == TYPES[field_kind] else None


def assert_same(found: Columns, expected: Columns) -> None:
    for name in found.records.dtype.names or ():
        assert found.records[name].tolist() == expected.records[name].tolist(), name
    assert (found.sets.words == expected.sets.words).all()
    assert found.sets.starts.tolist() == expected.sets.starts.tolist()
    for name in ("issuers", "dup_groups"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.sets.bits == expected.sets.bits
    for name in Columns.__slots__:
        values = getattr(found, name)
        if isinstance(values, np.ndarray) and name != "records":
            assert values.dtype == getattr(expected, name).dtype, name
            assert values.tolist() == getattr(expected, name).tolist(), name
    named = {"p0", "p60", "absent"}
    assert found.find_rows(named).tolist() == expected.find_rows(named).tolist()


@pytest.mark.parametrize("wrong_types", [False, True])
@pytest.mark.parametrize(("size", "name"), CASES)
def test_a_catalogue_by_columns_is_compiled_as_its_products_are(
    size: int, name: str, wrong_types: bool
) -> None:
    policy = VARIANTS[name]
    rows = make_rows(draw_products(np.random.default_rng(size), size), WIDE if wrong_types else {})
    plain = [dict(row) for row in rows]
    assert_same(compile_columns(rows, policy), compile_columns(plain, policy))
    gate = Gate(plain, policy)
    by_columns, one_by_one = (
        Filter(products, compile_columns(products, policy), policy) for products in (rows, plain)
    )
    for user in draw_users(np.random.default_rng(3), 5):
        arrays = gate.admit(user, NOW, CHANNEL, None).arrays
        allowed = [unpack(kept.allow(user, arrays, NOW, CHANNEL), size) for kept in (by_columns, one_by_one)]
        assert allowed[0].tolist() == allowed[1].tolist()


def test_products_by_columns_are_of_every_family_and_partly_malformed() -> None:
    rows = make_rows(draw_products(np.random.default_rng(501), 500), {})
    table = compile_columns(rows, POLICY).records
    assert len({row.get("family") for row in rows}) > 8
    codes = ("status_code", "window_code", "channel_code", "offering_code", "quota_code", "currency_code")
    for name in (*codes, "client_type_code", "jurisdiction_code", "objectives_code", "needs_code"):
        assert 2 < np.count_nonzero(table[name]) < 498, name


def test_a_halted_product_or_issuer_is_found_by_columns() -> None:
    rows = make_rows(draw_products(np.random.default_rng(1), 80), {})
    issuer = next(row["issuer"] for row in rows if row.get("issuer"))
    policy = load_policy(
        {**POLICY.values, "halted_products": ["p7", "p71", "absent"], "halted_issuers": [issuer]}
    )
    plain = [dict(row) for row in rows]
    assert_same(compile_columns(rows, policy), compile_columns(plain, policy))
    codes = compile_columns(rows, policy).records["status_code"].tolist()
    halted = [row for row, product in enumerate(plain) if product.get("issuer") == issuer]
    assert len({codes[row] for row in halted if plain[row].get("family")} - {0}) >= 1
