"""Assumptions files: what each rule fills, that nothing stated is changed silently, and what is refused."""

import copy
import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from training.assume import apply_assumptions, read_assumptions
from training.dataset import DataSource
from training.errors import AssumptionError, MissingFileError
from training.importers.imported import ImportedData
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.tables import from_columns

CLOCK = datetime(2024, 2, 29, tzinfo=UTC)
FILE = {
    "schema": "prudence-assumptions/1",
    "source": "test",
    "about": "for a test",
    "fill": [{"table": "products", "field": "status", "value": "ON_SALE", "reason": "because"}],
}


def imported():
    products = {"id": ["p1", "p2"], "family": ["FUND", "FUND"], "status": ["CLOSED", None]}
    profiles = {
        "user_id": ["u1", "u2", "u3", "u4"],
        "assessed_on": [None, date(2023, 2, 28), date(2023, 3, 1), date(2020, 1, 1)],
        "profile_as_of": [None, CLOCK, datetime(2020, 1, 1, tzinfo=UTC), None],
    }
    return ImportedData(
        interactions=from_columns(INTERACTIONS, {"user_id": pa.array([], pa.string())}),
        products=from_columns(PRODUCTS, products),
        profiles=from_columns(PROFILES, profiles),
        source=DataSource(name="test", simulated=False, licence="", attribution="", clock=None),
        estimates={"products": {"level_issuer": pa.array([3, None], pa.int64())}},
    )


def apply(tmp_path, *entries):
    """Applies entries given as (table, field, how), where `how` is {"value": ...} or {"rule": ...}."""
    fill = [{"table": t, "field": f, "reason": "because"} | how for t, f, how in entries]
    path = tmp_path / "assume.json"
    path.write_text(json.dumps(FILE | {"fill": fill}))
    return apply_assumptions(imported(), read_assumptions(path), CLOCK)


def test_a_value_fills_missing_cells_only_and_is_marked(tmp_path):
    filled = apply(tmp_path, ("products", "status", {"value": "ON_SALE"}))
    assert filled.products.table.column("status").to_pylist() == ["CLOSED", "ON_SALE"]
    assert filled.products.table.column("assumed").to_pylist() == [[], ["status"]]
    assert filled.source.assumed == {"products": {"status": 1}, "profiles": {}}


@pytest.mark.parametrize(
    ("table", "field", "value", "stored"),
    [
        ("products", "channels", ["app", "web"], ["app", "web"]),
        ("products", "sale_end", "2025-01-01T00:00:00Z", datetime(2025, 1, 1, tzinfo=UTC)),
        ("products", "risk_score", 4000, 4000),
        ("profiles", "blocked", False, False),
        ("profiles", "birth_date", "1980-02-29", date(1980, 2, 29)),
        ("profiles", "knowledge", {"FUND": 2}, [("FUND", 2)]),
    ],
)
def test_a_value_of_every_kind_is_stored(tmp_path, table, field, value, stored):
    filled = apply(tmp_path, (table, field, {"value": value}))
    assert getattr(filled, table).table.column(field).to_pylist()[0] == stored


def test_an_estimate_fills_only_where_there_is_one(tmp_path):
    filled = apply(tmp_path, ("products", "level_issuer", {"rule": "estimate"}))
    assert filled.products.table.column("level_issuer").to_pylist() == [3, None]
    assert filled.source.assumed["products"] == {"level_issuer": 1}


def test_an_identifier_is_the_rows_own_id(tmp_path):
    filled = apply(tmp_path, ("products", "issuer", {"rule": "identifier"}))
    assert filled.products.table.column("issuer").to_pylist() == ["p1", "p2"]


def test_reconfirmation_replaces_what_is_missing_or_twelve_months_old(tmp_path):
    filled = apply(tmp_path, ("profiles", "assessed_on", {"rule": "reconfirmed"}))
    day_before = date(2024, 2, 28)
    expected = [day_before, day_before, date(2023, 3, 1), day_before]
    assert filled.profiles.table.column("assessed_on").to_pylist() == expected
    assert filled.source.assumed["profiles"] == {"assessed_on": 3}


