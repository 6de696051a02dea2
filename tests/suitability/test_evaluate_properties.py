"""Properties of the verdict, from an eligible pair by one or two changes; eligible examples are counted."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suitability import (
    CODES,
    PREDICATES,
    effective_level,
    evaluate,
    is_learning,
    is_rated,
    tighten,
    valid_until,
)
from tests.server import checker
from tests.suitability.bases import BASES, LEVEL_4, POLICY, changed, policy_with, verdict, without
from tests.suitability.changes import (
    DELETABLE,
    ELIGIBLE_MIN,
    EXAMPLES,
    TABLES,
    Count,
    fields,
    instants,
    pairs,
)
from tests.suitability.conftest import NOW, PRODUCT, USER

MICROSECOND = timedelta(microseconds=1)
ZONES = [
    "Asia/Shanghai",
    "UTC",
    "Europe/London",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
junk = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.just([]), st.just({})
)


def test_a_second_reading_of_the_rules_gives_the_same_codes_and_the_same_end():
    count = Count()

    @EXAMPLES
    @given(pairs(change_count_max=4), st.one_of(st.just(NOW), instants), st.none() | st.integers(0, 10_000))
    def holds(pair, now, limit):
        codes = count.see(verdict(*pair, now=now, limit=limit))
        assert codes == checker.judge(*pair, POLICY.values, now, "app", limit)
        if not codes:
            end = valid_until(*pair, POLICY, now, "app", limit)
            assert end == checker.valid_until(*pair, POLICY.values, now)

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_deleting_a_field_never_adds_a_product():
    count = Count()

    @EXAMPLES
    @given(pairs(), st.sampled_from(DELETABLE))
    def holds(pair, deleted):
        before = count.see(verdict(*pair))
        side, name = deleted
        user, product = pair
        after = (without(user, name), product) if side == "user" else (user, without(product, name))
        assert verdict(*after) or not before

    holds()
    assert count.eligible >= ELIGIBLE_MIN


# What can only take a product away when it moves in the stated direction (+1: more, -1: less).
WORSE = [
    ("user", "risk_level", -1, 5),
    ("user", "loss_capacity", -1, 3),
    ("user", "max_loss_bps", -1, 10_000),
    ("user", "horizon_months", -1, 100),
    ("user", "liquid", -1, 10**7),
    ("user", "income", -1, 10**7),
    ("user", "premium_budget", -1, 10**6),
    ("user", "held_high_risk", +1, 2 * 10**7),
    ("user", "user_risk_band", +1, 100),
    ("user", "assessments_today", +1, 5),
    ("user", "assessments_12m", +1, 12),
    ("product", "level_issuer", +1, 5),
    ("product", "level_distributor", +1, 5),
    ("product", "risk_score", +1, 10_000),
    ("product", "computed_risk_class", +1, 7),
    ("product", "min_knowledge", +1, 3),
    ("product", "loss_class", +1, 3),
    ("product", "min_horizon_months", +1, 100),
    ("product", "min_age", +1, 80),
    ("product", "max_age", -1, 80),
    ("product", "min_amount", +1, 2 * 10**7),
    ("product", "capacity_left", -1, 3 * 10**6),
    ("product", "annual_premium", +1, 10**7),
    ("product", "single_premium", +1, 10**7),
]


@pytest.mark.parametrize(("side", "name", "worse", "highest"), WORSE, ids=str)
def test_a_worse_value_never_adds_a_product(side, name, worse, highest):
    count = Count()
    low = 1 if name.startswith("level_") or name == "computed_risk_class" else 0

    @EXAMPLES
    @given(pairs(change_count_max=1), st.integers(low, highest), st.integers(low, highest))
    def holds(pair, one, other):
        good, bad = sorted((one, other), key=lambda value: value * worse)
        better = count.see(verdict(*changed(side, *pair, {name: good})))
        assert verdict(*changed(side, *pair, {name: bad})) or not better

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_more_at_the_products_own_issuer_never_takes_away_the_issuers_code_and_never_adds_below_high_risk():
    # What is held anywhere counts in the total, so the share at high risk falls when the holding at the
    # product's own issuer grows: for a product of high risk only the issuer's own code is monotone.
    count = Count()
    amounts = st.integers(0, 4 * 10**7)

    @EXAMPLES
    @given(pairs(change_count_max=1), amounts, amounts)
    def holds(pair, one, other):
        user, product = pair
        little = count.see(verdict({**user, "held_issuer": {"issuer-1": min(one, other)}}, product))
        much = verdict({**user, "held_issuer": {"issuer-1": max(one, other)}}, product)
        assert "MAT_ISSUER_CONCENTRATION" in much or "MAT_ISSUER_CONCENTRATION" not in little
        assert much or not little - {"MAT_HIGH_RISK_CONCENTRATION"}
        assert "MAT_HIGH_RISK_CONCENTRATION" not in little or (effective_level(product) or 4) >= 4

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_more_at_the_products_own_issuer_can_lower_the_share_at_high_risk():
    user, product = {**USER, "risk_level": 4, "held_high_risk": 9_900_001}, {**PRODUCT, **LEVEL_4}
    assert verdict(user, product) == {"MAT_HIGH_RISK_CONCENTRATION"}
    assert verdict({**user, "held_issuer": {"issuer-1": 5}}, product) == frozenset()


def test_a_requests_limit_never_adds_a_product():
    count = Count()

    @EXAMPLES
    @given(pairs(), st.one_of(st.integers(4000, 10_000), st.none(), junk))
    def holds(pair, limit):
        tightened = count.see(verdict(*pair, limit=limit))
        assert tightened or not verdict(*pair)

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_an_overlay_never_adds_a_product():
    count = Count()
    overlays = st.fixed_dictionaries(
        {},
        optional={
            "halted_products": st.lists(st.sampled_from(["fund-1", "cover-1", "course-1", "x"]), max_size=2),
            "halted_issuers": st.lists(st.sampled_from(["issuer-1", "school-1", "x"]), max_size=1),
            "level_cap": st.integers(0, 7),
        },
    )

    @EXAMPLES
    @given(pairs(), overlays)
    def holds(pair, overlay):
        user, product = pair
        after = count.see(verdict(user, product, tighten(POLICY, overlay)))
        assert after or not verdict(user, product)
        if product.get("id") in overlay.get("halted_products", ()):
            assert "PRD_HALTED" in after

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_an_eligible_verdict_holds_until_its_end():
    count = Count()

    @EXAMPLES
    @given(pairs(), st.sampled_from(ZONES), st.integers(0, 10**6))
    def holds(pair, zone, millionths):
        rules = policy_with(jurisdiction_tz=zone, response_max_ttl_s=86_400)
        end = valid_until(*pair, rules, NOW, "app")
        if count.see(verdict(*pair, rules)):
            assert end == NOW
            return
        assert end > NOW
        between = NOW + (end - MICROSECOND - NOW) * millionths // 10**6
        assert verdict(*pair, rules, now=between) == frozenset()
        assert verdict(*pair, rules, now=end - MICROSECOND) == frozenset()

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_no_instant_and_no_zone_admits_what_has_ended():
    # Restates the ends in plain UTC and local days; summer time and day-long clock steps are among the drawn.
    count = Count()

    @EXAMPLES
    @given(
        pairs(change_count_max=1),
        instants,
        st.integers(-10, 86_410),
        st.integers(0, 370),
        st.sampled_from(ZONES),
    )
    def holds(pair, now, age_s, day_count, zone):
        user, product = pair
        today = now.astimezone(ZoneInfo(zone)).date()
        user = {**user, "profile_as_of": now - timedelta(seconds=age_s)}
        user |= dict.fromkeys(("assessed_on", "needs_on"), today - timedelta(days=day_count))
        if count.see(verdict(user, product, policy_with(jurisdiction_tz=zone), now)):
            return
        assert product["sale_start"] <= now < product["sale_end"]
        if is_learning(product):
            return
        assert now < product["licence_until"]
        assert 0 <= age_s <= 86_400
        # Both the assessment of an investment and the needs of an insurance last a year, which has 365 days.
        assert day_count < 365

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_a_step_of_the_clock_by_a_day_leaves_no_financial_product():
    for base, (user, product) in BASES.items():
        for step in (timedelta(days=1), timedelta(days=-1), timedelta(days=366)):
            codes = verdict(user, product, now=NOW + step)
            assert ("USR_PROFILE_STALE" in codes) is (base != "course")


def test_the_lowest_category_never_sees_a_rated_product_above_level_one():
    count = Count()

    @EXAMPLES
    @given(pairs(), st.sampled_from(["CN5", "SRI7"]), st.integers(1, 3))
    def holds(pair, scale, level):
        user, product = pair
        stated = {"scale": scale, "level_issuer": 1, "level_distributor": level, "risk_score": None}
        lowest = ({**user, "risk_level": 0}, {**product, **stated})
        codes = count.see(verdict(*lowest))
        assert codes or level == 1 or not is_rated(lowest[1], POLICY)

    holds()
    assert count.eligible >= ELIGIBLE_MIN


@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("product", {"offering": "PRIVATE"}),
        ("user", {"capacity": "NONE"}),
        ("user", {"blocked": True}),
        ("user", {"consent_sensitive": False}),
        ("user", {"profile_as_of": NOW + MICROSECOND}),
        ("user", {"profile_as_of": NOW - timedelta(days=1, microseconds=1)}),
        ("user", {"pseudonym": None}),
    ],
    ids=str,
)
def test_what_denies_denies_whatever_else_is_changed(side, change):
    count = Count()

    @EXAMPLES
    @given(pairs())
    def holds(pair):
        count.see(verdict(*pair))
        learning = is_learning(pair[1])
        assert verdict(*changed(side, *pair, change)) or learning

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_no_field_waives_a_code_and_none_that_no_rule_reads_changes_one():
    count = Count()
    strange = st.dictionaries(
        st.sampled_from(["waiver", "written_confirmation", "force", "override", "commission_bps", "margin"]),
        st.one_of(st.booleans(), st.integers(), st.just("yes")),
        min_size=1,
    )

    @EXAMPLES
    @given(pairs(), strange, strange)
    def holds(pair, of_user, of_product):
        user, product = pair
        codes = count.see(verdict(user, product))
        assert verdict({**user, **of_user}, {**product, **of_product}) == codes
        assert verdict(user, product, {**POLICY.values, **of_product}) >= {"SYS_POLICY_NOT_EFFECTIVE"}

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_neither_the_order_nor_the_kind_of_a_collection_matters():
    count = Count()

    @EXAMPLES
    @given(pairs(), st.sampled_from([list, tuple, frozenset, set]), st.booleans())
    def holds(pair, kind, turned):
        def other(record):
            items = sorted(record.items(), reverse=turned)
            return {
                name: kind(sorted(value, reverse=turned)) if isinstance(value, set) else value
                for name, value in items
            }

        assert verdict(other(pair[0]), other(pair[1])) == count.see(verdict(*pair))

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_junk_never_raises_and_at_most_one_code_per_predicate_results():
    @EXAMPLES
    @given(pairs(), st.lists(st.tuples(fields, junk), max_size=8), junk, junk)
    def holds(pair, changes, channel, limit):
        records = {"user": dict(pair[0]), "product": dict(pair[1])}
        for (side, name), value in changes:
            assert name in TABLES[side]
            records[side][name] = value
        codes = evaluate(records["user"], records["product"], POLICY, NOW, channel, limit)
        assert codes <= CODES.keys()
        assert len(codes) <= len(PREDICATES)

    holds()


def test_a_leap_second_is_no_instant_of_a_policy():
    leap = policy_with().values | {"effective_to": "2026-12-31T23:59:60Z"}
    assert verdict(USER, PRODUCT, leap) == {"SYS_POLICY_NOT_EFFECTIVE"}
    # A clock that repeats or smears the second shows the one before or after it: both sides are decided.
    last = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    user = {**USER, "profile_as_of": last, "assessed_on": last.date()}
    assert verdict(user, PRODUCT, now=last) == frozenset()
    assert verdict(user, PRODUCT, now=last + MICROSECOND) == {"PRD_OUTSIDE_WINDOW"}
