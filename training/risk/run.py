"""Trains risk models: bins, scores of borrowers not seen, calibration, measures, and the run directory."""

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from index.risk_bins import FeatureBins
from index.risk_json import write_risk_model
from index.risk_model import RiskModel, Scorecard
from training.data_progress import show_step
from training.dataset import DataSource, check_target, source_to_json
from training.errors import EmptyDataError
from training.risk.bins import encode
from training.risk.calibrate import apply, calibrate
from training.risk.directory import write_directory
from training.risk.ensembles import fit_boosting, fit_forest
from training.risk.measures import RiskQuality, measure_psi, measure_risk
from training.risk.points import Points, fit_logistic, fit_scorecard
from training.risk.settings import RiskSettings
from training.risk.table import BorrowerTable, RiskField, Sample, read_borrowers
from training.risk.trees import Trees, write_trees

Scorer = Points | Trees
Fit = Callable[[Sample, RiskSettings], tuple[tuple[FeatureBins, ...], Scorer]]
FITS: Final[Mapping[str, Fit]] = MappingProxyType(
    {"scorecard": fit_scorecard, "logistic": fit_logistic, "forest": fit_forest, "boosting": fit_boosting}
)


@dataclass(frozen=True)
class Trained:
    """One trained model.

    Attributes:
        model: as it is served; a Scorecard where its score is a sum of points.
        trees: of a model that is none.
        validation: its quality on training rows that the models of the folds had not seen.
        test: its quality on the held-out rows.
        psi: how far the held-out scores are from those of the training rows.
        calibration_losses: the log-loss of each curve that was tried.
    """

    model: RiskModel
    trees: Trees | None
    validation: RiskQuality
    test: RiskQuality
    psi: float
    calibration_losses: Mapping[str, float]

    def find_basis_points(self, sample: Sample) -> NDArray[np.int64]:
        """Returns the probabilities of borrowers in basis points, int64 [borrowers]."""
        return apply(self.model.calibration, self.score(sample))

    def score(self, sample: Sample) -> NDArray[np.int64]:
        """Scores borrowers, int64 [borrowers]."""
        return _score(self.model.features, self.trees or _take_points(self.model), sample)


def train_risk(data: Path, out: Path, settings: RiskSettings, *, force: bool, console: Console) -> None:
    """Trains the models on what is not held out and writes the run directory, whole or not at all.

    Raises:
        TrainingError: see its tree.
    """
    check_target(out, force=force)
    table = read_borrowers(data)
    trained = []
    for name in settings.models:
        with show_step(console, f"training {name}"):
            trained.append(train_model(table, name, settings))
    for one in trained:
        console.print(_describe(one), highlight=False)
    counts = {"borrowers": len(table.ids), "held_out": int(table.find_held_out().sum())}

    def write_files(directory: Path) -> None:
        _write_run(directory, trained, settings, table.source, counts)

    write_directory(out, write_files, force=force)
    console.print(f"written to {out}", highlight=False, soft_wrap=True)


def train_model(table: BorrowerTable, name: str, settings: RiskSettings) -> Trained:
    """Trains one model.

    Raises:
        DataError: the table holds nothing to learn from, or nothing to test on.
    """
    fields = choose_fields(table, settings)
    held_out = table.find_held_out()
    learned = table.take(np.flatnonzero(~held_out), fields)
    test = table.take(np.flatnonzero(held_out), fields)
    _require_outcomes(learned.defaulted, "to learn from", settings.fold_count)
    _require_outcomes(test.defaulted, "held out", 1)
    unseen = score_unseen(learned, name, settings)
    calibration, losses = calibrate(unseen, learned.defaulted, seed=settings.seed)
    features, scorer = FITS[name](learned, settings)
    common: dict[str, Any] = {
        "name": name,
        "source": f"{table.source.name}: {table.source.attribution}",
        "features": features,
        "calibration": calibration,
        "band_limits": settings.band_limits,
        "reason_texts": _choose_texts(table, {feature.reason for feature in features}),
        "protected_fields": tuple(field.name for field in table.fields if field.protected),
    }
    model = RiskModel(**common) if isinstance(scorer, Trees) else _make_scorecard(common, scorer)
    scores = {"learned": _score(features, scorer, learned), "test": _score(features, scorer, test)}
    return Trained(
        model=model,
        trees=scorer if isinstance(scorer, Trees) else None,
        validation=measure_risk(apply(calibration, unseen) / 10_000, learned.defaulted),
        test=measure_risk(apply(calibration, scores["test"]) / 10_000, test.defaulted),
        psi=measure_psi(scores["learned"].astype(np.float64), scores["test"].astype(np.float64)),
        calibration_losses=losses,
    )