def test_a_refreshed_instant_becomes_the_clock(tmp_path):
    filled = apply(tmp_path, ("profiles", "profile_as_of", {"rule": "refreshed"}))
    assert filled.profiles.table.column("profile_as_of").to_pylist() == [CLOCK] * 4


def test_the_description_says_why(tmp_path):
    filled = apply(tmp_path, ("products", "status", {"value": "ON_SALE"}))
    assert "for a test" in filled.source.notes
    assert "assumed products.status: because" in filled.source.notes


def test_an_estimate_that_the_source_lacks_is_refused(tmp_path):
    with pytest.raises(AssumptionError, match=r"products\.level_distributor"):
        apply(tmp_path, ("products", "level_distributor", {"rule": "estimate"}))


def test_assumptions_for_another_source_are_refused(tmp_path):
    path = tmp_path / "assume.json"
    path.write_text(json.dumps(FILE | {"source": "other"}))
    with pytest.raises(AssumptionError, match="other"):
        apply_assumptions(imported(), read_assumptions(path), CLOCK)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"field": "statsu"}, "statsu"),
        ({"field": "id"}, "id"),
        ({"field": "assumed"}, "assumed"),
        ({"field": 3}, "3"),
        ({"table": "interactions"}, "interactions"),
        ({"table": []}, "table"),
        ({"field": "risk_score", "value": 10**30}, "risk_score|integer"),
        ({"field": "sale_end", "value": "9999-12-31T23:59:59-05:00"}, "out of range"),
        ({"field": "channels", "value": [None]}, "out of range"),
        ({"field": "issuer", "value": " "}, "out of range"),
        ({"reason": " "}, "reason"),
        ({"value": 1}, "status"),
        ({"rule": "estimate"}, "exactly one"),
        ({"why": "x"}, "why"),
        ({"field": "blocked", "table": "profiles", "value": 0}, "blocked"),
        ({"field": "level_issuer", "value": True}, "level_issuer"),
        ({"field": "level_issuer", "value": 8}, "out of range"),
        ({"field": "scale", "value": "CN7"}, "CN7"),
        ({"field": "sale_end", "value": "2025-01-01T00:00:00"}, "zone"),
        ({"field": "sale_end", "value": "soon"}, "soon"),
        ({"field": "channels", "value": ["app", 3]}, "channels|texts"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entry, named):
    content = copy.deepcopy(FILE)
    content["fill"][0] |= entry
    path = tmp_path / "assume.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AssumptionError, match=named):
        read_assumptions(path)


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("status", "refreshed"),
        ("status", "guess"),
        ("status", ["guess"]),
        ("sale_end", "reconfirmed"),
        ("risk_score", "identifier"),
    ],
)
def test_a_rule_that_does_not_fit_its_field_is_refused(tmp_path, field, rule):
    with pytest.raises(AssumptionError, match=r"rule: .* cannot fill"):
        apply(tmp_path, ("products", field, {"rule": rule}))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ('{"schema": 1, "schema": 2}', "repeated"),
        (json.dumps(FILE | {"extra": 1}), "extra"),
        (json.dumps({"schema": "prudence-assumptions/1"}), "missing"),
        (json.dumps(FILE | {"schema": "prudence-assumptions/2"}), "schema"),
        (json.dumps(FILE | {"fill": {}}), "fill"),
        (json.dumps(FILE | {"fill": [3]}), "object"),
        (json.dumps(FILE | {"fill": FILE["fill"] * 2}), "more than once"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, text, named):
    path = tmp_path / "assume.json"
    path.write_text(text)
    with pytest.raises(AssumptionError, match=named):
        read_assumptions(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"assume\.json"):
        read_assumptions(tmp_path / "assume.json")
