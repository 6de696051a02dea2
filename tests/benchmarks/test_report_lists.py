"""Fairness, variety and examples, against values worked out by hand."""

from typing import Any

import numpy as np
import pytest

from benchmarks.report.diversity import choose_lists, make_diversity, measure_variety, rank_lists
from benchmarks.report.examples import describe_user, draw_users, list_withheld, make_examples
from benchmarks.report.fairness import make_fairness, measure_conditional, measure_exposures
from server.diversity import WHOLE
from tests.tiny_report import course, fund, make_measured


def test_what_the_stratum_explains_is_no_difference() -> None:
    # Group b is shown less only because its users are more often of the cautious stratum.
    values = np.array([1.0, 1, 5, 5, 1, 1, 1, 5])
    groups, strata = list("aabbbbbb"), ["low", "low", "high", "high", "low", "low", "low", "high"]
    found = {one.group: one for one in measure_conditional(values, groups, strata)}
    assert found["a"].raw == 1.0
    assert found["a"].conditional.mean == pytest.approx(0)
    assert found["b"].conditional.mean == pytest.approx(0)


def test_a_difference_inside_a_stratum_is_found() -> None:
    values = np.array([0.0, 0, 4, 4, 7])
    found = {
        one.group: one.conditional.mean for one in measure_conditional(values, list("aabbb"), list("xxxxy"))
    }
    # Stratum x has mean 2; the user alone in y differs from nobody.
    assert found["a"] == pytest.approx(-2)
    assert found["b"] == pytest.approx((2 + 2 + 0) / 3)


def test_a_clear_difference_has_an_interval_without_zero() -> None:
    rng = np.random.default_rng(2)
    groups = ["a", "b"] * 200
    values = np.array([1.0 if group == "a" else 0.0 for group in groups]) + rng.normal(0, 0.1, 400)
    first, second = measure_conditional(values, groups, ["x"] * 400)
    assert 0.4 < first.conditional.low < first.conditional.mean < first.conditional.high < 0.6
    assert second.conditional.high < -0.4


def test_users_without_a_value_are_left_out() -> None:
    found = measure_conditional(np.array([1.0, np.nan, 3.0]), ["a", "b", "a"], ["x"] * 3)
    assert [(one.group, one.user_count, one.raw) for one in found] == [("a", 2, 2.0)]


def test_exposures_are_those_of_lists_under_the_rules() -> None:
    catalogue = [fund("p0", 9000), course("p1"), fund("p2", 3000)]
    measured = make_measured(
        [[3, 2, 1], [3, 2, 1], [3, 2, 1]], [[0], [0], [0]], suitable=[[1, 2], [1], []], catalogue=catalogue
    )
    popular, share, count, risk = measure_exposures(measured).values()
    worth = 1 / np.log2(3)
    assert share[:2].tolist() == pytest.approx([worth / (1 + worth), 0])
    assert np.isnan(share[2])
    assert popular[:2].tolist() == [0, 0]  # The first product is the most popular tenth; it suits nobody.
    assert count.tolist() == [1, 0, 0]
    assert risk[0] == 3000
    assert np.isnan(risk[1:]).all()


def test_nobody_with_a_value_makes_no_group() -> None:
    assert measure_conditional(np.array([np.nan]), ["a"], ["x"]) == []


@pytest.mark.parametrize(
    ("catalogue", "expected"),
    [
        ([course("p0"), course("p1")], ["exposure of the most popular tenth"]),
        (
            [
                course("p0"),
                fund("p1", 9000),
            ],  # The fund suits nobody, so that nothing listed has a risk score.
            [
                "exposure of the most popular tenth",
                "financial share of exposure",
                "financial products listed, of 10",
            ],
        ),
        (
            [fund("p0", 9000), fund("p1", 9000)],
            [
                "exposure of the most popular tenth",
                "financial products listed, of 10",
                "risk score of what is listed",
            ],
        ),
    ],
    ids=["courses", "both", "funds"],
)
def test_a_measure_that_says_nothing_is_left_out(
    catalogue: list[dict[str, Any]], expected: list[str]
) -> None:
    measured = make_measured([[2, 1]], [[0]], suitable=[[0]], catalogue=catalogue)
    assert [table.caption for table in make_fairness(measured).tables] == expected


