"""The filter lets through all that the rules pass, and little else."""

import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from server.columns import compile_columns
from server.filter import Filter
from server.gate import Gate
from server.row_bits import unpack
from server.thresholds import STEP_COUNT_MAX, Ladder
from suitability import evaluate, load_policy
from suitability.policy import Policy, default_policy_path
from tests.server.cases import (
    CHANNEL,
    FAMILIES,
    INSURANCE,
    NOW,
    PRODUCT_CHANGES,
    USER_CHANGES,
    draw_changes,
    draw_products,
    draw_users,
    eligible_product,
    eligible_user,
    policy_variants,
    put,
)

POLICY = load_policy(default_policy_path())
VARIANTS = {name: load_policy(values) for name, values in policy_variants(POLICY.values).items()}

# A user is compiled for a catalogue; what a filter reads of the user does not depend on it.
GATES = {id(policy): Gate([], policy) for policy in (POLICY, *VARIANTS.values())}

PRODUCT_COUNT = 120
USER_COUNT = 16
CUT_MIN = 0.97
"""Share of what is not eligible that the filter takes away at least."""


def make_filter(products: Sequence[Any], policy: Policy = POLICY) -> Filter:
    return Filter(products, compile_columns(products, policy), policy)


def allow(
    products: Sequence[Any],
    user: dict[str, Any],
    now: datetime = NOW,
    channel: str = CHANNEL,
    limit: int | None = None,
    policy: Policy = POLICY,
) -> np.ndarray:
    """Returns which products a filter lets through, bool [product_count]."""
    return allow_by(make_filter(products, policy), len(products), user, now, channel, limit, policy)


def allow_by(
    kept: Filter,
    count: int,
    user: dict[str, Any],
    now: datetime,
    channel: str,
    limit: int | None,
    policy: Policy = POLICY,
) -> np.ndarray:
    admitted = GATES[id(policy)].admit(user, now, channel, limit)
    return unpack(kept.allow(user, admitted.arrays, now, channel), count)


