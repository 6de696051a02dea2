"""Measures risk models on borrowers who were held out, with bootstrap intervals over these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.risk.groups import Cut, Group, Outcomes, measure_cuts, measure_groups, wilson
from benchmarks.risk.reference import score_by_plain_logistic
from export.risk import make_graph
from export.risk_parity import check_risk_parity, run_graph
from index.risk_model import Scorecard
from training.risk.bins import encode
from training.risk.measures import GROUP_COUNT, measure_auc, measure_psi, measure_risk
from training.risk.run import Trained, choose_fields, train_model
from training.risk.settings import RiskSettings
from training.risk.table import BorrowerTable, Sample

PLAIN: Final = "plain logistic"
LEVEL: Final = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and what holds 95 in 100 resampled ones."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Served:
    """What the graph of a model was compared with.

    Attributes:
        graph_bytes: size of the ONNX graph.
        probe_count: records on and beside every threshold, missing and unseen values among them.
        threshold_count: the thresholds.
        differing_count: held-out borrowers whose score by ONNX, or by the reader of the scorecard's JSON,
            is not that of training.
    """

    graph_bytes: int
    probe_count: int
    threshold_count: int
    differing_count: int


@dataclass(frozen=True)
class ModelResult:
    """One row: a model with or without protected fields; what only trained models have is None of others."""

    name: str
    protected: bool
    feature_count: int
    quality: Mapping[str, Interval]
    validation_auc: float | None
    psi: float | None
    calibration: str | None
    served: Served | None
    probability: Floats  # [held out]


@dataclass(frozen=True)
class Band:
    """Held-out borrowers of one band of the scorecard."""

    band: int
    limit_bps: str
    borrower_count: int
    expected_bps: int
    observed_bps: int
    low_bps: int  # Of an interval of 95 % around what was observed.
    high_bps: int


@dataclass(frozen=True)
class CreditResult:
    """Everything that is measured on one table of borrowers."""

    name: str
    borrower_count: int
    defaulted: NDArray[np.bool_]  # [held out]
    excluded: Sequence[str]
    models: Sequence[ModelResult]
    cost: Mapping[str, Interval]
    bands: Sequence[Band]
    feature_psi: Mapping[str, float]
    reasons: Mapping[str, int]
    scorecard: Scorecard
    cuts: Sequence[Cut]
    groups: Sequence[Group]


def measure_credit(
    table: BorrowerTable, settings: RiskSettings, resample_count: int, tell: Callable[[str], None]
) -> CreditResult:
    """Trains every model with and without protected fields and measures them on the same held-out borrowers.

    Args:
        table: the borrowers.
        settings: of the models; whether protected fields are read is set here.
        resample_count: of the bootstrap.
        tell: is given one line before each step.
    """
    held_out = table.find_held_out()
    resamples = np.random.default_rng(settings.seed).integers(
        held_out.sum(), size=(resample_count, held_out.sum())
    )
    models: list[ModelResult] = []
    scorecards: dict[bool, Trained] = {}
    for protected in (False, True):
        chosen = settings.model_copy(update={"use_protected": protected})
        fields = choose_fields(table, chosen)
        learned, test = (table.take(np.flatnonzero(rows), fields) for rows in (~held_out, held_out))
        probability = score_by_plain_logistic(learned, test)
        quality = resample_quality(probability, test.defaulted, resamples)
        models.append(
            ModelResult(PLAIN, protected, len(fields), quality, None, None, None, None, probability)
        )
        for name in settings.models:
            tell(f"training {name}{', protected fields too' if protected else ''}")
            trained = train_model(table, name, chosen)
            if name == "scorecard":
                scorecards[protected] = trained
            models.append(_measure_model(trained, protected, learned, test, resamples))
    without = choose_fields(table, settings.model_copy(update={"use_protected": False}))
    scorecard = scorecards[False]
    learned, test = (table.take(np.flatnonzero(rows), without) for rows in (~held_out, held_out))
    return CreditResult(
        name=table.source.name,
        borrower_count=len(table.ids),
        defaulted=test.defaulted,
        excluded=[field.name for field in table.fields if field.protected],
        models=models,
        cost={name: _measure_cost(models, name, test, resamples) for name in (PLAIN, *settings.models)},
        bands=_count_bands(scorecard, test),
        feature_psi=_measure_features(scorecard, learned, test),
        reasons=_count_reasons(scorecard, test),
        scorecard=_require_scorecard(scorecard),
        cuts=measure_cuts(_find_outcomes(scorecard, test), len(settings.band_limits) + 1),
        groups=_compare_groups(table, scorecard, test),
    )


def resample_quality(
    probability: Floats, defaulted: NDArray[np.bool_], resamples: NDArray[np.int64]
) -> dict[str, Interval]:
    """Measures probabilities, with intervals over the resamples, int64 [resamples, borrowers]."""
    found = asdict(measure_risk(probability, defaulted))
    drawn = [asdict(measure_risk(probability[rows], defaulted[rows])) for rows in resamples]
    return {name: _make_interval(value, [one[name] for one in drawn]) for name, value in found.items()}


def measure_deciles(probability: Floats, defaulted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Returns mean probability and rate of defaults of ten groups of equally many, lowest risk first."""
    groups = np.array_split(np.argsort(probability, kind="stable"), GROUP_COUNT)
    expected = np.array([probability[rows].mean() for rows in groups])
    return expected, np.array([defaulted[rows].mean() for rows in groups])


