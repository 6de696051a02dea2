"""Proves that the graph of a risk model scores as its definition, on every threshold and beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportParityError
from export.parity import open_session
from export.risk_graph import INPUT
from index.risk_bins import FeatureBins, NumberBins, Record
from index.risk_golden import list_values
from index.risk_model import RiskModel, Scorecard
from training.risk.trees import Trees

_ROUND_COUNT: Final = 3  # How often each value is tried, each time among other values of the other features.
# Batches of one, of primes and of many: the batch is dynamic and must not change an answer.
_BATCH_COUNTS: Final = (1, 7, 64, 1021)


@dataclass(frozen=True)
class RiskParity:
    """How many records were scored by both without a difference, and how many thresholds they sat on."""

    record_count: int
    threshold_count: int


def check_risk_parity(model: RiskModel, trees: Trees | None, graph: bytes, *, seed: int = 0) -> RiskParity:
    """Scores records by the definition and by the graph.

    Args:
        model: bins, and points where there are no trees.
        trees: of a model that is no sum of points.
        graph: what `export.risk_graph` wrote.
        seed: of the records.

    Raises:
        ExportParityError: a score differs; the message says how many do.
    """
    records = make_records(model.features, seed=seed)
    bins = np.array([model.find_bins(record) for record in records], np.int64)
    if isinstance(model, Scorecard):
        expected = np.array([model.score(record).score for record in records], np.int64)
    else:
        assert trees is not None, "a model is a sum of points or of trees"
        expected = trees.score(bins)
    found = run_graph(graph, bins)
    wrong = int((found != expected).sum()) if found.shape == expected.shape else len(records)
    if wrong:
        raise ExportParityError(
            f"{model.name}: expected ONNX Runtime to score {len(records)} records as the definition does, "
            f"got {wrong} other scores"
        )
    edges = [len(feature.edges) for feature in model.features if isinstance(feature, NumberBins)]
    return RiskParity(len(records), sum(edges))


def run_graph(graph: bytes, bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scores bins, int64 [records, features], in batches of changing size; int64 [records]."""
    session = open_session(graph)
    found, start, turn = [], 0, 0
    while start < len(bins):
        stop = start + _BATCH_COUNTS[turn % len(_BATCH_COUNTS)]
        found.append(session.run(None, {INPUT: bins[start:stop]})[0])
        start, turn = stop, turn + 1
    return np.concatenate(found)


def make_records(features: Sequence[FeatureBins], *, seed: int) -> list[Record]:
    """Makes records: each value that could be misread, among random ones of the other features."""
    rng = np.random.default_rng(seed)
    values = {feature.name: list_values(feature) for feature in features}
    records: list[Record] = []
    for name, mine in values.items():
        for value in mine * _ROUND_COUNT:
            others = {other: theirs[int(rng.integers(len(theirs)))] for other, theirs in values.items()}
            records.append({**others, name: value})
    return records
