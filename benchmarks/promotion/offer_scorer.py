"""Scores a catalogue through a bundle that may not know all of it: what it lacks it never shows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.bundle_scorer import BundleScorer
from benchmarks.evaluate.metrics import NO_CANDIDATE
from index.bundle import Bundle
from index.features import Event


class OfferScorer:
    """Scores as a server of the bundle does; a product that the bundle lacks is no candidate."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        profiles: Mapping[str, Mapping[str, Any]],
        histories: Mapping[str, Sequence[Event]],
        now: datetime,
    ) -> None:
        """Opens the bundle's user tower; see BundleScorer."""
        self._offered = frozenset(bundle.product_ids)
        self._scorer = BundleScorer(bundle, profiles=profiles, histories=histories, now=now)

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> NDArray[np.float64]:
        """Returns scores, float64 [users, products]."""
        columns = [column for column, product in enumerate(product_ids) if product in self._offered]
        scores = np.full((len(user_ids), len(product_ids)), NO_CANDIDATE)
        scores[:, columns] = self._scorer.score(user_ids, [product_ids[column] for column in columns])
        return scores
