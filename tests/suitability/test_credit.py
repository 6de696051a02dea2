"""Tests of the credit band: it withholds credit-like products, adds none, and touches no other product."""

import itertools

import pytest

from suitability import evaluate, lint, load_policy
from suitability.ratings import is_credit_like
from tests.suitability.bases import BASES, POLICY, policy_with, verdict, without
from tests.suitability.conftest import COURSE, NOW, USER
from tests.suitability.golden_cases import POLICY as SHIPPED_POLICY

CREDIT_CODES = frozenset({"MAT_CREDIT_NOT_OFFERED", "USR_RISK_BAND_UNKNOWN", "MAT_RISK_BAND_OVER_LIMIT"})
BANDS = [None, 0, 1, 2, 3, 4, 50, 98, 99, 100, True, 2.0, "2"]
STATEMENTS = [None, False, True, 0, 1, "", "no", "yes", 0.0, []]
POLICIES = [SHIPPED_POLICY, *(policy_with(credit={"max_band": band}) for band in (0, 1, 3, 99))]
FINANCIAL = [name for name, (_, product) in BASES.items() if product["family"] != "COURSE"]


@pytest.mark.parametrize("base", FINANCIAL)
def test_the_band_says_nothing_of_products_that_are_not_credit_like(base):
    user, product = BASES[base]
    for band, stated, policy in itertools.product(BANDS, (None, False), POLICIES):
        codes = verdict({**user, "user_risk_band": band}, {**product, "credit_like": stated}, policy)
        assert codes == frozenset()


@pytest.mark.parametrize("base", FINANCIAL)
def test_a_higher_band_never_adds_a_product(base):
    user, product = BASES[base]
    for stated, policy in itertools.product(STATEMENTS, POLICIES):
        denied = [
            bool(verdict({**user, "user_risk_band": band}, {**product, "credit_like": stated}, policy))
            for band in range(1, 100)
        ]
        assert denied == sorted(denied)


def test_a_higher_band_of_the_policy_never_takes_a_product_away():
    user, product = BASES["fund on credit"]
    for band in (1, 3, 99):
        by_limit = [
            verdict({**user, "user_risk_band": band}, product, policy_with(credit={"max_band": most}))
            for most in range(100)
        ]
        assert [bool(codes) for codes in by_limit] == [most < band for most in range(100)]


def test_a_missing_band_is_as_bad_as_the_worst_for_credit_and_only_there():
    user, product = BASES["fund on credit"]
    assert verdict(without(user, "user_risk_band"), product) == {"USR_RISK_BAND_UNKNOWN"}
    for base in FINANCIAL:
        if base != "fund on credit":
            assert verdict(without(BASES[base][0], "user_risk_band"), BASES[base][1]) == frozenset()


def test_the_band_adds_its_own_code_and_changes_no_other():
    denied = {**USER, "risk_level": 1, "blocked": True}
    product = BASES["fund"][1]
    others = verdict(denied, product)
    for band, stated, policy in itertools.product(BANDS, STATEMENTS, POLICIES):
        codes = verdict({**denied, "user_risk_band": band}, {**product, "credit_like": stated}, policy)
        assert codes - CREDIT_CODES == others
        assert len(codes & CREDIT_CODES) <= is_credit_like({"credit_like": stated})


def test_the_shipped_policy_offers_no_credit_to_anybody():
    assert "credit" not in SHIPPED_POLICY.values
    for band in range(1, 100):
        product = BASES["fund on credit"][1]
        assert verdict({**USER, "user_risk_band": band}, product, SHIPPED_POLICY) == {
            "MAT_CREDIT_NOT_OFFERED"
        }


@pytest.mark.parametrize("stated", [True, 0, 1, "", " ", "no", 0.0, [], {}, b"x"], ids=repr)
def test_a_statement_that_is_neither_absent_nor_false_counts_as_credit(stated):
    assert is_credit_like({"credit_like": stated})


@pytest.mark.parametrize("product", [{}, {"credit_like": None}, {"credit_like": False}, None, "x"], ids=repr)
def test_absence_and_false_are_no_credit(product):
    assert not is_credit_like(product)


def test_learning_content_asks_for_no_band():
    assert evaluate(None, {**COURSE, "credit_like": True}, POLICY, NOW, "app") == frozenset()


def test_a_policy_with_credit_is_fit_and_another_policy():
    assert lint(POLICY) == []
    assert POLICY.sha256 != SHIPPED_POLICY.sha256
    assert load_policy(POLICY.canonical) == POLICY


@pytest.mark.parametrize(
    ("credit", "problem"),
    [
        (None, "credit: expected an object"),
        (3, "credit: expected an object"),
        ({}, "credit.max_band: expected a value"),
        ({"max_band": 100}, "credit.max_band: expected an integer from 0 to 99"),
        ({"max_band": -1}, "credit.max_band: expected an integer from 0 to 99"),
        ({"max_band": True}, "credit.max_band: expected an integer from 0 to 99"),
        ({"max_band": 3, "max_bands": 3}, "credit.max_bands: expected one of max_band"),
    ],
)
def test_a_malformed_credit_section_is_named(credit, problem):
    findings = lint({**SHIPPED_POLICY.values, "credit": credit})
    assert len(findings) == 1
    assert findings[0].startswith(f"policy key {problem}"), findings
