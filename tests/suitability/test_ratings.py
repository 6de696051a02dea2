"""Tests of effective level, effective risk score and what is rated."""

import pytest

from suitability import (
    applied_risk_score_limit,
    effective_level,
    effective_risk_score,
    is_learning,
    is_rated,
)


@pytest.mark.parametrize(
    ("scale", "issuer", "distributor", "expected"),
    [
        ("CN5", 2, 4, 4),
        ("CN5", 4, 2, 4),
        ("CN5", 1, 1, 1),
        ("CN5", 5, 6, None),
        ("CN5", 0, 3, None),
        ("SRI7", 7, 6, 7),
        ("SRI7", 7, 8, None),
        ("CN5", None, 3, None),
        ("CN5", 3, True, None),
        (None, 3, 3, None),
        ("cn5", 3, 3, None),
    ],
)
def test_the_higher_level_counts_and_both_are_needed(scale, issuer, distributor, expected):
    product = {"scale": scale, "level_issuer": issuer, "level_distributor": distributor}
    assert effective_level(product) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 4200),
        ({"risk_score": 0}, 0),
        ({"risk_score": 10_000}, 10_000),
        ({"risk_score": None}, 5000),
        ({"risk_score": None, "scale": "SRI7"}, 4000),
        ({"risk_score": None, "level_distributor": None}, None),
        ({"risk_score": 10_001}, None),
        ({"risk_score": -1}, None),
        ({"risk_score": float("nan")}, None),
        ({"risk_score": True}, None),
        ({"risk_score": ""}, None),
    ],
)
def test_a_stated_score_counts_else_the_levels_and_a_malformed_one_is_unknown(
    change, expected, product, policy
):
    assert effective_risk_score({**product, **change}, policy) == expected
    assert effective_risk_score({**product, **change}, policy.values) == expected


@pytest.mark.parametrize(
    ("family", "level", "expected"),
    [
        ("FUND", 1, True),
        ("WEALTH", None, True),
        ("INS_LINKED", 1, True),
        ("INS_PROTECTION", 3, False),
        ("INS_PROTECTION", 4, True),
        ("INS_PAR_UL", None, True),
        ("COURSE", 5, False),
        ("BOND", 1, True),
        (None, 1, True),
    ],
)
def test_what_is_rated(family, level, expected, policy):
    product = {"family": family, "scale": "CN5", "level_issuer": level, "level_distributor": level}
    assert is_rated(product, policy) is expected
    assert is_learning(product) is (family == "COURSE")


@pytest.mark.parametrize(
    ("level", "requested", "expected"),
    [(3, None, 6000), (3, 7000, 6000), (3, 100, 100), (0, None, 2000), (None, 100, None), (3, -1, -1)],
)
def test_the_limit_is_the_policys_tightened_by_the_requests(level, requested, expected, policy):
    assert applied_risk_score_limit({"risk_level": level}, policy, requested) == expected


@pytest.mark.parametrize("scale", ["CN5", "SRI7"])
@pytest.mark.parametrize("stated", [None, 0, 2_000, 4_200, 9_999, 10_000])
@pytest.mark.parametrize("computed", range(1, 8))
def test_a_computed_class_may_raise_a_score_and_never_lowers_one(scale, stated, computed, product, policy):
    product = {**product, "scale": scale, "risk_score": stated}
    before = effective_risk_score(product, policy)
    after = effective_risk_score({**product, "computed_risk_class": computed}, policy)
    by_class = policy.values["risk_score"]["derive_from_level"]["SRI7"]
    assert after == max(before, by_class[computed - 1])


def test_a_computed_class_stands_in_for_nothing_and_has_to_be_read(product, policy):
    bare = {**product, "risk_score": None, "level_issuer": None, "computed_risk_class": 1}
    assert effective_risk_score(bare, policy) is None
    for junk in (0, 8, True, 3.0, "3", []):
        assert effective_risk_score({**product, "computed_risk_class": junk}, policy) is None
