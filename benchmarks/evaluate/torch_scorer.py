"""Scores through the trained model itself, in PyTorch and floating point."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.dataset import DataSet
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Scores
from index.errors import FeatureError
from index.features import Event, encode_items, encode_users
from training.trained import open_run

_USER_COUNT = 512  # Users encoded at once.


class TorchScorer:
    """Scores by the inner products of the towers' vectors."""

    def __init__(
        self, run: Path, histories: Mapping[str, Sequence[Event]], dataset: DataSet, *, now: datetime
    ) -> None:
        """Opens the run and encodes the catalogue.

        Args:
            run: what `python -m training` wrote.
            histories: what users did before `now`, by user id.
            dataset: holds profiles and products.
            now: the decision time.

        Raises:
            BenchmarkInputError: the products lack a column that the run learned from.
        """
        torch.set_num_threads(1)
        self._trained = open_run(run)
        self._histories = histories
        self._profiles = dataset.profiles
        self._now = now
        self._rows = {product: row for row, product in enumerate(dataset.products)}
        products = list(dataset.products.values())
        try:
            self._trained.spec.require_columns(products[0])
            items = encode_items(self._trained.spec, self._trained.vocabulary, products)
        except FeatureError as error:
            raise BenchmarkInputError(str(error)) from error
        with torch.no_grad():
            self._items = self._trained.towers.item_tower(
                *map(torch.from_numpy, items.feed().values())
            ).numpy()

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns scores, float64 [users, products]."""
        vectors = [
            self._encode(user_ids[start : start + _USER_COUNT])
            for start in range(0, len(user_ids), _USER_COUNT)
        ]
        rows = [self._rows[product] for product in product_ids]
        scores: Scores = np.concatenate(vectors).astype(np.float64) @ self._items[rows].astype(np.float64).T
        return scores

    def _encode(self, user_ids: Sequence[str]) -> np.ndarray:
        inputs = encode_users(
            self._trained.spec,
            self._trained.vocabulary,
            [self._profiles.get(user) for user in user_ids],
            [self._histories.get(user, ()) for user in user_ids],
            self._now,
        )
        with torch.no_grad():
            vectors = self._trained.towers.user_tower(*map(torch.from_numpy, inputs.feed().values()))
        return np.asarray(vectors.numpy())
