"""The second reading of the rules against the golden cases, and against what it must not share."""

import ast
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.cases import (
    CHANNEL,
    FAMILIES,
    NOW,
    PRODUCT_CHANGES,
    USER_CHANGES,
    draw_products,
    draw_users,
    eligible_product,
    eligible_user,
    policy_variants,
    put,
)
from tests.server.checker import judge, tighten, valid_until, warn

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "suitability.json").read_text("utf-8"))
POLICY = json.loads((ROOT / "suitability" / "policy.default.json").read_bytes())
# The checker is given policies that were loaded, so it does not look for keys that no policy has.
CASES = [case for case in GOLDEN["cases"] if case["policy_change"].keys() <= POLICY.keys()]
INSTANTS = ("profile_as_of", "sale_start", "sale_end", "licence_until")
DAYS = ("birth_date", "assessed_on", "needs_on")


def decode(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record with instants, days and bytes in place of the texts that JSON holds."""
    values = dict(record)
    for name, value in record.items():
        if isinstance(value, str) and name in INSTANTS:
            values[name] = datetime.fromisoformat(value)
        elif isinstance(value, str) and name in DAYS:
            values[name] = date.fromisoformat(value)
        elif isinstance(value, str) and name == "pseudonym":
            values[name] = bytes.fromhex(value)
    return values


def read_case(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], datetime]:
    user = GOLDEN["records"].get(case["user"], {}) | case["user_change"]
    product = GOLDEN["records"][case["product"]] | case["product_change"]
    now = datetime.fromisoformat(case["now"])
    return decode(user), decode(product), POLICY | case["policy_change"], now


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_second_reading_agrees_with_a_golden_case(case: dict[str, Any]) -> None:
    user, product, policy, now = read_case(case)
    limit = case["risk_score_limit"]
    assert sorted(judge(user, product, policy, now, case["channel"], limit)) == case["codes"]
    if "valid_until" in case and not case["codes"]:
        assert valid_until(user, product, policy, now) == datetime.fromisoformat(case["valid_until"])
    if "warnings" in case:
        assert sorted(warn(user, product, policy, now, limit)) == case["warnings"]


def test_the_second_reading_imports_nothing_that_it_checks() -> None:
    modules = sorted((ROOT / "benchmarks" / "verify").glob("*.py"))
    imported = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
    assert len(modules) > 5
    assert not imported & {"suitability", "server", "index", "training", "export"}


def test_every_unchanged_pair_is_eligible_by_all_of_the_rules() -> None:
    for family in FAMILIES:
        for number in range(5):
            for level in range(1, 6):
                product = eligible_product(f"x{number}", family, level)
                assert judge(eligible_user(), product, POLICY, NOW, CHANNEL) == set()
                if family != "COURSE":
                    product |= {"scale": "SRI7", "level_issuer": level + 1}
                    assert judge(eligible_user(), product, POLICY, NOW, CHANNEL) == set()


def test_every_field_has_changes_and_each_predicate_decides_a_pair_alone() -> None:
    assert set(USER_CHANGES) == set(eligible_user())
    whole = {name for family in FAMILIES for name in eligible_product("x", family)}
    assert set(PRODUCT_CHANGES) == (whole | {"computed_risk_class", "dup_group", "risk_score"}) - {
        "title",
        "title_alternate",
    }
    alone = Counter(codes.pop() for codes in judge_changes() if len(codes) == 1)
    assert len(alone) >= 60, sorted(alone)


def judge_changes() -> list[set[str]]:
    """Judges each change of one field, on a fund, a protection and a linked insurance."""
    found = []
    for family, level in (("FUND", 4), ("FUND", 1), ("INS_PROTECTION", 1), ("INS_LINKED", 3)):
        for is_user, changes in ((True, USER_CHANGES), (False, PRODUCT_CHANGES)):
            for name, values in changes.items():
                for value in values:
                    user, product = eligible_user(), eligible_product("x", family, level)
                    put(user if is_user else product, name, value)
                    found.append(judge(user, product, POLICY, NOW, CHANNEL))
    return found


def test_enough_drawn_pairs_are_eligible_by_all_of_the_rules() -> None:
    random = np.random.default_rng(5)
    users, products = draw_users(random, 100), draw_products(random, 100)
    for name, policy in policy_variants(POLICY).items():
        eligible = sum(
            not judge(user, product, policy, NOW, CHANNEL)
            for user in users
            for product in products[: 100 if name == "as it is" else 20]
        )
        share = eligible / (10_000 if name == "as it is" else 2000)
        assert share >= (0.3 if name == "as it is" else 0.0), name


def test_an_overlay_only_tightens() -> None:
    overlay = {"halted_products": ["x1"], "halted_issuers": [], "level_cap": 1}
    tightened = tighten(POLICY | {"level_cap": 3, "halted_issuers": ["y"]}, overlay)
    assert (tightened["halted_products"], tightened["halted_issuers"]) == (["x1"], ["y"])
    assert tightened["level_cap"] == 1
    product = eligible_product("x1")
    assert judge(eligible_user(), product, POLICY, NOW, CHANNEL, None, overlay) == {"PRD_HALTED"}


def test_an_eligible_pair_is_eligible_until_its_end() -> None:
    random = np.random.default_rng(6)
    pairs = zip(draw_users(random, 300), draw_products(random, 300), strict=True)
    held = 0
    for user, product in pairs:
        if not judge(user, product, POLICY, NOW, CHANNEL):
            last = valid_until(user, product, POLICY, NOW) - datetime.resolution
            assert judge(user, product, POLICY, last, CHANNEL) == set()
            held += 1
    assert held > 90


def test_an_instant_without_a_zone_is_no_decision_time() -> None:
    naive = NOW.replace(tzinfo=None)
    assert judge(eligible_user(), eligible_product("x"), POLICY, naive, CHANNEL) == {"SYS_CLOCK_INVALID"}


def test_another_day_begins_at_sixteen_hundred_in_shanghai() -> None:
    user = eligible_user() | {"assessed_on": date(2025, 11, 23)}
    ends = valid_until(user, eligible_product("x"), POLICY, datetime(2026, 11, 22, 15, 58, tzinfo=UTC))
    assert ends == datetime(2026, 11, 22, 16, tzinfo=UTC)
