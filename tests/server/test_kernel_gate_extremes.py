"""The compiled gate at the extremes: ratios, sums, sets of many words, odd catalogues and overlays."""

import itertools
from collections import Counter

import numpy as np
import pytest

from server.errors import SnapshotError
from server.gate import Gate, count_codes, read_codes
from server.set_bits import VALUE_COUNT_MAX
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, eligible_product, eligible_user
from tests.server.judging import DEFAULT, SEED, VALUES, find_differences, judge_all, make_overlay, make_policy


@pytest.mark.parametrize("limit_bps", [0, 1, 3333, 9999, 10_000])
@pytest.mark.parametrize("liquid", [0, 1, 3, 9_999, 10_001, 10**15])
def test_a_ratio_is_met_exactly_at_its_limit(liquid: int, limit_bps: int) -> None:
    policy = make_policy(
        affordability={"min_investment_max_bps_of_liquid": limit_bps},
        concentration={"issuer_max_bps": limit_bps, "high_risk_level": 1, "high_risk_max_bps": limit_bps},
        insurance=VALUES["insurance"]
        | {
            "annual_premium_max_bps_of_income": limit_bps * 100,
            "single_premium_max_bps_of_income": limit_bps,
            "budget_max_bps": limit_bps * 100,
        },
    )
    shares = {liquid * limit_bps * more // 10_000 + step for more in (1, 100) for step in (-2, -1, 0, 1, 2)}
    amounts = sorted({min(max(share, 0), 10**15) for share in shares} | {0, 10**15})
    products = []
    for amount in amounts:
        smallest = {"min_amount": amount, "capacity_left": 10**15}
        premiums = {"annual_premium": amount, "single_premium": amount}
        for family, pay_years in (("FUND", None), ("INS_LINKED", 0), ("INS_LINKED", 1)):
            product = eligible_product(f"{family}{amount}", family) | smallest | premiums
            products.append(product if pay_years is None else product | {"pay_years": pay_years})
    money = {"liquid": liquid, "income": liquid, "premium_budget": liquid}
    held = [
        ({}, 0),
        ({"issuer 0": 1, "elsewhere": 2}, 1),
        ({f"issuer {n}": 10**15 for n in range(5)}, 10**15),
    ]
    users = [
        eligible_user() | money | {"held_issuer": issuers, "held_high_risk": high_risk}
        for issuers, high_risk in held
    ]
    assert find_differences(judge_all(users, products, policy)) == []


@pytest.mark.parametrize("count", [1000, 20_000])
def test_a_total_beyond_64_bits_is_no_smaller_than_it_is(count: int) -> None:
    user = eligible_user() | {
        "held_issuer": {f"issuer {number}": 10**15 for number in range(count)},
        "liquid": 10**15,
        "held_high_risk": 10**15,
    }
    rich = {"min_amount": 10**15, "capacity_left": 10**15}
    products = [
        eligible_product(f"f{number}", level=5) | rich | {"issuer": f"issuer {number * 7}"}
        for number in range(50)
    ]
    for bps in (0, 1, 2, 10_000):
        policy = make_policy(
            affordability={"min_investment_max_bps_of_liquid": 10_000},
            concentration={"issuer_max_bps": bps, "high_risk_level": 4, "high_risk_max_bps": bps},
        )
        judged = judge_all([user], products, policy)
        assert find_differences(judged) == []
        assert (not judged[0].given) == (bps * count >= 20_000)


def test_the_longest_horizon_and_buffer_fit() -> None:
    products = [eligible_product(f"f{months}") | {"min_horizon_months": months} for months in (0, 1, 1200)]
    products.append(eligible_product("i", "INS_PROTECTION") | {"min_horizon_months": 1200})
    users = [eligible_user() | {"horizon_months": months} for months in (0, 1199, 1200)]
    for buffer in (0, 1, 1200):
        judged = judge_all(users, products, make_policy(horizon={"buffer_months": buffer}))
        assert find_differences(judged) == []


@pytest.mark.parametrize(
    ("field", "of_user"),
    [
        ("channels", None),
        ("jurisdictions", "jurisdiction"),
        ("objectives_y", "objectives"),
        ("objectives_n", "objectives"),
        ("needs_served", "needs"),
        ("currency", "currencies"),
    ],
)
def test_a_set_of_many_words_is_met_by_any_common_member(field: str, of_user: str | None) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = ["".join(pair) for pair in itertools.product(letters, letters)][:200]
    names = [f"{name}X" for name in names] if field == "currency" else names
    family = "INS_LINKED" if field == "needs_served" else "FUND"
    products = [
        eligible_product(f"p{position}", family)
        | {field: name if field == "currency" else names[position : position + 1 + position % 3]}
        for position, name in enumerate(names)
    ]
    chosen = (names[0], names[63], names[64], names[127], names[199], "ZZ" if field != "currency" else "ZZZ")
    users, circumstances = [], []
    for name in chosen:
        value = name if of_user == "jurisdiction" else frozenset({name, "ZZY"})
        users.append(eligible_user() | ({} if of_user is None else {of_user: value}))
        circumstances.append((NOW, name if of_user is None else CHANNEL, None))
    judged = judge_all(users, products, circumstances=circumstances)
    assert find_differences(judged) == []
    if field != "objectives_n":
        assert 5 <= sum(not pair.given for pair in judged) <= 15


def test_a_catalogue_with_too_many_values_of_a_set_is_refused() -> None:
    values = [f"channel {number}" for number in range(VALUE_COUNT_MAX + 1)]
    Gate([eligible_product("f1") | {"channels": values[1:]}], DEFAULT)
    with pytest.raises(SnapshotError, match="channels: expected at most 4096 distinct values, got 4097"):
        Gate([eligible_product("f1") | {"channels": values}], DEFAULT)


def test_rows_may_repeat_and_stand_in_any_order() -> None:
    random = np.random.default_rng(SEED)
    products = draw_products(random, 67)
    gate = Gate(products, DEFAULT)
    rows = random.integers(0, 67, 1009)
    masks = gate.masks(eligible_user(), rows, NOW, CHANNEL, None)
    in_order = gate.masks(eligible_user(), np.arange(67), NOW, CHANNEL, None)
    np.testing.assert_array_equal(masks, in_order[rows])


def test_an_empty_catalogue_one_row_and_no_user_are_judged() -> None:
    none = np.empty(0, np.int64)
    assert Gate([], DEFAULT).masks(eligible_user(), none, NOW, CHANNEL, None).shape == (0, 2)
    assert Gate([], DEFAULT).count_codes(Gate([], DEFAULT).admit({}, NOW, CHANNEL, None)) == []
    gate = Gate([eligible_product("f1")], DEFAULT)
    assert gate.judge_many([], none, none).shape == (0, 2)
    assert find_differences(judge_all([{}, eligible_user()], [eligible_product("f1")])) == []
    assert find_differences(judge_all([eligible_user()], [{}])) == []


def test_codes_are_counted_over_the_whole_catalogue() -> None:
    random = np.random.default_rng(SEED)
    gate = Gate(draw_products(random, 211), DEFAULT)
    for user in draw_users(random, 11):
        admitted = gate.admit(user, NOW, CHANNEL, 5000)
        expected = count_codes(gate.judge(admitted, np.arange(211)))
        assert gate.count_codes(admitted) == expected


@pytest.mark.parametrize("cap", [None, *range(8)])
@pytest.mark.parametrize("cap_of_policy", [None, 3])
def test_an_overlay_gives_the_codes_of_the_tightened_policy(
    cap: int | None, cap_of_policy: int | None
) -> None:
    policy = make_policy(level_cap=cap_of_policy, halted_products=["x0003"], halted_issuers=["issuer 4"])
    overlay = make_overlay(
        halted_products=["x0000", "x0009", "x0010"], halted_issuers=["issuer 1"], level_cap=cap
    )
    random = np.random.default_rng(SEED)
    products = [*draw_products(random, 48), eligible_product("x0009") | {"family": "OPTION"}]
    products += [eligible_product("x0010") | {"status": None}, eligible_product("x0010", "COURSE")]
    judged = judge_all(draw_users(random, 9), products, policy, overlay=overlay)
    assert find_differences(judged) == []
    counts = Counter(code for pair in judged for code in pair.given)
    assert counts["PRD_HALTED"] >= 9
    assert counts["PRD_DATA_INVALID"] >= 9


def test_an_overlay_counts_for_users_admitted_before_it_and_is_lifted_as_a_whole() -> None:
    gate = Gate([eligible_product("f1"), eligible_product("f2", level=2)], DEFAULT)
    user, rows = gate.admit(eligible_user(), NOW, CHANNEL, None), np.arange(2)
    seen = []
    for overlay in (None, make_overlay(halted_products=["f1"]), make_overlay(level_cap=1), None):
        gate.set_overlay(overlay)
        assert gate.overlay is overlay
        seen.append([read_codes(mask) for mask in gate.judge(user, rows)])
    assert seen == [[(), ()], [("PRD_HALTED",), ()], [(), ("MAT_LEVEL_OVER_CAP",)], [(), ()]]
