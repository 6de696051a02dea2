"""A risk model as it is served: points, basis points, bands and reasons."""

import math
from dataclasses import replace

import pytest

from index.errors import RiskFieldError
from index.risk_model import REASON_COUNT_MAX, Calibration, RiskScore
from tests.risk_cases import SCORECARD

SAFE = {"delay": -1, "limit": 0.1, "school": "1"}


def test_a_record_is_scored_by_adding_its_points() -> None:
    assert SCORECARD.score(SAFE) == RiskScore(-100, 100, 1, (), ())
    assert SCORECARD.score({"delay": 2, "limit": 0, "school": "2"}) == RiskScore(
        5, 1400, 2, ("RSK_DELAY", "RSK_LIMIT", "RSK_SCHOOL"), ()
    )


def test_what_is_missing_counts_as_the_worst_and_is_named() -> None:
    assert SCORECARD.score({}) == replace(
        SCORECARD.score({"delay": 9, "limit": 0, "school": "2"}), missing=("delay", "limit", "school")
    )
    assert SCORECARD.score(SAFE | {"delay": math.nan}).missing == ("delay",)


def test_a_category_that_training_never_saw_counts_as_the_worst() -> None:
    assert SCORECARD.score(SAFE | {"school": "unheard of"}) == SCORECARD.score(SAFE | {"school": "2"})


def test_a_field_that_the_model_does_not_read_is_refused_by_name() -> None:
    with pytest.raises(RiskFieldError, match="sex: the model scorecard reads no such field"):
        SCORECARD.score(SAFE | {"sex": "2"})


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (-101, 100),
        (-100, 100),
        (-99, 109),
        (-1, 991),
        (0, 1000),
        (1, 1080),
        (49, 4920),
        (50, 5000),
        (51, 5000),
    ],
)
def test_basis_points_lie_on_straight_lines_between_the_points(score: int, expected: int) -> None:
    assert SCORECARD.calibration.find(score) == expected


def test_basis_points_never_fall_with_the_score() -> None:
    curve = Calibration("platt", (-7, 0, 3, 11), (1, 1, 5000, 5003))
    found = [curve.find(score) for score in range(-20, 20)]
    assert found == sorted(found)


def test_a_limit_begins_the_next_band() -> None:
    assert [SCORECARD.find_band(found) for found in (1, 499, 500, 1999, 2000, 9999)] == [1, 1, 2, 2, 3, 3]


def test_reasons_are_summed_by_code_and_ties_are_told_by_name() -> None:
    features = tuple(replace(one, reason="RSK_B") for one in SCORECARD.features[:2])
    model = replace(SCORECARD, features=(*features, replace(SCORECARD.features[2], reason="RSK_A")))
    assert model.find_reasons([20, 12, 12]) == ("RSK_A", "RSK_B")
    assert model.find_reasons([20, 13, 12]) == ("RSK_B", "RSK_A")
    # What one feature of a code saves, another of it may use up.
    assert model.find_reasons([20, 2, 2]) == ()


def test_at_most_four_reasons_are_told() -> None:
    count = REASON_COUNT_MAX + 2
    feature = SCORECARD.features[0]
    model = replace(
        SCORECARD,
        features=tuple(replace(feature, name=f"f{n}", reason=f"RSK_{n}") for n in range(count)),
        average_points=(0,) * count,
    )
    assert model.find_reasons(range(1, count + 1)) == ("RSK_5", "RSK_4", "RSK_3", "RSK_2")
