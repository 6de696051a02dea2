"""Runs the golden cases and shows that they reach every code, and each predicate deciding alone."""

from datetime import datetime

import pytest

from suitability import CODES, PREDICATES, evaluate, valid_until, warnings
from tests.suitability.golden_cases import CASES, pair_of, records_of, rules_of

NAMES = [case["name"] for case in CASES]


def code_of(predicate, pair):
    """Returns the code of a predicate that applies to the pair, None where it passes or raises."""
    try:
        applies = predicate.number <= 3 or not pair.learning
        return predicate.function(pair) if applies else None
    except (TypeError, ValueError, KeyError):
        return None


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_golden_case_gives_its_codes(case):
    user, product = records_of(case)
    now, limit = datetime.fromisoformat(case["now"]), case["risk_score_limit"]
    assert sorted(evaluate(user, product, rules_of(case), now, case["channel"], limit)) == case["codes"]
    assert set(case["codes"]) <= CODES.keys()


@pytest.mark.parametrize(
    "case", [case for case in CASES if "valid_until" in case], ids=lambda case: case["name"]
)
def test_a_golden_case_gives_its_end(case):
    user, product = records_of(case)
    now, limit = datetime.fromisoformat(case["now"]), case["risk_score_limit"]
    end = valid_until(user, product, rules_of(case), now, case["channel"], limit)
    assert end == datetime.fromisoformat(case["valid_until"])


@pytest.mark.parametrize(
    "case", [case for case in CASES if "warnings" in case], ids=lambda case: case["name"]
)
def test_a_golden_case_gives_its_warnings(case, policy):
    user, product = records_of(case)
    assert sorted(warnings(user, product, policy, datetime.fromisoformat(case["now"]))) == case["warnings"]


def test_the_names_of_golden_cases_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_every_predicate_decides_some_golden_case_alone():
    alone = set()
    for case in CASES:
        deciding = [each.number for each in PREDICATES if code_of(each, pair_of(case)) is not None]
        alone.update(deciding if len(deciding) == 1 else [])
    # A missing birth date always denies twice, so 15, 16 and 24 stand alone by their other codes.
    assert alone == set(range(27))


def test_every_code_but_the_predicate_error_is_reached():
    reached = {code for case in CASES for code in case["codes"]}
    assert CODES.keys() - reached == {"SYS_PREDICATE_ERROR"}


def test_many_golden_cases_are_eligible():
    assert sum(not case["codes"] for case in CASES) >= 60
