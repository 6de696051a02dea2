"""Groups of users, and quality by group, against values worked out by hand."""

import math
from datetime import date

import numpy as np
import pytest

from benchmarks.report.groups import (
    group_by_age,
    group_by_history,
    group_by_horizon,
    group_by_risk,
    list_groups,
)
from benchmarks.report.quality import make_history_lengths, make_segments, measure_groups
from tests.tiny_report import CLOCK, make_measured


def test_lengths_of_history_are_grouped_as_asked() -> None:
    lengths = [0, 1, 2, 3, 5, 6, 10, 11, 600]
    assert group_by_history(lengths) == ["0", "1", "2", "3-5", "3-5", "6-10", "6-10", "> 10", "> 10"]


def test_a_birthday_makes_a_user_older_that_day() -> None:
    births = [date(2008, 11, 22), date(2008, 11, 23), None, date(1961, 11, 22)]
    groups = group_by_age([{"birth_date": day} for day in births], CLOCK)
    assert groups == ["18 to 29", "under 18", "not known", "65 and over"]


def test_horizons_and_risk_levels_that_are_missing_are_a_group() -> None:
    profiles = [{"horizon_months": 11, "risk_level": 0}, {"horizon_months": 60}, {}]
    assert group_by_horizon(profiles) == ["under 1 year", "5 years and over", "not known"]
    assert group_by_risk(profiles) == ["risk level 0", "not known", "not known"]


def test_groups_are_listed_in_their_order_and_unknown_last() -> None:
    ages = ["not known", "65 and over", "under 18", "18 to 29"]
    assert list_groups(ages) == ["under 18", "18 to 29", "65 and over", "not known"]
    assert list_groups(["US", "not known", "CN", "US"]) == ["CN", "US", "not known"]


def test_a_group_has_the_mean_of_its_users_and_an_empty_one_none() -> None:
    found = measure_groups(["a", "b", "a"], ["a", "b", "c"], {"x": np.array([1.0, 5.0, 0.0])})
    means = [None if (e := one.estimates["x"]) is None else e.mean for one in found]
    assert means == [0.5, 5.0, None]
    assert [one.user_count for one in found] == [2, 1, 0]


def test_history_compares_the_model_with_most_popular() -> None:
    measured = make_measured(
        [[3, 2, 1], [3, 2, 1]], [[0], [0]], owner_counts=[1, 5, 9], history_lengths=[0, 12]
    )
    rows = {row[0]: row[1:] for row in make_history_lengths(measured).tables[0].rows}
    # Most popular puts the product at rank 3: 1 / log2(4).
    assert rows["0"] == ("1", "1.0000 (1.000 to 1.000)", "0.5000 (0.500 to 0.500)")
    assert rows["> 10"][0] == "1"
    assert rows["3-5"] == ("0", "-", "-")


def test_segments_count_what_may_not_be_shown_as_missed() -> None:
    measured = make_measured(
        [[3, 2, 1], [3, 2, 1]],
        [[1], [0]],
        suitable=[[1, 2], [1, 2]],
        profiles=[{"risk_level": 2}, {"risk_level": 4}],
    )
    rows = {row[0]: row[1:] for row in make_segments(measured).tables[0].rows}
    assert float(rows["risk level 2"][1].split()[0]) == pytest.approx(1 / math.log2(3), abs=1e-4)
    assert rows["risk level 2"][2].startswith("1.0000")
    assert rows["risk level 4"][1].startswith("1.0000")
    assert rows["risk level 4"][2].startswith("0.0000")


def test_traits_that_tell_nobody_apart_make_no_segment() -> None:
    profiles = [{"risk_level": 2, "jurisdiction": "CN"}, {"risk_level": 2, "jurisdiction": "HK"}]
    section = make_segments(make_measured([[2, 1], [2, 1]], [[1], [0]], profiles=profiles))
    assert [table.caption for table in section.tables] == ["Users by place"]
    alike = make_segments(make_measured([[2, 1], [2, 1]], [[1], [0]], profiles=profiles[:1] * 2))
    assert (alike.tables, alike.pictures) == ((), ())


def test_segments_without_rules_compare_nothing_under_them() -> None:
    profiles = [{"risk_level": 2}, {"risk_level": 4}]
    [table] = make_segments(make_measured([[2, 1]] * 2, [[1]] * 2, profiles=profiles, rules=False)).tables
    assert table.columns == ("risk level", "users", "nDCG@10, no rules")
