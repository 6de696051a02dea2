"""Fields without which nothing is shown: those whose absence alone denies, and how that is told."""

from datetime import UTC, date, datetime

import pytest

from suitability import default_policy_path, evaluate, load_policy
from suitability.records import PRODUCT_FIELDS as RULE_PRODUCT_FIELDS
from suitability.records import USER_FIELDS as RULE_USER_FIELDS
from training import data_commands, needed
from training.needed import INSURANCE, INVESTMENT, LEARNING, Gap, find_gaps
from training.schema import PRODUCTS, PROFILES
from training.tables import from_columns

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
POLICY = load_policy(default_policy_path())
SALE = {
    "id": "p1",
    "issuer": "issuer",
    "status": "ON_SALE",
    "sale_start": datetime(2026, 1, 1, tzinfo=UTC),
    "sale_end": datetime(2027, 1, 1, tzinfo=UTC),
    "channels": ["app"],
}
# These products ask for nothing beyond what every product of their kind asks for.
FINANCIAL = SALE | {
    "registration_code": "R-1",
    "licence_until": datetime(2027, 1, 1, tzinfo=UTC),
    "scale": "CN5",
    "level_issuer": 1,
    "level_distributor": 1,
    "offering": "PUBLIC",
    "capacity_left": 1_000,
    "min_amount": 10,
    "retail": "Y",
    "min_knowledge": 0,
    "loss_class": 0,
    "max_loss_bps": 0,
    "min_horizon_months": 0,
    "min_age": 18,
    "max_age": 80,
    "jurisdictions": ["CN"],
    "us_persons_ok": False,
    "currency": "CNY",
}
PRODUCT = {
    LEARNING: SALE | {"family": "COURSE"},
    INVESTMENT: FINANCIAL | {"family": "FUND", "objectives_y": ["income"], "objectives_n": []},
    INSURANCE: FINANCIAL
    | {"family": "INS_PAR_UL", "needs_served": ["savings"], "pay_years": 0, "single_premium": 100},
}
USER = {
    "pseudonym": b"u",
    "profile_as_of": NOW,
    "client_type": "RETAIL",
    "capacity": "FULL",
    "birth_date": date(1985, 5, 17),
    "jurisdiction": "CN",
    "us_person": False,
    "vulnerable": False,
    "blocked": False,
    "consent_sensitive": True,
    "risk_level": 3,
    "assessed_on": date(2026, 6, 1),
    "level_changed": False,
    "level_confirmed": True,
    "change_reported": False,
    "assessments_today": 0,
    "assessments_12m": 1,
    "knowledge": {},
    "loss_capacity": 2,
    "max_loss_bps": 1_000,
    "horizon_months": 60,
    "objectives": ["income"],
    "needs": ["savings"],
    "needs_on": date(2026, 6, 1),
    "liquid": 1_000_000,
    "income": 1_000_000,
    "premium_budget": 100_000,
    "currencies": ["CNY"],
    "held_issuer": {},
    "held_high_risk": 0,
    "held_dup_groups": [],
}
# Missing means true and RETAIL here, and single_premium is needed only where nothing is paid yearly.
NEEDED_BY_SOME = {"us_person", "single_premium"}


def denied_without(record, fields, pair):
    """Lists the fields whose absence alone denies an eligible pair; `pair` gives (user, product)."""
    assert evaluate(*pair(record), POLICY, NOW, "app") == frozenset()
    denied = {
        name
        for name in fields
        if evaluate(*pair({k: v for k, v in record.items() if k != name}), POLICY, NOW, "app")
    }
    return denied - NEEDED_BY_SOME


@pytest.mark.parametrize("kind", [LEARNING, INVESTMENT, INSURANCE])
def test_the_fields_of_a_product_are_those_whose_absence_denies(kind):
    found = denied_without(PRODUCT[kind], RULE_PRODUCT_FIELDS, lambda record: (USER, record))
    assert found == {*needed.PRODUCT_FIELDS[kind], "id", "family"}


@pytest.mark.parametrize("kind", [INVESTMENT, INSURANCE])
def test_the_fields_of_a_user_are_those_whose_absence_denies(kind):
    found = denied_without(USER, RULE_USER_FIELDS, lambda record: (record, PRODUCT[kind]))
    # The store gives every user a pseudonym; at level 1 of a product nobody is too vulnerable.
    assert found == {*needed.USER_FIELDS[kind], "pseudonym"}


def tables():
    products = {
        "id": ["p1", "p2", "p3", "p4"],
        "family": ["FUND", "FUND", "INS_LINKED", None],
        "min_knowledge": [1, None, None, None],
    }
    profiles = {"user_id": ["u1", "u2", "u3"], "liquid": [1, None, None], "income": [1, 1, 1]}
    return from_columns(PRODUCTS, products).table, from_columns(PROFILES, profiles).table


def test_gaps_are_counted_for_the_kinds_that_are_offered():
    gaps = {(gap.table, gap.kind, gap.field): (gap.missing, gap.rows) for gap in find_gaps(*tables())}
    assert gaps["products", "", "family"] == (1, 4)
    assert gaps["products", INVESTMENT, "min_knowledge"] == (1, 2)
    assert gaps["products", INSURANCE, "min_knowledge"] == (1, 1)
    assert gaps["profiles", INVESTMENT, "liquid"] == (2, 3)
    assert ("profiles", INSURANCE, "income") not in gaps
    assert not any(kind == LEARNING for _, kind, _ in gaps)


def test_a_gap_says_what_follows_from_it():
    gap = Gap("products", INVESTMENT, "min_knowledge", 412, 1600)
    assert gap.describe() == (
        "412 of 1,600 investment products lack min_knowledge: none of them can be shown"
    )
    assert Gap("products", "", "family", 1, 4).describe().startswith("1 of 4 products lack family")
    gap = Gap("profiles", INSURANCE, "needs", 3, 9)
    assert gap.describe() == "3 of 9 users lack needs: no insurance can be shown to them"


def test_the_check_tells_the_gaps(tmp_path, capsys):
    (tmp_path / "events.csv").write_text(
        "user_id,product_id,event_type,event_time\nu,p,view,2026-01-01T00:00:00Z\n"
    )
    (tmp_path / "products.csv").write_text("id,family\np,FUND\n")
    (tmp_path / "profiles.csv").write_text("user_id,liquid\nu,5\nv,\n")
    files = [str(tmp_path / f"{name}.csv") for name in ("events", "products", "profiles")]
    assert data_commands.main(["check", *files, str(tmp_path / "data")]) == 0
    output = capsys.readouterr().out
    assert "1 of 1 investment products lack min_knowledge: none of them can be shown" in output
    assert "1 of 2 users lack liquid: no investment can be shown to them" in output
