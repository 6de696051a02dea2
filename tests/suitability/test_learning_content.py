"""Tests of the verdict on learning content: predicates 0 to 3 apply to it and nothing else."""

from datetime import UTC, datetime

import pytest

from suitability import LEARNING_PREDICATE_LAST, PREDICATES, evaluate, load_policy


def test_a_course_is_eligible_for_an_unknown_user(course, policy, now):
    assert evaluate(None, course, policy, now, "app") == frozenset()
    assert evaluate({}, course, policy, now, "app") == frozenset()
    assert evaluate({"blocked": True}, course, policy, now, "app") == frozenset()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": None}, "PRD_STATUS_UNKNOWN"),
        ({"issuer": None}, "PRD_DATA_INVALID"),
        ({"sale_end": None}, "PRD_WINDOW_UNKNOWN"),
        ({"sale_end": datetime(2026, 11, 22, 4, tzinfo=UTC)}, "PRD_OUTSIDE_WINDOW"),
        ({"channels": None}, "PRD_CHANNEL_UNKNOWN"),
        ({"channels": ["web"]}, "PRD_CHANNEL_NOT_PERMITTED"),
    ],
)
def test_predicates_zero_to_three_apply_to_learning_content(change, code, course, policy, now):
    assert evaluate(None, {**course, **change}, policy, now, "app") == {code}


def test_a_halted_course_is_not_shown(course, policy, now):
    halted = load_policy({**policy.values, "halted_issuers": ["school-1"]})
    assert evaluate(None, course, halted, now, "app") == {"PRD_HALTED"}


def test_an_expired_licence_says_nothing_about_learning_content(course, policy, now):
    stated = {**course, "licence_until": datetime(2000, 1, 1, tzinfo=UTC)}
    assert evaluate(None, stated, policy, now, "app") == frozenset()


def test_the_last_predicate_of_learning_content_is_the_channel():
    assert LEARNING_PREDICATE_LAST == 3
    assert PREDICATES[3].name == "channel"


def test_a_product_of_unknown_family_is_never_treated_as_learning_content(user, policy, now):
    assert evaluate(user, {"family": "course"}, policy, now, "app") > {"PRD_DATA_INVALID"}
