"""Scorecard, logistic regression and trees beside what they were made from, on every threshold."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from index.risk_bins import CategoryBins, FeatureBins, NumberBins
from tests.risk_cases import make_table, without_limit_gaps
from training.errors import CheckpointError, DataError, MissingFileError, ReadingError
from training.risk import ensembles
from training.risk.bins import encode, fit_bins, merge_bins
from training.risk.ensembles import fit_boosting, fit_forest
from training.risk.points import fit_logistic, fit_scorecard
from training.risk.settings import RiskSettings
from training.risk.table import Sample
from training.risk.trees import read_trees, write_trees

SETTINGS = RiskSettings(forest_tree_count=7, boosting_tree_count=20, forest_leaf_size=5)
TABLE = without_limit_gaps(make_table())
SAMPLE = TABLE.take(np.arange(len(TABLE.ids)), TABLE.fields[:4])
GAPS = make_table().take(np.arange(1500), TABLE.fields[:4])
FITS = [fit_scorecard, fit_logistic, fit_forest, fit_boosting]


def vary(feature: FeatureBins, values: list[object]) -> Sample:
    """One borrower for each value of a feature; the others are as the first borrower's."""
    columns = {name: [column[0]] * len(values) for name, column in SAMPLE.columns.items()}
    return Sample(SAMPLE.fields, columns | {feature.name: values}, np.zeros(len(values), np.bool_))


def test_an_edge_is_a_value_of_the_data_and_begins_a_bin() -> None:
    for feature in fit_bins(SAMPLE, 16):
        if isinstance(feature, NumberBins):
            column = np.array(SAMPLE.columns[feature.name], float)
            assert set(feature.edges) <= set(column)
            assert encode([feature], SAMPLE)[:, 0].tolist() == [
                sum(value >= edge for edge in feature.edges) for value in column
            ]
            counts = np.bincount(encode([feature], SAMPLE)[:, 0], minlength=feature.bin_count)
            assert counts.min() > 0


def test_categories_are_ordered_by_their_rate_and_the_worst_stands_for_the_unseen() -> None:
    school = fit_bins(SAMPLE, 16)[3]
    assert isinstance(school, CategoryBins)
    assert school.bin_of["C"] == school.unseen_bin == school.missing_bin == 2


def test_a_missing_number_counts_as_the_end_that_its_direction_calls_worse() -> None:
    delay, limit = fit_bins(GAPS, 16)[:2]
    assert delay.missing_bin == delay.bin_count - 1
    assert limit.missing_bin == 0


def test_a_field_without_a_value_is_refused_by_name() -> None:
    empty = replace(SAMPLE, columns={**SAMPLE.columns, "limit": [None] * 1500})
    with pytest.raises(DataError, match="field 'limit': expected a value"):
        fit_bins(empty, 16)


def test_coarse_bins_are_unions_of_fine_ones_in_the_order_of_risk() -> None:
    fine = fit_bins(SAMPLE, 64)
    bins = encode(fine, SAMPLE)
    for place, (field, feature) in enumerate(zip(SAMPLE.fields, fine, strict=True)):
        merged, coarse = merge_bins(field, feature, bins[:, place], SAMPLE.defaulted, SETTINGS)
        found = encode([merged], SAMPLE)[:, 0]
        assert found.tolist() == coarse[bins[:, place]].tolist()
        assert merged.bin_count <= SETTINGS.scorecard_bin_count
        rates = [SAMPLE.defaulted[found == one].mean() for one in range(merged.bin_count)]
        direction = 1 if isinstance(feature, CategoryBins) else field.direction
        assert all(direction * (high - low) >= 0 for low, high in pairwise(rates))
        if merged.bin_count > 1:
            assert np.bincount(found).min() >= math.floor(SETTINGS.scorecard_bin_share * 1500)


def test_points_of_the_scorecard_follow_the_directions() -> None:
    features, points = fit_scorecard(SAMPLE, SETTINGS)
    names = [feature.name for feature in features]
    assert {"delay", "limit", "school"} <= set(names)
    for feature, table in zip(features, points.table, strict=True):
        assert table.min() == 0
        steps = np.diff(table)
        if feature.name == "delay":
            assert steps.min() >= 0
        if feature.name == "limit":
            assert steps.max() <= 0
        assert table[feature.missing_bin] == table.max()


