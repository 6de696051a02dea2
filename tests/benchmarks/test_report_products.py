"""Calibration, popularity, cold products and the cost of suitability, against values worked out by hand."""

import numpy as np
import pytest

from benchmarks.evaluate.metrics import NO_CANDIDATE
from benchmarks.report.calibration import make_calibration, measure_calibration
from benchmarks.report.cold_products import make_cold_products, measure_cold, measure_places
from benchmarks.report.measured import list_best
from benchmarks.report.popularity import group_by_popularity, make_popularity, measure_spread
from benchmarks.report.suitability_cost import (
    find_product_bands,
    find_user_bands,
    make_suitability_cost,
    mask_by_risk,
    measure_costs,
)
from suitability.policy import default_policy_path, load_policy
from tests.tiny_report import course, fund, make_measured

POLICY = load_policy(default_policy_path())


def test_calibration_promises_on_even_users_and_observes_on_odd_ones() -> None:
    scores = np.array([[0.0, 9.0], [0.0, 9.0], [0.0, 9.0], [0.0, 9.0]])
    taken = np.array([[0, 1], [0, 1], [0, 0], [1, 1]], np.bool_)
    found = measure_calibration(scores, taken, np.ones_like(taken))
    # Score 9: one of two even users took it, both odd ones. Score 0: none, and one of two.
    assert (found.promised[0], found.observed[0], found.pair_counts[0]) == (0.0, 0.5, 2)
    assert (found.promised[-1], found.observed[-1], found.pair_counts[-1]) == (0.5, 1.0, 2)
    assert found.error == pytest.approx(0.5)


def test_what_is_no_candidate_is_in_no_bin() -> None:
    scores = np.array([[1.0, NO_CANDIDATE], [1.0, 2.0]])
    found = measure_calibration(scores, np.zeros((2, 2), np.bool_), scores != NO_CANDIDATE)
    assert found.pair_counts.sum() == 2
    assert found.error == 0.0


def test_equal_labels_calibrate_without_error() -> None:
    measured = make_measured([[1, 2, 3]] * 4, [[0, 1, 2]] * 4)
    section = make_calibration(measured)
    assert "error): 0.0000%" in section.sentences[1]
    assert {row[3] for row in section.tables[0].rows} <= {"-", "100.000%"}


def test_lists_keep_the_order_of_ids_and_end_where_nothing_is_allowed() -> None:
    scores = np.array([[5.0, 7.0, 7.0, NO_CANDIDATE]])
    allowed = np.array([[True, True, True, True]])
    assert list_best(scores, allowed, k=4).tolist() == [[1, 2, 0, -1]]
    assert list_best(scores, ~allowed, k=2).tolist() == [[-1, -1]]


def test_products_are_grouped_by_owners_with_ties_by_id() -> None:
    counts = np.array([5, 50, 5, 5, 5, 5, 5, 5, 5, 5], np.int64)
    assert group_by_popularity(counts).tolist() == [1, 0, 1, 1, 1, 2, 2, 2, 2, 2]


def test_spread_measures_coverage_and_who_is_shown() -> None:
    found = measure_spread(np.array([[0], [0], [9]]), np.arange(10, 0, -1))
    assert found.coverage == pytest.approx(0.2)
    assert found.exposure_shares.tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert found.coverage_shares.tolist() == pytest.approx([1, 0, 0.2])
    # Sorted exposure 0 x 8, 1, 2 of ten: (7 * 1 + 9 * 2) / (10 * 3).
    assert found.gini == pytest.approx(25 / 30)


def test_popularity_shows_lists_under_the_rules_only() -> None:
    measured = make_measured([[2, 1], [2, 1]], [[0], [1]], suitable=[[1], [1]], owner_counts=[9, 1])
    rows = {row[0]: row[1] for row in make_popularity(measured).tables[0].rows}
    assert rows == {"model": "50.0%", "most popular": "50.0%", "what users took later": "100.0%"}


def test_places_share_ties_in_random_order() -> None:
    scores = np.array([[4.0, 4.0, 4.0, 9.0, NO_CANDIDATE]])
    relevant = np.array([[1, 0, 0, 0, 0]], np.bool_)
    found, places = measure_places(scores, relevant, ranks=2)
    # One above; one of the three that are equal stands within two ranks, and one of three others below.
    assert found.tolist() == pytest.approx([1 / 3])
    assert places.tolist() == pytest.approx([1 / 3])