def choose_fields(table: BorrowerTable, settings: RiskSettings) -> tuple[RiskField, ...]:
    """Returns the fields that a model may read: no protected one unless it is asked for."""
    fields = tuple(field for field in table.fields if settings.use_protected or not field.protected)
    if not fields:
        raise EmptyDataError("expected a field that is not protected, found none")
    return fields


def _choose_texts(table: BorrowerTable, reasons: Set[str]) -> dict[str, tuple[str, str]]:
    """Returns the texts of a model's reasons; none where the table lacks one of them."""
    texts = table.reason_texts
    return {code: texts[code] for code in sorted(reasons)} if reasons <= texts.keys() else {}


def score_unseen(sample: Sample, name: str, settings: RiskSettings) -> NDArray[np.int64]:
    """Scores every borrower by a model that learned from the other folds, int64 [borrowers]."""
    folds = split_folds(sample.defaulted, settings.fold_count, settings.seed)
    scores = np.empty(len(folds), np.int64)
    for fold in range(settings.fold_count):
        rows = np.flatnonzero(folds == fold)
        features, scorer = FITS[name](sample.take(np.flatnonzero(folds != fold)), settings)
        scores[rows] = _score(features, scorer, sample.take(rows))
    return scores


def split_folds(defaulted: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """Gives every borrower a fold at random, those who defaulted spread evenly; int64 [borrowers]."""
    order = np.random.default_rng(seed).permutation(len(defaulted))
    order = order[np.argsort(defaulted[order], kind="stable")]
    folds = np.empty(len(order), np.int64)
    folds[order] = np.arange(len(order)) % count
    return folds


def _require_outcomes(defaulted: NDArray[np.bool_], what: str, count: int) -> None:
    found = (int(defaulted.sum()), int((~defaulted).sum()))
    if min(found) < count:
        raise EmptyDataError(
            f"borrowers {what}: expected at least {count} who defaulted and as many who did not, "
            f"got {found[0]} and {found[1]}"
        )


def _score(features: Sequence[FeatureBins], scorer: Scorer, sample: Sample) -> NDArray[np.int64]:
    return scorer.score(encode(features, sample))


def _make_scorecard(common: Mapping[str, Any], points: Points) -> Scorecard:
    table = tuple(tuple(int(one) for one in row) for row in points.table)
    return Scorecard(**common, base_points=points.base, points=table, average_points=points.average)


def _take_points(model: RiskModel) -> Points:
    assert isinstance(model, Scorecard), "a model without trees is a sum of points"
    table = tuple(np.array(row, np.int64) for row in model.points)
    return Points(model.base_points, table, model.average_points)


def _write_run(
    directory: Path,
    trained: Sequence[Trained],
    settings: RiskSettings,
    source: DataSource,
    counts: Mapping[str, int],
) -> None:
    metrics = {
        **counts,
        "models": {
            one.model.name: {
                "features": len(one.model.features),
                "calibration": one.model.calibration.method,
                "calibration_losses": one.calibration_losses,
                "validation": asdict(one.validation),
                "test": asdict(one.test),
                "psi": one.psi,
            }
            for one in trained
        },
    }
    texts = {
        "config.json": settings.model_dump_json(indent=1) + "\n",
        "metrics.json": json.dumps(metrics, indent=1) + "\n",
        "source.json": source_to_json(source),
        **{f"{one.model.name}.json": write_risk_model(one.model) for one in trained},
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    for one in trained:
        if one.trees is not None:
            write_trees(one.trees, directory / f"{one.model.name}.npz")


def _describe(one: Trained) -> str:
    test = one.test
    return (
        f"{one.model.name}: held out AUC {test.auc:.4f}, KS {test.ks:.3f}, Brier {test.brier:.4f}, "
        f"ECE {test.ece:.4f}, PSI {one.psi:.4f}; {one.model.calibration.method}"
    )
