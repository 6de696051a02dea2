"""Measures risk models on German credit: five times five folds, as it is small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.risk.measure import PLAIN
from benchmarks.risk.reference import score_by_plain_logistic
from training.risk.bins import encode
from training.risk.measures import measure_auc
from training.risk.run import FITS, choose_fields, split_folds
from training.risk.settings import RiskSettings
from training.risk.table import BorrowerTable, Sample

REPEAT_COUNT: Final = 5
FOLD_COUNT: Final = 5


@dataclass(frozen=True)
class FoldedResult:
    """AUC of one model over all folds: mean, and standard deviation of the repeats' means."""

    name: str
    protected: bool
    auc: float
    deviation: float


def measure_folds(
    table: BorrowerTable, settings: RiskSettings, tell: Callable[[str], None]
) -> list[FoldedResult]:
    """Measures every model, with and without protected fields, on the same folds."""
    results = []
    for protected in (False, True):
        fields = choose_fields(table, settings.model_copy(update={"use_protected": protected}))
        sample = table.take(np.arange(len(table.ids)), fields)
        for name in (PLAIN, *settings.models):
            tell(f"{table.source.name}: {name}{', protected fields too' if protected else ''}")
            means = [
                float(np.mean([_judge(sample, name, settings, repeat, fold) for fold in range(FOLD_COUNT)]))
                for repeat in range(REPEAT_COUNT)
            ]
            results.append(FoldedResult(name, protected, float(np.mean(means)), float(np.std(means, ddof=1))))
    return results


def _judge(sample: Sample, name: str, settings: RiskSettings, repeat: int, fold: int) -> float:
    """Returns the AUC on one fold of a model that learned from the others; ranking needs no calibration."""
    folds = split_folds(sample.defaulted, FOLD_COUNT, seed=settings.seed + repeat)
    learned, judged = (sample.take(np.flatnonzero(rows)) for rows in (folds != fold, folds == fold))
    if name == PLAIN:
        scores = score_by_plain_logistic(learned, judged)
    else:
        features, scorer = FITS[name](learned, settings)
        scores = scorer.score(encode(features, judged)).astype(np.float64)
    return measure_auc(scores, judged.defaulted)