def test_fairness_has_a_table_for_every_measure() -> None:
    profiles = [{"risk_level": 2, "horizon_months": 24, "jurisdiction": place} for place in ("CN", "HK")] * 3
    measured = make_measured(
        [[2, 1]] * 6, [[0]] * 6, catalogue=[fund("p0", 100), course("p1")], profiles=profiles
    )
    section = make_fairness(measured)
    rows = {row[1]: row for row in section.tables[0].rows if row[0] == "place"}
    assert rows["CN"][2:] == ("3", rows["HK"][3], "0.0000 (0.000 to 0.000)")
    # Everybody's age, client type and vulnerability are unknown; history is 0 for all.
    assert [[row[0] for row in table.rows] for table in section.tables] == [["place", "place", "history"]] * 4


def test_mmr_chooses_only_what_is_allowed() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.int32)
    scores = np.array([[10.0, 9, 1, 0]])
    allowed = np.array([[True, True, True, False]])
    assert choose_lists(scores, allowed, vectors, WHOLE, k=4).tolist() == [[0, 1, 2, -1]]
    assert choose_lists(scores, allowed, vectors, 4000, k=2).tolist() == [[0, 2]]
    assert choose_lists(scores, ~np.ones_like(allowed), vectors, 4000, k=2).tolist() == [[-1, -1]]


def test_lists_are_measured_in_their_own_order() -> None:
    relevant = np.array([[False, True, False]])
    assert rank_lists(np.array([[2, 1]]), relevant).tolist() == pytest.approx([1 / np.log2(3)])
    assert rank_lists(np.array([[1, -1]]), relevant).tolist() == pytest.approx([1.0])


def test_variety_costs_what_falls_out_of_the_list() -> None:
    vectors = [[1, 0]] * 11 + [[0, 3]]
    catalogue = [course(f"p{row}", category="a" if row < 11 else "b") for row in range(12)]
    scores = [list(range(120, 0, -10))]
    measured = make_measured(scores, [[9]], vectors=vectors, catalogue=catalogue)
    served, varied = measure_variety(measured, WHOLE), measure_variety(measured, 3000)
    assert served.ndcg.mean == pytest.approx(1 / np.log2(11))
    assert varied.ndcg.mean == 0.0
    assert (served.diversity, served.kind_count) == (0.0, 1.0)
    # Ten pairs of the one unlike product among 45 and twice each way: 2 * 9 / 90.
    assert varied.diversity == pytest.approx(0.2)
    assert varied.kind_count == 2.0
    assert served.coverage == pytest.approx(10 / 12)


def test_the_trade_off_of_one_is_the_served_list() -> None:
    rows = make_diversity(make_measured([[3, 2, 1]], [[1]])).tables[0].rows
    assert rows[0][:3] == ("1.00", "0.6309 (0.631 to 0.631)", "+0.0%")


def test_examples_mark_what_was_taken_and_say_why_something_is_withheld() -> None:
    catalogue = [fund("p0", 9000, category="fund"), course("p1"), course("p2")]
    measured = make_measured([[3, 2, 1]], [[2]], suitable=[[1, 2]], catalogue=catalogue, history_lengths=[2])
    listed, withheld = make_examples(measured).tables
    assert [(row[1], row[5]) for row in listed.rows] == [("Course p1", ""), ("Course p2", "yes")]
    assert withheld.rows[0][0] == "Fund p0"
    assert "USR_ASSESSMENT_MISSING" in withheld.rows[0][3]


def test_a_user_is_described_without_an_id() -> None:
    measured = make_measured([[1]], [[0]], history_lengths=[1], profiles=[{"risk_level": 3}])
    text = describe_user(measured, 0)
    assert text.startswith("A user with 1 events, risk level 3, age not known, horizon not known")
    assert "u0" not in text


def test_one_user_of_each_length_of_history_is_drawn() -> None:
    measured = make_measured([[1]] * 5, [[0]] * 5, history_lengths=[0, 0, 4, 11, 500])
    drawn = list(draw_users(measured))
    assert len(drawn) == 3
    assert drawn[1] == 2
    assert drawn == list(draw_users(measured))


def test_nothing_is_withheld_where_everything_suits() -> None:
    assert list(list_withheld(make_measured([[1]], [[0]]), 0)) == []


def test_without_rules_nothing_is_withheld_and_nothing_said_of_it() -> None:
    measured = make_measured([[2, 1]], [[0]], suitable=[[1]], rules=False)
    section = make_examples(measured)
    assert "withheld" not in " ".join(section.sentences)
    assert [len(table.rows) for table in section.tables] == [1]