def _measure_model(
    trained: Trained, protected: bool, learned: Sample, test: Sample, resamples: NDArray[np.int64]
) -> ModelResult:
    probability = trained.find_basis_points(test) / 10_000
    return ModelResult(
        name=trained.model.name,
        protected=protected,
        feature_count=len(trained.model.features),
        quality=resample_quality(probability, test.defaulted, resamples),
        validation_auc=trained.validation.auc,
        psi=trained.psi,
        calibration=trained.model.calibration.method,
        served=_measure_served(trained, test),
        probability=probability,
    )


def _measure_served(trained: Trained, test: Sample) -> Served:
    graph = make_graph(trained.model, trained.trees)
    parity = check_risk_parity(trained.model, trained.trees, graph)
    scores = trained.score(test)
    differs = run_graph(graph, encode(trained.model.features, test)) != scores
    if isinstance(trained.model, Scorecard):
        read = [trained.model.score(record).score for record in list_records(trained.model, test)]
        differs |= np.array(read) != scores
    return Served(len(graph), parity.record_count, parity.threshold_count, int(differs.sum()))


def list_records(model: Scorecard, sample: Sample) -> list[dict[str, float | int | str | None]]:
    """Lists borrowers as the records that a server is asked about."""
    names = [feature.name for feature in model.features]
    rows = zip(*(sample.columns[name] for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _measure_cost(
    models: Sequence[ModelResult], name: str, test: Sample, resamples: NDArray[np.int64]
) -> Interval:
    """Measures what leaving protected fields out takes from the AUC, over the same resamples."""
    without, with_them = (
        next(one.probability for one in models if (one.name, one.protected) == (name, protected))
        for protected in (False, True)
    )

    def lose(rows: NDArray[np.int64]) -> float:
        first, second = (measure_auc(one[rows], test.defaulted[rows]) for one in (with_them, without))
        return first - second

    return _make_interval(lose(np.arange(len(test.defaulted))), [lose(rows) for rows in resamples])


def _make_interval(value: float, drawn: Sequence[float]) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _find_outcomes(trained: Trained, test: Sample) -> Outcomes:
    found = trained.find_basis_points(test)
    bands = np.array([trained.model.find_band(int(one)) for one in found], np.int64)
    return Outcomes(found, bands, test.defaulted)


def _compare_groups(table: BorrowerTable, trained: Trained, test: Sample) -> list[Group]:
    """Compares groups by what the law protects, and by the categories that are inputs."""
    rows, outcomes = np.flatnonzero(table.find_held_out()).tolist(), _find_outcomes(trained, test)
    fields = [field for field in table.fields if field.protected or field.kind == "category"]
    return [
        group
        for field in fields
        for group in measure_groups(
            outcomes,
            field.name,
            [table.columns[field.name][row] for row in rows],
            protected=field.protected,
        )
    ]


def _count_bands(trained: Trained, test: Sample) -> list[Band]:
    found, bands = (getattr(_find_outcomes(trained, test), name) for name in ("basis_points", "bands"))
    limits = (0, *trained.model.band_limits, 10_000)
    rows = []
    for band in range(1, len(limits)):
        inside = bands == band
        if inside.any():
            expected, observed = found[inside].mean(), 10_000 * test.defaulted[inside].mean()
            limit = f"{limits[band - 1]} to {limits[band]}"
            low, high = wilson(int(test.defaulted[inside].sum()), int(inside.sum()))
            interval = round(10_000 * low), round(10_000 * high)
            rows.append(Band(band, limit, int(inside.sum()), round(expected), round(observed), *interval))
    return rows


def _measure_features(trained: Trained, learned: Sample, test: Sample) -> dict[str, float]:
    """Measures how far the points of each feature moved from the borrowers learned from to those held out."""
    first, second = (encode(trained.model.features, sample).astype(np.float64) for sample in (learned, test))
    names = [feature.name for feature in trained.model.features]
    return {name: measure_psi(first[:, place], second[:, place]) for place, name in enumerate(names)}


def _count_reasons(trained: Trained, test: Sample) -> dict[str, int]:
    """Counts the first reason of the held-out borrowers of the highest band that has any."""
    scorecard = _require_scorecard(trained)
    scores = [scorecard.score(record) for record in list_records(scorecard, test)]
    highest = max(one.band for one in scores)
    firsts = [one.reasons[0] for one in scores if one.band == highest and one.reasons]
    return {reason: firsts.count(reason) for reason in sorted(set(firsts))}


def _require_scorecard(trained: Trained) -> Scorecard:
    assert isinstance(trained.model, Scorecard), "the scorecard is a sum of points"
    return trained.model
