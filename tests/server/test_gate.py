"""The gate as the server uses it: against a second reading of the rules, and what its verdicts lead to."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from server.gate import Gate, count_codes, holds_code, read_codes
from suitability.codes import codes_of_mask
from suitability.evaluate import evaluate
from suitability.policy import Policy, default_policy_path, load_policy
from suitability.validity import eligible_until
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, eligible_product, eligible_user
from tests.server.checker import judge

SEED = 20261122


def make_policy(**changes: Any) -> Policy:
    values = json.loads(default_policy_path().read_bytes())
    return load_policy(values | changes)


POLICY = make_policy(halted_products=["x0009"], halted_issuers=["halted issuer"])


def test_the_gate_gives_the_codes_of_the_second_reading() -> None:
    random = np.random.default_rng(SEED)
    products = draw_products(random, 168)
    gate, rows = Gate(products, POLICY), np.arange(168)
    eligible_count = 0
    for user in draw_users(random, 64):
        limit = None if random.random() < 0.7 else int(random.choice([0, 1000, 3000, 5000, 10_000]))
        masks = gate.masks(user, rows, NOW, CHANNEL, limit)
        eligible_count += int((~masks.any(axis=1)).sum())
        given = [codes_of_mask(int(low) | int(high) << 64) for low, high in masks.tolist()]
        expected = [judge(user, product, POLICY.values, NOW, CHANNEL, limit) for product in products]
        assert given == expected
    assert eligible_count >= 0.3 * 64 * 168


@pytest.mark.parametrize("changed", ["assessed_on", "needs_on", "birth_date", "profile_as_of"])
def test_each_of_the_users_days_ends_the_verdicts_that_depend_on_it(changed: str) -> None:
    late = datetime(2026, 11, 22, 15, 58, tzinfo=UTC)  # Two minutes before midnight in Shanghai.
    users_day = {
        "assessed_on": date(2025, 11, 23),
        "needs_on": date(2025, 11, 23),
        "birth_date": date(1980, 11, 23),
        "profile_as_of": late - timedelta(days=1) + timedelta(seconds=119),
    }
    user = eligible_user() | {changed: users_day[changed]}
    families = ("COURSE", "FUND", "INS_PROTECTION", "INS_LINKED")
    products = [eligible_product(family, family) for family in families]
    gate, rows = Gate(products, POLICY), np.arange(len(products), dtype=np.int64)
    admitted = gate.admit(user, late, CHANNEL, None)
    assert not gate.judge(admitted, rows).any()
    ends = gate.find_valid_until(admitted, rows)
    assert ends == [eligible_until(user, product, POLICY, late) for product in products]
    assert len(set(ends)) == 2


def test_an_eligible_verdict_holds_until_its_end() -> None:
    random = np.random.default_rng(SEED)
    products = draw_products(random, 64)
    gate = Gate(products, POLICY)
    seen = 0
    for user in draw_users(random, 16):
        admitted = gate.admit(user, NOW, CHANNEL, None)
        eligible = np.nonzero(~gate.judge(admitted, np.arange(64)).any(axis=1))[0]
        for row, end in zip(eligible, gate.find_valid_until(admitted, eligible), strict=True):
            last = end - timedelta(microseconds=1)
            assert evaluate(user, products[row], POLICY, last, CHANNEL) == frozenset()
            seen += 1
    assert seen >= 300


def test_no_row_from_the_stop_on_is_eligible() -> None:
    random = np.random.default_rng(SEED + 1)
    products = sorted(
        draw_products(random, 120), key=lambda product: (product.get("family") != "COURSE", str(product))
    )
    gate = Gate(products, POLICY)
    rows = np.arange(len(products), dtype=np.int64)
    stops = set()
    for user in draw_users(random, 60):
        admitted = gate.admit(user, NOW, CHANNEL, None)
        eligible = rows[~gate.judge(admitted, rows).any(axis=1)]
        assert eligible.max(initial=-1) < admitted.row_stop
        stops.add(admitted.row_stop)
    assert len(stops) > 2


def test_a_blocked_user_is_stopped_at_the_end_of_learning_content() -> None:
    products = [eligible_product("c1", "COURSE"), eligible_product("f1")]
    user = eligible_user() | {"blocked": True}
    assert Gate(products, POLICY).admit(user, NOW, CHANNEL, None).row_stop == 1


def test_a_user_without_a_valid_assessment_is_stopped_at_the_first_rated_row() -> None:
    products = [eligible_product("c1", "COURSE"), eligible_product("i1", "INS_PROTECTION")]
    gate = Gate([*products, eligible_product("f1")], POLICY)
    for user in (eligible_user() | {"change_reported": True}, eligible_user() | {"risk_level": None}):
        assert gate.admit(user, NOW, CHANNEL, None).row_stop == 2


@pytest.mark.parametrize(("limit", "stop"), [(None, 4), (1, 4), (0, 2), (-1, 1)])
def test_a_row_of_score_zero_is_not_cut_off_by_a_limit_of_zero(limit: int | None, stop: int) -> None:
    scores = (0, "0", 1)  # A score that is a text is unknown, and no limit admits it.
    products = [eligible_product("c1", "COURSE")]
    products += [eligible_product(f"f{score}") | {"risk_score": score} for score in scores]
    gate = Gate(products, POLICY)
    admitted = gate.admit(eligible_user(), NOW, CHANNEL, limit)
    assert admitted.row_stop == stop
    assert not gate.judge(admitted, np.array([stop - 1])).any()
    alone = Gate(products[1:2], POLICY).admit(eligible_user(), NOW, CHANNEL, limit)
    assert alone.row_stop == (0 if limit == -1 else 1)


def test_joined_users_keep_their_holdings_and_their_order() -> None:
    users = [eligible_user() | {"held_issuer": dict.fromkeys("abc"[:count], 10**9)} for count in (2, 0, 3)]
    products = [eligible_product(f"f{issuer}") | {"issuer": issuer} for issuer in "abcd"]
    gate = Gate(products, POLICY)
    user_of_pair, rows = np.divmod(np.arange(12), 4)
    admitted = [gate.admit(user, NOW, CHANNEL, None) for user in users]
    masks = gate.judge_many(admitted, user_of_pair, rows)
    over = holds_code(masks, "MAT_ISSUER_CONCENTRATION").reshape(3, 4)
    assert over.tolist() == [[True, True, False, False], [False] * 4, [True, True, True, False]]
    singles = [gate.judge(user, np.arange(4)) for user in admitted]
    np.testing.assert_array_equal(masks, np.concatenate(singles))


def test_the_level_cap_of_the_policy_applies_to_unrated_insurance_too() -> None:
    policy = make_policy(level_cap=1)
    products = [eligible_product("i1", "INS_PROTECTION", level=2), eligible_product("f1", level=1)]
    masks = Gate(products, policy).masks(eligible_user(), np.arange(2), NOW, CHANNEL, None)
    assert [read_codes(mask) for mask in masks] == [("MAT_LEVEL_OVER_CAP",), ()]


def test_the_product_side_follows_the_clock_and_the_channel() -> None:
    product = eligible_product("f1") | {"sale_end": NOW + timedelta(seconds=1)}
    gate = Gate([product], POLICY)
    row = np.zeros(1, np.int64)
    seen = [
        read_codes(gate.masks(eligible_user(), row, now, channel, None)[0])
        for now, channel in (
            (NOW, CHANNEL),
            (NOW + timedelta(microseconds=999_999), CHANNEL),
            (NOW + timedelta(seconds=1), CHANNEL),
            (NOW, "telephone"),
            (NOW, CHANNEL),
        )
    ]
    assert seen == [(), (), ("PRD_OUTSIDE_WINDOW",), ("PRD_CHANNEL_NOT_PERMITTED",), ()]


def test_every_boundary_in_time_is_on_the_definitions_side() -> None:
    hours = [NOW + timedelta(hours=hour) for hour in range(6)]
    policy = make_policy(effective_from=hours[0].isoformat(), effective_to=hours[5].isoformat())
    dates = {"sale_start": hours[1], "licence_until": hours[3], "sale_end": hours[4]}
    products = [
        eligible_product("f1") | dates,
        eligible_product("f2") | {"licence_until": hours[2]},
        eligible_product("f3") | {"licence_until": hours[2], "channels": ["branch"]},
        eligible_product("c1", "COURSE") | {"sale_end": hours[2], "licence_until": hours[1]},
    ]
    user, rows, gate = eligible_user(), np.arange(len(products)), Gate(products, policy)
    for now in (hour + step * timedelta(microseconds=1) for hour in hours for step in (-1, 0, 1)):
        masks = gate.masks(user, rows, now, CHANNEL, None)
        expected = [evaluate(user, product, policy, now, CHANNEL) for product in products]
        assert [set(read_codes(mask)) for mask in masks] == expected, now


def test_codes_are_counted_per_pair_in_predicate_order() -> None:
    products = [
        eligible_product("f1") | {"risk_score": 9000},
        eligible_product("f2") | {"risk_score": 9000, "status": "WITHDRAWN"},
        eligible_product("f3"),
    ]
    masks = Gate(products, POLICY).masks(eligible_user(4), np.arange(3), NOW, CHANNEL, None)
    assert count_codes(masks) == [("PRD_NOT_ON_SALE", 1), ("MAT_RISK_SCORE_OVER_LIMIT", 2)]
    assert holds_code(masks, "PRD_NOT_ON_SALE").tolist() == [False, True, False]
