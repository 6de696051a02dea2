"""The filter lets through all that the rules pass, and little else."""

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from server.filter import Filter
from suitability import evaluate, load_policy
from suitability.policy import default_policy_path
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

PRODUCT_COUNT = 120
USER_COUNT = 16
CUT_MIN = 0.97
"""Share of what is not eligible that the filter takes away at least."""


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
        allowed = bool(Filter([product], POLICY).allow(user, NOW, CHANNEL, None)[0])
        counts[not evaluate(user, product, POLICY, NOW, CHANNEL), allowed] += 1
    assert counts[True, False] == 0
    assert counts[True, True] > 1_500
    assert counts[False, False] > CUT_MIN * (counts[False, False] + counts[False, True])


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_catalogue_is_filtered_as_its_products_are(name: str) -> None:
    policy, random = VARIANTS[name], np.random.default_rng(5)
    products = draw_products(random, PRODUCT_COUNT)
    users = draw_users(random, USER_COUNT)
    kept = Filter(products, policy)
    singles = [Filter([product], policy) for product in products]
    for number, user in enumerate(users):
        circumstances = (NOW + timedelta(seconds=number), CHANNEL, (None, 3000, 0, -1)[number % 4])
        allowed = kept.allow(user, *circumstances).tolist()
        assert allowed == [bool(single.allow(user, *circumstances)[0]) for single in singles]
        for product, passes in zip(products, allowed, strict=True):
            now, channel, limit = circumstances
            assert passes or evaluate(user, product, policy, now, channel, limit)


def eligible_rows(products: list[dict[str, Any]], user: dict[str, Any]) -> list[bool]:
    return [not evaluate(user, product, POLICY, NOW, CHANNEL) for product in products]


def test_a_catalogue_of_eligible_products_passes_whole() -> None:
    products = [eligible_product(f"p{number}", FAMILIES[number % 8]) for number in range(83)]
    assert all(eligible_rows(products, eligible_user()))
    assert Filter(products, POLICY).allow(eligible_user(), NOW, CHANNEL, None).tolist() == [True] * 83


def test_an_unknown_user_is_left_the_learning_content() -> None:
    products = [eligible_product(f"p{number}", FAMILIES[number % 8]) for number in range(24)]
    allowed = Filter(products, POLICY).allow({}, NOW, CHANNEL, None)
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
    kept = Filter(products, POLICY)
    user = eligible_user()
    for now in (NOW, soon, later, soon - timedelta(microseconds=1), NOW, later):
        for channel in ("app", "branch", "fax"):
            expected = [not evaluate(user, product, POLICY, now, channel) for product in products]
            assert kept.allow(user, now, channel, None).tolist() == expected


def test_a_set_with_too_many_values_lets_more_through(monkeypatch: pytest.MonkeyPatch) -> None:
    products = draw_products(np.random.default_rng(8), 80)
    for number, product in enumerate(products):
        product["channels"] = ["app", f"channel {number}"]
        if product["family"] in INSURANCE:
            product["dup_group"] = f"group {number}"
    user = eligible_user() | {"held_dup_groups": {f"group {number}" for number in range(0, 80, 2)}}
    narrow = Filter(products, POLICY).allow(user, NOW, CHANNEL, None)
    monkeypatch.setattr("server.filter.VALUE_COUNT_MAX", 8)
    wide = Filter(products, POLICY).allow(user, NOW, CHANNEL, None)
    assert (wide >= narrow).all()
    assert wide.sum() > narrow.sum()


def test_an_empty_catalogue_has_nothing_to_allow() -> None:
    assert Filter([], POLICY).allow(eligible_user(), NOW, CHANNEL, None).tolist() == []