def changed_pairs(count: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Returns eligible pairs with one or two changes, on either side."""
    random = np.random.default_rng(seed)
    for_users, for_products = draw_changes(USER_CHANGES, random), draw_changes(PRODUCT_CHANGES, random)
    pairs = []
    for number in range(count):
        user, product = eligible_user(), eligible_product("p", FAMILIES[number % len(FAMILIES)])
        for _ in range(1 + number % 2):
            if random.random() < 0.5:
                put(user, *next(for_users))
            else:
                put(product, *next(for_products))
        pairs.append((user, product))
    return pairs


@pytest.mark.parametrize("seed", range(4))
def test_what_is_eligible_passes_and_most_of_the_rest_does_not(seed: int) -> None:
    pairs = changed_pairs(5_000, seed)
    counts: Counter[tuple[bool, bool]] = Counter()
    for user, product in pairs:
        allowed = bool(allow([product], user)[0])
        counts[not evaluate(user, product, POLICY, NOW, CHANNEL), allowed] += 1
    assert counts[True, False] == 0
    assert counts[True, True] > 1_500
    assert counts[False, False] > CUT_MIN * (counts[False, False] + counts[False, True])


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_catalogue_is_filtered_as_its_products_are(name: str) -> None:
    policy, random = VARIANTS[name], np.random.default_rng(5)
    products = draw_products(random, PRODUCT_COUNT)
    users = draw_users(random, USER_COUNT)
    kept = make_filter(products, policy)
    singles = [make_filter([product], policy) for product in products]
    for number, user in enumerate(users):
        circumstances = (NOW + timedelta(seconds=number), CHANNEL, (None, 3000, 0, -1)[number % 4])
        allowed = allow_by(kept, PRODUCT_COUNT, user, *circumstances, policy).tolist()
        assert allowed == [bool(allow_by(single, 1, user, *circumstances, policy)[0]) for single in singles]
        for product, passes in zip(products, allowed, strict=True):
            now, channel, limit = circumstances
            assert passes or evaluate(user, product, policy, now, channel, limit)


def eligible_rows(products: list[dict[str, Any]], user: dict[str, Any]) -> list[bool]:
    return [not evaluate(user, product, POLICY, NOW, CHANNEL) for product in products]


def test_a_catalogue_of_eligible_products_passes_whole() -> None:
    products = [eligible_product(f"p{number}", FAMILIES[number % 8]) for number in range(83)]
    assert all(eligible_rows(products, eligible_user()))
    assert allow(products, eligible_user()).tolist() == [True] * 83


def test_an_unknown_user_is_left_the_learning_content() -> None:
    products = [eligible_product(f"p{number}", FAMILIES[number % 8]) for number in range(24)]
    allowed = allow(products, {})
    assert np.flatnonzero(allowed).tolist() == [0, 8, 16]


def test_windows_licences_and_channels_are_read_for_the_moment_asked() -> None:
    soon, later = NOW + timedelta(seconds=20), NOW + timedelta(seconds=50)
    products = [
        eligible_product("opens") | {"sale_start": soon},
        eligible_product("closes") | {"sale_end": soon},
        eligible_product("expires") | {"licence_until": later},
        eligible_product("lasts"),
        eligible_product("elsewhere") | {"channels": ["branch"]},
    ]
    kept = make_filter(products)
    user = eligible_user()
    for now in (NOW, soon, later, soon - timedelta(microseconds=1), NOW, later):
        for channel in ("app", "branch", "fax"):
            expected = [not evaluate(user, product, POLICY, now, channel) for product in products]
            assert allow_by(kept, len(products), user, now, channel, None).tolist() == expected


@pytest.mark.parametrize(
    "code", ["status_code", "window_code", "channel_code", "quota_code", "offering_code"]
)
def test_what_the_gate_denies_by_the_product_alone_is_not_looked_at(code: str) -> None:
    products = [eligible_product(f"p{number}") for number in range(3)]
    columns = compile_columns(products, POLICY)
    table = columns.records.copy()
    table[code][1] = 1
    kept = Filter(products, replace(columns, records=table), POLICY)
    assert allow_by(kept, 3, eligible_user(), NOW, CHANNEL, None).tolist() == [True, False, True]


def test_a_set_with_too_many_values_lets_more_through(monkeypatch: pytest.MonkeyPatch) -> None:
    products = draw_products(np.random.default_rng(8), 80)
    for number, product in enumerate(products):
        product["channels"] = ["app", f"channel {number}"]
        if product["family"] in INSURANCE:
            product["dup_group"] = f"group {number}"
    user = eligible_user() | {"held_dup_groups": {f"group {number}" for number in range(0, 80, 2)}}
    narrow = allow(products, user)
    monkeypatch.setattr("server.filter.VALUE_COUNT_MAX", 8)
    wide = allow(products, user)
    assert (wide >= narrow).all()
    assert wide.sum() > narrow.sum()


def test_an_empty_catalogue_has_nothing_to_allow() -> None:
    assert allow([], eligible_user()).tolist() == []


def test_a_ladder_lets_through_who_brings_enough() -> None:
    least = np.array([5, -3, 5, 9, 32767, 7])
    ladder = Ladder(least)
    for brought in range(-5, 12):
        assert unpack(ladder.find_rows(brought), 6).tolist() == (least <= brought).tolist()
    assert unpack(Ladder(least[:0]).find_rows(1), 0).tolist() == []


@pytest.mark.parametrize("highest", [3000, 32767])
def test_a_ladder_of_too_many_steps_is_wider_but_never_lets_the_highest_through(highest: int) -> None:
    least = np.random.default_rng(3).permutation(np.r_[np.arange(2000) % 997, np.full(50, highest)])
    ladder = Ladder(least)
    widened = 0
    for brought in range(-1, 998, 7):
        allowed, enough = unpack(ladder.find_rows(brought), 2050), least <= brought
        assert (allowed >= enough).all()
        assert not allowed[least == highest].any()
        widened += int(allowed.sum() - enough.sum())
    assert 0 < widened / len(range(-1, 998, 7)) < 2 * 2050 / STEP_COUNT_MAX


def test_a_filter_that_nobody_uses_is_freed_at_once() -> None:
    # A server freezes what it started with, so that cycles among it would stay for good.
    kept = make_filter([eligible_product("p")])
    allow_by(kept, 1, eligible_user(), NOW, CHANNEL, None)
    gone = weakref.ref(kept._currencies)
    gc.disable()
    try:
        del kept
        assert gone() is None
    finally:
        gc.enable()
