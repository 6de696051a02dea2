"""Tests of the warnings that accompany a shown financial item."""

from datetime import date

import pytest

from suitability import warnings
from suitability.cautions import WARNINGS


def names(user, product, policy, now, **options):
    return set(warnings(user, product, policy, now, history_levels=[("CN5", 3)], **options))


QUIET = {"loss_class": 0, "min_horizon_months": 11}


def test_a_harmless_item_has_no_warnings(user, product, policy, now):
    assert names(user, {**product, **QUIET}, policy, now) == set()


def test_learning_content_has_no_warnings(user, course, policy, now):
    assert warnings(user, {**course, "assumed": ["issuer"]}, policy, now) == ()


@pytest.mark.parametrize(
    ("user_change", "product_change", "name"),
    [
        ({}, {"risk_score": 5400}, "W_NEAR_LIMIT"),
        ({"assessed_on": date(2025, 12, 22)}, {}, "W_ASSESSMENT_EXPIRING"),
        ({"birth_date": date(1961, 11, 22)}, {}, "W_ELDER"),
        ({"birth_date": None}, {}, "W_ELDER"),
        ({}, {"level_distributor": 2}, "W_FIRST_AT_LEVEL"),
        ({}, {"scale": "SRI7", "risk_score": 100}, "W_FIRST_AT_LEVEL"),
        ({}, {"loss_class": 1}, "W_CAN_LOSE_CAPITAL"),
        ({}, {"loss_class": None}, "W_CAN_LOSE_CAPITAL"),
        ({}, {"min_horizon_months": 12}, "W_ILLIQUID"),
        ({}, {"assumed": ["issuer"]}, "W_ASSUMED_DATA"),
        ({"assumed": ["income"]}, {}, "W_ASSUMED_DATA"),
    ],
)
def test_one_fact_gives_one_warning(user_change, product_change, name, user, product, policy, now):
    assert names({**user, **user_change}, {**product, **QUIET, **product_change}, policy, now) == {name}


@pytest.mark.parametrize(
    ("user_change", "product_change"),
    [
        ({}, {"risk_score": 5399}),
        ({"assessed_on": date(2025, 12, 23)}, {}),
        ({"birth_date": date(1961, 11, 23)}, {}),
        ({"assumed": []}, {"assumed": None}),
    ],
)
def test_a_fact_on_the_inner_side_of_its_bound_gives_none(
    user_change, product_change, user, product, policy, now
):
    assert names({**user, **user_change}, {**product, **QUIET, **product_change}, policy, now) == set()


def test_the_requests_limit_counts_as_the_limit(user, product, policy, now):
    assert names(user, {**product, **QUIET}, policy, now, risk_score_limit=4600) == {"W_NEAR_LIMIT"}


def test_what_is_not_rated_has_no_limit_and_no_assessment(user, insurance, policy, now):
    bare = {**user, "risk_level": None, "assessed_on": None}
    assert names(bare, {**insurance, **QUIET}, policy, now) == {"W_FIRST_AT_LEVEL"}


def test_an_unknown_history_holds_no_level(user, product, policy, now):
    assert warnings(user, {**product, **QUIET}, policy, now) == ("W_FIRST_AT_LEVEL",)


def test_a_warning_that_cannot_be_decided_is_given_and_order_is_fixed(policy, now):
    assert warnings(None, None, policy, now) == (
        "W_NEAR_LIMIT",
        "W_ASSESSMENT_EXPIRING",
        "W_ELDER",
        "W_FIRST_AT_LEVEL",
        "W_CAN_LOSE_CAPITAL",
        "W_ILLIQUID",
    )
    assert len(warnings(None, {"family": "FUND"}, {}, now)) == 6


def test_a_record_that_cannot_be_read_warns_of_everything(unreadable, user, product, policy, now):
    everything = warnings(user, unreadable, policy, now)
    assert len(everything) == len(WARNINGS)
    assert set(everything) > set(warnings(unreadable, product, policy, now)) > {"W_ELDER", "W_ASSUMED_DATA"}
