"""Fits the bins of the features: fine ones, which trees split, and coarse ones of these, for a scorecard."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from index.risk_bins import CategoryBins, FeatureBins, NumberBins, Value
from training.errors import DataError
from training.risk.settings import RiskSettings
from training.risk.table import RiskField, Sample

_LEAF: int = -1  # What scikit-learn writes for the child of a leaf.
PRIOR_COUNT = 20.0
"""A bin's rate of defaults is estimated as if this many average borrowers were in it as well."""

Bins = NDArray[np.int64]


def fit_bins(sample: Sample, bin_count: int) -> tuple[FeatureBins, ...]:
    """Fits at most `bin_count` bins to every number, of about equally many borrowers, and one to a category.

    Categories are ordered by their rate of defaults. What is missing or unseen counts as the worst bin.

    Raises:
        DataError: a field has no value in any row.
    """
    return tuple(_fit_feature(field, sample, bin_count) for field in sample.fields)


def _fit_feature(field: RiskField, sample: Sample, bin_count: int) -> FeatureBins:
    values = sample.columns[field.name]
    known = np.array([value is not None and value == value for value in values], np.bool_)  # noqa: PLR0124
    if not known.any():
        raise DataError(f"field {field.name!r}: expected a value in some row, found none")
    present = [values[row] for row in np.flatnonzero(known).tolist()]
    outcome = sample.defaulted[known]
    if field.kind == "category":
        rates = {
            value: _estimate_rates(np.array([one == value for one in present], np.int64), outcome)[1]
            for value in sorted({str(value) for value in present})
        }
        order = sorted(rates, key=lambda value: (rates[value], value))
        worst = len(order) - 1
        return CategoryBins(
            field.name, field.reason, {value: place for place, value in enumerate(order)}, worst, worst
        )
    edges = _find_edges(np.array(present, np.float64), bin_count)
    bins = np.searchsorted(edges, np.array(present, np.float64), side="right").astype(np.int64)
    worst = int(_estimate_rates(bins, outcome).argmax())
    if field.direction:
        worst = len(edges) if field.direction > 0 else 0
    return NumberBins(field.name, field.reason, tuple(edges.tolist()), worst)


def _find_edges(values: NDArray[np.float64], bin_count: int) -> NDArray[np.float64]:
    """Finds ascending edges, each a value of the data; the lowest value is no edge."""
    distinct = np.unique(values)
    if len(distinct) <= bin_count:
        return distinct[1:]
    quantiles = np.quantile(values, np.arange(1, bin_count) / bin_count, method="higher")
    edges: NDArray[np.float64] = np.unique(quantiles[quantiles > distinct[0]])
    return edges


def _estimate_rates(bins: Bins, defaulted: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = np.bincount(bins, minlength=2)
    bad = np.bincount(bins, weights=defaulted.astype(np.float64), minlength=2)
    rates: NDArray[np.float64] = (bad + PRIOR_COUNT * defaulted.mean()) / (rows + PRIOR_COUNT)
    return rates


def encode(features: Sequence[FeatureBins], sample: Sample) -> Bins:
    """Returns the bins of some borrowers, int64 [borrowers, features]."""
    return np.stack([_encode(feature, sample.columns[feature.name]) for feature in features], axis=1)


def _encode(feature: FeatureBins, values: Sequence[Value]) -> Bins:
    # The definition is asked once for each distinct value; NaN, which equals nothing, is None here.
    clean = [None if value != value else value for value in values]  # noqa: PLR0124
    found = {value: feature.find(value) for value in set(clean)}
    return np.array([found[value] for value in clean], np.int64)


def merge_bins(
    field: RiskField, feature: FeatureBins, bins: Bins, defaulted: NDArray[np.bool_], settings: RiskSettings
) -> tuple[FeatureBins, Bins]:
    """Merges fine bins into the coarse ones that tell the outcomes apart best, by a tree of one feature.

    Bound to the field's direction, the coarse bins' rates of defaults never fall, or never rise.

    Returns:
        The coarse bins, and for every fine bin its coarse one, int64 [fine bins].
    """
    # Categories were ordered by their rates, so that more is worse.
    direction = 1 if isinstance(feature, CategoryBins) else field.direction
    tree = DecisionTreeClassifier(
        max_leaf_nodes=settings.scorecard_bin_count,
        min_samples_leaf=settings.scorecard_bin_share,
        monotonic_cst=[direction] if direction else None,
        random_state=settings.seed,
    ).fit(bins[:, None], defaulted)
    inner = tree.tree_.children_left != _LEAF
    # A threshold lies between two whole numbers: bins up to the lower one stay below the cut.
    cuts = np.sort(np.floor(tree.tree_.threshold[inner]).astype(np.int64))
    coarse = np.searchsorted(cuts, np.arange(feature.bin_count), side="left").astype(np.int64)
    missing = int(coarse[feature.missing_bin])
    if isinstance(feature, NumberBins):
        edges = tuple(feature.edges[cut] for cut in cuts)
        return NumberBins(feature.name, feature.reason, edges, missing), coarse
    bin_of = {value: int(coarse[place]) for value, place in feature.bin_of.items()}
    return CategoryBins(feature.name, feature.reason, bin_of, missing, missing), coarse
