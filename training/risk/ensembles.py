"""Grows random forests and boosted trees with scikit-learn, and reads them out as whole numbers.

The trees are grown over bins, so that every threshold lies between two whole numbers and loses nothing when
it is rounded down; a leaf's value is rounded to a millionth. What was read out is compared with the library's
own answers before it is used.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from index.risk_bins import FeatureBins
from training.errors import ReadingError
from training.risk.bins import Bins, encode, fit_bins
from training.risk.points import SCORE_SCALE
from training.risk.settings import RiskSettings
from training.risk.table import Sample
from training.risk.trees import Trees

# A share of the features tried at each split, and the penalty on squared leaf values: customary, never tuned.
_FOREST_FEATURE_SHARE: Final = 0.3
_BOOSTING_PENALTY: Final = 5.0


def fit_forest(sample: Sample, settings: RiskSettings) -> tuple[tuple[FeatureBins, ...], Trees]:
    """Fits a random forest; a leaf's value is its rate of defaults."""
    features = fit_bins(sample, settings.bin_count)
    bins = encode(features, sample)
    model = RandomForestClassifier(
        n_estimators=settings.forest_tree_count,
        max_depth=settings.forest_depth,
        min_samples_leaf=settings.forest_leaf_size,
        max_features=_FOREST_FEATURE_SHARE,
        random_state=settings.seed,
    ).fit(bins, sample.defaulted)
    trees = read_forest(model)
    _check_reading(trees, bins, settings.forest_tree_count * model.predict_proba(bins)[:, 1])
    return features, trees


def fit_boosting(sample: Sample, settings: RiskSettings) -> tuple[tuple[FeatureBins, ...], Trees]:
    """Fits gradient boosting that is bound to the fields' directions; values are log-odds."""
    features = fit_bins(sample, settings.bin_count)
    bins = encode(features, sample)
    model = HistGradientBoostingClassifier(
        max_iter=settings.boosting_tree_count,
        learning_rate=settings.boosting_learning_rate,
        max_leaf_nodes=settings.boosting_leaf_count,
        l2_regularization=_BOOSTING_PENALTY,
        # Categories were ordered by their rates, so that more is worse.
        monotonic_cst=[1 if field.kind == "category" else field.direction for field in sample.fields],
        early_stopping=False,
        random_state=settings.seed,
    ).fit(bins, sample.defaulted)
    trees = read_boosting(model)
    _check_reading(trees, bins, model.decision_function(bins))
    return features, trees


def read_forest(model: RandomForestClassifier) -> Trees:
    """Reads a forest out; the score is the sum of the trees' rates, in millionths."""
    tables = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        tables.append(
            {
                "feature": tree.feature,
                "threshold": tree.threshold,
                "left": tree.children_left,
                "right": tree.children_right,
                "value": tree.value[:, 0, 1],
                "is_leaf": tree.children_left == tree.children_right,
            }
        )
    return _join(tables, base=0.0)


def read_boosting(model: HistGradientBoostingClassifier) -> Trees:
    """Reads boosted trees out; the score is the log-odds of a default, in millionths.

    scikit-learn has no public table of these trees; its version is pinned.
    """
    tables = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        tables.append(
            {
                "feature": nodes["feature_idx"],
                "threshold": nodes["num_threshold"],
                "left": nodes["left"],
                "right": nodes["right"],
                "value": nodes["value"],
                "is_leaf": nodes["is_leaf"].astype(np.bool_),
            }
        )
    return _join(tables, base=float(model._baseline_prediction[0, 0]))


def _check_reading(trees: Trees, bins: Bins, expected: NDArray[np.float64]) -> None:
    """Compares scores with the library's; each leaf and the base were rounded by at most half a millionth."""
    error = float(np.abs(trees.score(bins) - SCORE_SCALE * expected).max())
    limit = 0.5 * (len(trees.roots) + 1) + 1
    # Written so that NaN is refused too.
    if not error <= limit:
        raise ReadingError(
            f"trees read out of scikit-learn: expected scores within {limit:g} millionths, got {error:g}"
        )


def _join(tables: Sequence[dict[str, Any]], *, base: float) -> Trees:
    """Puts trees one after the other; a leaf asks feature 0 and leads to itself."""
    roots = np.cumsum([0, *(len(table["feature"]) for table in tables)])
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    for root, table in zip(roots, tables, strict=False):
        leaf, nodes = table["is_leaf"], np.arange(len(table["feature"]))
        parts["feature"].append(np.where(leaf, 0, table["feature"]))
        parts["threshold"].append(np.floor(np.where(leaf, 0, table["threshold"])))
        for side in ("left", "right"):
            parts[side].append(root + np.where(leaf, nodes, table[side]))
        parts["value"].append(np.where(leaf, np.rint(SCORE_SCALE * table["value"]), 0))
    whole = {name: np.concatenate(part).astype(np.int64) for name, part in parts.items()}
    return Trees(
        **whole,
        roots=roots[:-1].astype(np.int64),
        base=np.array([round(SCORE_SCALE * base)], np.int64),
    )
