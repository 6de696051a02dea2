"""What a patch may do: tighten, and be refused for anything else."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from server.catalogue.patches import PATCHED_FIELDS, RefusalReason, find_refusals, tighten
from suitability import evaluate
from suitability.records import PRODUCT_FIELDS, read
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, eligible_product, eligible_user
from tests.server.judging import DEFAULT

FUND = eligible_product("f1") | {"level_issuer": 2, "level_distributor": 3, "capacity_left": 500_000_000}


def draw_patch(random: np.random.Generator) -> dict[str, Any]:
    """Draws some fields, each with a value that may be stricter or looser than a product's."""
    day = timedelta(days=1)
    values: dict[str, Any] = {
        "status": ["ON_SALE", "SUSPENDED"][random.integers(2)],
        "capacity_left": int(random.choice([0, 1, 10**6, 10**12])),
        "sale_start": NOW + int(random.integers(-900, 30)) * day,
        "sale_end": NOW + int(random.integers(-30, 900)) * day,
        "licence_until": NOW + int(random.integers(-30, 900)) * day,
        "level_issuer": int(random.integers(1, 6)),
        "level_distributor": int(random.integers(1, 6)),
        "risk_score": int(random.integers(0, 10_001)),
    }
    names = random.permutation(PATCHED_FIELDS)[: 1 + int(random.integers(4))]
    return {name: values[name] for name in names.tolist()}


def test_whatever_a_patch_says_no_product_suits_more_users() -> None:
    random = np.random.default_rng(20261122)
    products = [eligible_product(f"e{place}") for place in range(60)] + draw_products(random, 120)
    users = [eligible_user(level) for level in range(6)] + draw_users(random, 20)
    before_count = after_count = 0
    for product in products:
        patched = tighten(product, draw_patch(random), DEFAULT)
        for user in users:
            before = not evaluate(user, product, DEFAULT, NOW, CHANNEL)
            after = not evaluate(user, patched, DEFAULT, NOW, CHANNEL)
            assert before or not after
            before_count, after_count = before_count + before, after_count + after
    assert 100 < after_count < before_count, "both verdicts are there, and patches took some away"


def test_an_unknown_field_stays_unknown() -> None:
    for name in PATCHED_FIELDS:
        patch = draw_patch(np.random.default_rng(1)) | {"level_issuer": 4, "status": "ON_SALE"}
        bare = {key: value for key, value in FUND.items() if key != name}
        if name != "risk_score":
            assert read(tighten(bare, patch, DEFAULT), PRODUCT_FIELDS[name]) is None


def test_a_risk_score_that_is_not_stated_is_at_least_the_derived_one() -> None:
    bare = {name: value for name, value in FUND.items() if name != "risk_score"}
    derived = DEFAULT.values["risk_score"]["derive_from_level"]["CN5"]
    assert tighten(bare, {"risk_score": 1}, DEFAULT)["risk_score"] == derived[2]
    assert tighten(bare, {"risk_score": 9_999}, DEFAULT)["risk_score"] == 9_999
    assert tighten(bare, {"risk_score": 1, "level_issuer": 5}, DEFAULT)["risk_score"] == derived[4]


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"level_distributor": 4}, {}),
        ({"level_distributor": 3}, {}),
        ({"level_distributor": 2}, {"level_distributor": "NEEDS_NEW_BUNDLE"}),
        ({"level_issuer": 6}, {"level_issuer": "OUT_OF_SCALE"}),
        ({"sale_end": FUND["sale_end"] - timedelta(seconds=1)}, {}),
        ({"sale_end": FUND["sale_end"] + timedelta(seconds=1)}, {"sale_end": "NEEDS_NEW_BUNDLE"}),
        ({"sale_start": FUND["sale_start"] - timedelta(seconds=1)}, {"sale_start": "NEEDS_NEW_BUNDLE"}),
        ({"licence_until": datetime.max.replace(tzinfo=NOW.tzinfo)}, {"licence_until": "NEEDS_NEW_BUNDLE"}),
        ({"capacity_left": 0}, {}),
        ({"capacity_left": 500_000_001}, {"capacity_left": "NEEDS_NEW_BUNDLE"}),
        ({"status": "SUSPENDED"}, {}),
        ({"status": "ON_SALE"}, {}),
        ({"level_issuer": 1, "capacity_left": 0}, {"level_issuer": "NEEDS_NEW_BUNDLE"}),
    ],
)
def test_what_would_loosen_is_refused_and_named(asked: dict[str, Any], refused: dict[str, str]) -> None:
    found = find_refusals(FUND, {}, asked, DEFAULT)
    assert {refusal.field: refusal.reason.name for refusal in found} == refused
    for refusal in found:
        assert (
            refusal.in_force in {str(FUND[refusal.field]), str(FUND[refusal.field].isoformat())}
            if isinstance(FUND[refusal.field], datetime)
            else {str(FUND[refusal.field])}
        )


def test_facts_of_the_day_come_back_and_ratings_do_not() -> None:
    tightened = {"status": "SUSPENDED", "capacity_left": 0, "level_issuer": 5, "sale_end": NOW}
    back = {"status": "ON_SALE", "capacity_left": 100, "level_issuer": 2, "sale_end": FUND["sale_end"]}
    found = find_refusals(FUND, tightened, back, DEFAULT)
    assert [refusal.field for refusal in found] == ["level_issuer", "sale_end"]
    assert {refusal.reason for refusal in found} == {RefusalReason.NEEDS_NEW_BUNDLE}
    assert find_refusals(FUND | {"status": "CLOSED"}, {}, {"status": "ON_SALE"}, DEFAULT)


def test_what_the_bundle_does_not_state_cannot_be_patched() -> None:
    bare = {"id": "x", "family": "FUND", "issuer": "i"}
    asked = {
        "status": "SUSPENDED",
        "capacity_left": 0,
        "level_issuer": 5,
        "sale_end": NOW,
        "risk_score": 10_000,
    }
    found = find_refusals(bare, {}, asked, DEFAULT)
    assert {refusal.field: refusal.reason.name for refusal in found} == dict.fromkeys(asked, "NOT_STATED")
    assert {refusal.in_force for refusal in found} == {""}
