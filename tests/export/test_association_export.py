"""Rules of an export: between learning content only, by what people took, with a weight from the scores."""

import numpy as np
import pytest

from export.associations import REACH, make_rules
from training.examples import LearningData
from training.histories import sort_interactions

FAMILIES = ("COURSE", "COURSE", "FUND", "COURSE")
ENROL, VIEW, PURCHASE = 4, 1, 5


def _make_data(kind: int) -> LearningData:
    """Twelve users take the first three products, twelve others the last."""
    users = np.concatenate([np.repeat(np.arange(12), 3), np.arange(12, 24)])
    items = np.concatenate([np.tile([0, 1, 2], 12), np.full(12, 3)])
    kinds = np.where(items == 2, PURCHASE, kind)
    events = sort_interactions(users, items, kinds, np.zeros(len(users)), user_count=24, item_count=4)
    products = tuple(
        {"id": f"p{row}", "title": "", "family": family, "assumed": []} for row, family in enumerate(FAMILIES)
    )
    names = tuple(f"u{row:02}" for row in range(24))
    return LearningData(names, (None,) * 24, products, events)


USERS = np.eye(3, dtype=np.float32)
ITEMS = np.array([[2, 0, 0], [0, 4, 0], [9, 9, 9], [0, 0, 6]], np.float32)


def test_rules_are_between_courses_that_people_took() -> None:
    rules = make_rules(_make_data(ENROL), USERS, ITEMS)
    assert list(zip(rules.antecedent_ids, rules.consequent_ids, strict=True)) == [("p0", "p1"), ("p1", "p0")]
    assert rules.pair_counts.tolist() == [12, 12]
    assert rules.confidences.tolist() == [1.0, 1.0]
    assert rules.lifts.tolist() == [2.0, 2.0]


def test_looking_at_a_course_is_not_taking_it() -> None:
    assert make_rules(_make_data(VIEW), USERS, ITEMS).antecedent_ids == ()


def test_a_rule_is_worth_what_lies_between_the_best_course_and_the_last_within_reach() -> None:
    assert make_rules(_make_data(ENROL), USERS, ITEMS).weight == pytest.approx((2 + 4 + 6) / 3)
    items = np.zeros((60, 3), np.float32)
    items[:, 0] = np.arange(60)
    data = _make_data(ENROL)
    courses = tuple({**data.products[0], "id": f"p{row:02}"} for row in range(60))
    many = LearningData(data.user_ids, data.profiles, courses, data.interactions)
    assert make_rules(many, USERS[:1], items).weight == REACH - 1
