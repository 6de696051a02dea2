"""Measures of risk models beside their definitions, on few borrowers with equal scores among them."""

import numpy as np
import pytest

from training.risk.measures import measure_ece, measure_psi, measure_risk, measure_roc

RNG = np.random.default_rng(3)
PROBABILITY = np.round(RNG.random(211), 2)
DEFAULTED = RNG.random(211) < PROBABILITY


def test_auc_is_the_share_of_pairs_in_order_and_equal_scores_count_half() -> None:
    bad, good = PROBABILITY[DEFAULTED], PROBABILITY[~DEFAULTED]
    pairs = (bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean()
    assert measure_risk(PROBABILITY, DEFAULTED).auc == pytest.approx(pairs, abs=1e-12)


def test_ks_is_the_largest_distance_of_the_two_distributions() -> None:
    bad, good = PROBABILITY[DEFAULTED], PROBABILITY[~DEFAULTED]
    distances = [(bad >= cut).mean() - (good >= cut).mean() for cut in np.unique(PROBABILITY)]
    assert measure_risk(PROBABILITY, DEFAULTED).ks == pytest.approx(max(distances), abs=1e-12)


def test_scores_that_are_all_equal_tell_nothing() -> None:
    quality = measure_risk(np.full(211, 0.3), DEFAULTED)
    assert (quality.auc, quality.ks) == (0.5, 0.0)


def test_the_curve_goes_from_corner_to_corner() -> None:
    good, bad = measure_roc(PROBABILITY, DEFAULTED)
    assert (good[0], bad[0], good[-1], bad[-1]) == (0, 0, 1, 1)


def test_ece_weighs_each_band_by_its_borrowers() -> None:
    probability = np.array([0.05, 0.05, 0.05, 0.95])
    defaulted = np.array([True, False, False, True])
    # Three borrowers at 5 % of whom a third defaulted, and one at 95 % who did.
    assert measure_ece(probability, defaulted) == pytest.approx((3 * (1 / 3 - 0.05) + 0.05) / 4)
    assert measure_ece(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_psi_is_zero_for_one_population_and_large_for_another() -> None:
    values = np.arange(1000.0)
    assert measure_psi(values, values) == pytest.approx(0, abs=1e-12)
    assert measure_psi(values, values + 1) < 0.01
    assert measure_psi(values, values + 500) > 0.25
