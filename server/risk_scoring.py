"""Scores borrowers with the risk model of a bundle: bins by exact comparison, the score by its ONNX graph.

The scorecard's own table scores every borrower again. Both are whole numbers, so they are equal, or
there is no answer.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.errors import RiskFieldError
from index.risk_bins import Record
from index.risk_files import BundledRisk
from index.risk_model import RiskScore, Scorecard
from server.encoder import RiskGraph
from server.errors import ModelOutputError, SnapshotError

_BATCH_COUNTS: Final = (1, 7, 64, 1021)
"""Batches that golden borrowers are scored in: the size of one must not change an answer."""

Fault = tuple[str, str]
"""A feature's name and what is wrong with it."""


class RiskScorer:
    """Scores borrowers; safe between threads."""

    def __init__(self, bundled: BundledRisk) -> None:
        """Opens the graph.

        Raises:
            SnapshotError: it is no graph of ours.
        """
        self.model: Scorecard = bundled.scorecard
        self.version = bundled.version
        self._golden = bundled.golden
        self._graph = RiskGraph(bundled.graph, feature_count=len(self.model.features))

    def prove(self) -> None:
        """Scores the golden borrowers, who sit on every threshold and beside it.

        Raises:
            SnapshotError: the graph gives another score than the recorded one.
        """
        bins = np.array([self.model.find_bins(each.record) for each in self._golden], np.int64)
        expected = np.array([each.score.score for each in self._golden], np.int64)
        for count in _BATCH_COUNTS:
            parts = [bins[start : start + count] for start in range(0, len(bins), count)]
            found = np.concatenate([self._prove_part(part) for part in parts])
            wrong = np.flatnonzero(found != expected)
            if len(wrong):
                raise SnapshotError(
                    f"risk_model.onnx: {len(wrong)} of {len(bins)} golden borrowers score otherwise in "
                    f"batches of {count}, the first is borrower {wrong[0]}"
                )

    def find_faults(self, record: Record) -> list[Fault]:
        """Lists what is wrong with a record, feature by feature; no value is repeated."""
        features = {feature.name: feature for feature in self.model.features}
        faults = []
        for name, value in sorted(record.items()):
            if name in self.model.protected_fields:
                faults.append((name, "protected by law; no risk model takes it"))
            elif name not in features:
                faults.append((name, f"the model {self.model.name} reads no such feature"))
            else:
                try:
                    features[name].find(value)
                except RiskFieldError as error:
                    faults.append((name, error.problem))
        return faults

    def score(self, records: Sequence[Record]) -> list[RiskScore]:
        """Scores sound records, all in one run of the graph.

        Raises:
            RiskFieldError: a record has faults.
            ModelOutputError: graph and scorecard differ.
        """
        answers = [self.model.score(record) for record in records]
        if answers:
            bins = np.array([self.model.find_bins(record) for record in records], np.int64)
            found = self._graph.score(bins)
            if found.tolist() != [answer.score for answer in answers]:
                raise ModelOutputError("risk_model.onnx: another score than the scorecard's")
        return answers

    def _prove_part(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        try:
            return self._graph.score(bins)
        except ModelOutputError as error:
            raise SnapshotError(str(error)) from error
