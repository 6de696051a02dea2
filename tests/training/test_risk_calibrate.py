"""Calibration as data: curves that never fall, that hold on borrowers not seen, and claim no certainty."""

import numpy as np
import pytest

from training.risk.calibrate import apply, calibrate, fit_isotonic, fit_platt
from training.risk.measures import measure_ece

RNG = np.random.default_rng(5)
SCORES = RNG.normal(-1_000_000, 1_500_000, 4000).astype(np.int64)
DEFAULTED = RNG.random(4000) < 1 / (1 + np.exp(-SCORES / 1e6))
FITS = [fit_isotonic, fit_platt]


@pytest.mark.parametrize("fit", FITS)
def test_a_curve_ascends_within_its_bounds(fit: type) -> None:
    curve = fit(SCORES, DEFAULTED)
    assert list(curve.scores) == sorted(set(curve.scores))
    assert list(curve.basis_points) == sorted(curve.basis_points)
    assert curve.basis_points[0] >= 1
    assert curve.basis_points[-1] <= 9999


@pytest.mark.parametrize("fit", FITS)
def test_a_curve_holds_for_borrowers_whom_it_has_not_seen(fit: type) -> None:
    curve = fit(SCORES[:3000], DEFAULTED[:3000])
    found = apply(curve, SCORES[3000:]) / 10_000
    assert measure_ece(found, DEFAULTED[3000:]) < 0.05
    assert np.abs(found - 1 / (1 + np.exp(-SCORES[3000:] / 1e6))).mean() < 0.03


@pytest.mark.parametrize("fit", FITS)
def test_basis_points_are_those_of_the_definition(fit: type) -> None:
    curve = fit(SCORES, DEFAULTED)
    assert apply(curve, SCORES[:50]).tolist() == [curve.find(int(score)) for score in SCORES[:50]]


def test_a_step_claims_no_certainty() -> None:
    scores = np.repeat(np.arange(3), 60).astype(np.int64)
    curve = fit_isotonic(scores, scores == 2)
    assert curve.scores == (0, 1, 2)
    # Of 120 none, of 60 all: half a borrower of each outcome more.
    assert curve.basis_points == (41, 41, 9918)


def test_a_few_good_borrowers_at_the_end_do_not_lift_the_next() -> None:
    # The two lowest scores paid: alone they are a step of half a default in three, above those that follow.
    scores = np.arange(1000)
    defaulted = (scores % 10 == 2) | (scores > 900)
    curve = fit_isotonic(scores.astype(np.int64), defaulted)
    assert curve.basis_points[0] < 1100
    assert curve.find(500) == pytest.approx(1000, abs=150)


def test_a_score_that_points_the_wrong_way_raises_nothing() -> None:
    for fit in FITS:
        curve = fit(-SCORES, DEFAULTED)
        assert curve.basis_points[-1] - curve.basis_points[0] < 100


def test_a_half_in_which_nobody_defaulted_is_calibrated_too() -> None:
    scores = np.arange(1000)
    for fit in FITS:
        curve = fit(scores, np.zeros(1000, np.bool_))
        # Half a borrower of each outcome more, as a part of all.
        assert set(curve.basis_points) == {5}
    for seed in range(7):
        # Of two who defaulted, both are in one half every other time.
        _, losses = calibrate(scores, scores >= 998, seed=seed)
        assert all(np.isfinite(loss) for loss in losses.values())


def test_the_better_curve_is_taken() -> None:
    curve, losses = calibrate(SCORES, DEFAULTED, seed=1)
    assert curve.method == min(losses, key=losses.__getitem__) == "platt"
    steps = np.where(SCORES > 0, 0.9, np.where(SCORES > -2_000_000, 0.5, 0.1))
    curve, losses = calibrate(SCORES, RNG.random(4000) < steps, seed=1)
    assert curve.method == min(losses, key=losses.__getitem__) == "isotonic"
