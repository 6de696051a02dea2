"""Runs the golden cases: one change of a suitable pair, and the verdict that the rules give to it."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import pytest

from suitability import CODES, evaluate, valid_until, warnings
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "suitability.json").read_text("utf-8"))
NAMES = [case["name"] for case in GOLDEN["cases"]]
DECODERS = {
    Kind.INSTANT: datetime.fromisoformat,
    Kind.DAY: date.fromisoformat,
    Kind.BYTES: bytes.fromhex,
}


def decoded(record: Mapping[str, object], fields: Mapping[str, Field]) -> dict[str, object]:
    """Returns a record with instants, days and bytes in place of their texts; the rest stands as it is."""
    values = {}
    for name, value in record.items():
        decode = DECODERS.get(fields[name].kind) if name in fields else None
        values[name] = decode(value) if decode is not None and isinstance(value, str) else value
    return values


def pair_of(case):
    user = None
    if case["user"] is not None:
        user = decoded({**GOLDEN["records"][case["user"]], **case["user_change"]}, USER_FIELDS)
    product = {**GOLDEN["records"][case["product"]], **case["product_change"]}
    return user, decoded(product, PRODUCT_FIELDS)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=NAMES)
def test_a_golden_case_gives_its_codes(case, policy):
    user, product = pair_of(case)
    rules = {**policy.values, **case["policy_change"]}
    now = datetime.fromisoformat(case["now"])
    limit = case["risk_score_limit"]
    assert sorted(evaluate(user, product, rules, now, case["channel"], limit)) == case["codes"]
    assert set(case["codes"]) <= CODES.keys()


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN["cases"] if "valid_until" in case], ids=lambda case: case["name"]
)
def test_a_golden_case_gives_its_end(case, policy):
    user, product = pair_of(case)
    rules = {**policy.values, **case["policy_change"]}
    now = datetime.fromisoformat(case["now"])
    end = valid_until(user, product, rules, now, case["channel"], case["risk_score_limit"])
    assert end == datetime.fromisoformat(case["valid_until"])


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN["cases"] if "warnings" in case], ids=lambda case: case["name"]
)
def test_a_golden_case_gives_its_warnings(case, policy):
    user, product = pair_of(case)
    assert sorted(warnings(user, product, policy, datetime.fromisoformat(case["now"]))) == case["warnings"]


def test_the_names_of_golden_cases_are_unique():
    assert len(set(NAMES)) == len(NAMES)
