"""Reads the golden cases: one change of a suitable pair, and the verdict that the rules give to it."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from suitability import default_policy_path, load_policy
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "suitability.json").read_text("utf-8"))
CASES = GOLDEN["cases"]
POLICY = load_policy(default_policy_path())
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


def records_of(case: Mapping[str, Any]) -> tuple[dict[str, object] | None, dict[str, object]]:
    """Returns the user and the product of a case."""
    user = None
    if case["user"] is not None:
        user = decoded({**GOLDEN["records"][case["user"]], **case["user_change"]}, USER_FIELDS)
    product = {**GOLDEN["records"][case["product"]], **case["product_change"]}
    return user, decoded(product, PRODUCT_FIELDS)


def rules_of(case: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the policy of a case as a plain mapping, which may be malformed on purpose."""
    return {**POLICY.values, **case["policy_change"]}


def pair_of(case: Mapping[str, Any]) -> Pair:
    """Returns everything that the verdict on a case depends on."""
    now = datetime.fromisoformat(case["now"])
    return Pair(*records_of(case), rules_of(case), now, case["channel"], case["risk_score_limit"])