def test_twenty_points_double_the_odds() -> None:
    _, points = fit_scorecard(SAMPLE, SETTINGS)
    _, finer = fit_scorecard(SAMPLE, SETTINGS.model_copy(update={"points_to_double_odds": 2000}))
    features = fit_scorecard(SAMPLE, SETTINGS)[0]
    bins = encode(features, SAMPLE)
    # Half a point of rounding for every feature and for the base.
    assert np.abs(points.score(bins) - finer.score(bins) / 100).max() <= (len(features) + 1) / 2 + 0.1
    odds = 2 ** (finer.score(bins) / 2000)
    rate = odds / (1 + odds)
    assert rate.mean() == pytest.approx(SAMPLE.defaulted.mean(), abs=0.01)


def test_nothing_to_tell_outcomes_apart_is_refused() -> None:
    constant = {"delay": [1.0] * 1500}
    with pytest.raises(DataError, match="scorecard: expected a feature that tells"):
        fit_scorecard(Sample(SAMPLE.fields[:1], constant, SAMPLE.defaulted), SETTINGS)


@pytest.mark.parametrize("fit", FITS)
def test_a_model_is_the_same_when_it_is_fitted_again(fit: type) -> None:
    features, scorer = fit(GAPS, SETTINGS)
    again, other = fit(GAPS, SETTINGS)
    assert features == again
    assert scorer.score(encode(features, GAPS)).tolist() == other.score(encode(again, GAPS)).tolist()


def test_boosting_never_goes_against_a_direction() -> None:
    features, trees = fit_boosting(SAMPLE, SETTINGS)
    for feature, sign in zip(features[:2], (1, -1), strict=True):
        edges = feature.edges if isinstance(feature, NumberBins) else ()
        scores = trees.score(encode(features, vary(feature, list(edges))))
        assert (sign * np.diff(scores)).min() >= 0


@pytest.mark.parametrize("fit", [fit_forest, fit_boosting])
def test_trees_answer_as_the_library_on_every_threshold(fit: type, monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    for name in ("read_forest", "read_boosting"):
        read = getattr(ensembles, name)
        monkeypatch.setattr(ensembles, name, lambda model, read=read: (models.append(model), read(model))[1])
    features, trees = fit(SAMPLE, SETTINGS)
    (model,) = models
    for feature in features:
        values: list[object] = [None]
        if isinstance(feature, NumberBins):
            for edge in feature.edges:
                values += [math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf)]
        else:
            values += [*feature.bin_of, "unseen"]
        bins = encode(features, vary(feature, values))
        if isinstance(model, HistGradientBoostingClassifier):
            expected = model.decision_function(bins)
        else:
            expected = SETTINGS.forest_tree_count * model.predict_proba(bins)[:, 1]
        assert np.abs(trees.score(bins) / 1e6 - expected).max() < 1e-4


def test_trees_that_answer_otherwise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ensembles.read_forest

    def spoil(model: object) -> object:
        trees = read(model)
        return replace(trees, threshold=trees.threshold - 1)

    monkeypatch.setattr(ensembles, "read_forest", spoil)
    with pytest.raises(ReadingError, match="trees read out of scikit-learn"):
        fit_forest(SAMPLE, SETTINGS)


def test_trees_are_read_back_and_checked(tmp_path: Path) -> None:
    _, trees = fit_boosting(SAMPLE, SETTINGS)
    path = tmp_path / "boosting.npz"
    write_trees(trees, path)
    bins = encode(fit_bins(SAMPLE, SETTINGS.bin_count), SAMPLE)
    assert read_trees(path, feature_count=4).score(bins).tolist() == trees.score(bins).tolist()
    with pytest.raises(CheckpointError, match="over 1 features"):
        read_trees(path, feature_count=1)
    for spoiled in (
        replace(trees, left=np.zeros_like(trees.left)),
        replace(trees, right=trees.right + len(trees.right)),
        replace(trees, roots=trees.roots - 1),
        replace(trees, value=trees.value[1:]),
        replace(trees, left=trees.left[1:]),
        replace(trees, base=trees.base.astype(np.float64)),
    ):
        write_trees(spoiled, path)
        with pytest.raises(CheckpointError, match=r"boosting\.npz: "):
            read_trees(path, feature_count=4)
    write_trees(trees, path)
    whole = path.read_bytes()
    for spoiled in (b"", whole[:-30], whole[:60] + 20 * b"\xff" + whole[80:]):
        path.write_bytes(spoiled)
        with pytest.raises(CheckpointError, match="expected the arrays"):
            read_trees(path, feature_count=4)
    np.savez(path, feature=trees.feature)
    with pytest.raises(CheckpointError, match="expected the arrays"):
        read_trees(path, feature_count=4)
    with pytest.raises(MissingFileError, match="expected trees at"):
        read_trees(tmp_path / "absent.npz", feature_count=4)