def test_the_only_candidate_is_found() -> None:
    found, places = measure_places(np.array([[1.0]]), np.array([[True]]), ranks=50)
    assert (found.tolist(), places.tolist()) == ([1.0], [0.0])


def test_cold_products_are_measured_by_their_owners() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    relevant = np.array([[1, 0, 0], [1, 1, 0]], np.bool_)
    found = {one.owners: one for one in measure_cold(scores, relevant, np.array([0, 0, 3]))}
    assert (found["0"].product_count, found["0"].pair_count) == (2, 3)
    assert found["0"].place == pytest.approx((1 + 0 + 0.5) / 3)
    # Among the two cold ones alone: best, worst, best.
    assert found["0"].place_alike == pytest.approx(2 / 3)
    assert found["1-5"].pair_count == 0
    assert np.isnan(found["1-5"].found)


def test_the_cold_table_shows_what_was_not_taken_as_a_dash() -> None:
    rows = make_cold_products(make_measured([[3, 2]], [[0]], owner_counts=[0, 500])).tables[0].rows
    assert rows[0] == ("0", "1", "1", "100.0%", "100.0%", "100.0%", "0.0%", "0.0%")
    assert rows[-1] == ("> 100", "1", "0", "-", "-", "-", "-", "-")


def test_bands_are_the_limits_of_the_policy() -> None:
    levels = [{"risk_level": level} for level in (0, 1, 2, 5)]
    # Levels 0 and 1 have one limit in the default policy.
    assert find_user_bands([*levels, {}], POLICY) == [0, 0, 1, 4, None]
    products = [fund("a", 2000), fund("b", 2001), fund("c", 10_000), fund("d", None), course("e")]
    assert find_product_bands(products, POLICY) == [0, 1, 4, -1, None]


def test_two_sides_keep_neighbours_and_one_side_keeps_what_is_below() -> None:
    products = [0, 1, 2, 3, 4, -1, None]
    two = mask_by_risk([2, None], products, two_sided=True)
    one = mask_by_risk([2, None], products, two_sided=False)
    assert two.tolist() == [[False, True, True, True, False, False, True], [True] * 7]
    assert one.tolist() == [[True, True, True, False, False, False, True], [True] * 7]


def test_an_unknown_band_is_not_the_neighbour_of_the_lowest() -> None:
    assert mask_by_risk([0], [-1, 0], two_sided=True).tolist() == [[False, True]]


def test_each_filter_costs_what_it_takes_away() -> None:
    # One user of band 1; bands 3, 2, 1; took the second, which stands first two-sided and nowhere one-sided.
    catalogue = [fund("p0", 8000), fund("p1", 6000), fund("p2", 4000)]
    measured = make_measured(
        [[3, 2, 1]], [[1]], suitable=[[2]], catalogue=catalogue, profiles=[{"risk_level": 2}]
    )
    costs = measure_costs(measured, POLICY, np.ones(3, np.bool_))
    assert [cost.ndcg.mean for cost in costs] == pytest.approx([1 / np.log2(3), 1, 0, 0])
    assert [cost.suitable_share for cost in costs] == pytest.approx([1 / 3, 1 / 2, 1, 1])
    assert [cost.listed_mean for cost in costs] == [3, 2, 1, 1]


def test_financial_products_have_a_table_of_their_own_where_some_were_taken() -> None:
    catalogue = [course("p0"), fund("p1", 1000)]
    taken = make_measured([[2, 1]], [[1]], catalogue=catalogue, profiles=[{"risk_level": 3}])
    captions = [table.caption for table in make_suitability_cost(taken).tables]
    assert captions == ["Filters over all products", "Filters over financial and insurance products"]
    assert len(make_suitability_cost(make_measured([[2, 1]], [[1]])).tables) == 1


def test_the_cost_is_shown_once_where_everything_is_financial() -> None:
    measured = make_measured([[1]], [[0]], catalogue=[fund("p0", 1000)], profiles=[{"risk_level": 3}])
    assert [table.caption for table in make_suitability_cost(measured).tables] == [
        "Filters over all products"
    ]


def test_without_rules_there_is_no_cost_and_the_section_says_so() -> None:
    section = make_suitability_cost(make_measured([[1]], [[0]], rules=False))
    assert "none asked" in section.sentences[0]
    assert (section.tables, section.pictures) == ((), ())
