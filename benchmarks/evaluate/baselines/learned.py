"""Baselines learned by gradient: matrix factorisation with bias and L2 (MSE or BCE), and NeuMF.

Both see every observed pair (1) with as many pairs drawn at random (0) as `negative_count` says, once an
epoch, in batches.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed

Loss = Literal["mse", "bce"]

_INITIAL_STD = 0.05


class MfNet(nn.Module):
    """Predicts a pair by p.q + the user's bias + the product's bias + a constant."""

    def __init__(self, user_count: int, product_count: int, dim: int) -> None:
        super().__init__()
        self.user = nn.Embedding(user_count, dim)
        self.product = nn.Embedding(product_count, dim)
        self.user_bias = nn.Embedding(user_count, 1)
        self.product_bias = nn.Embedding(product_count, 1)
        self.constant = nn.Parameter(torch.zeros(1))
        for table in (self.user, self.product):
            nn.init.normal_(table.weight, std=_INITIAL_STD)
        for table in (self.user_bias, self.product_bias):
            nn.init.zeros_(table.weight)

    def forward(self, user: Tensor, product: Tensor) -> Tensor:
        """Returns predictions, [batch]."""
        bias = (self.user_bias(user) + self.product_bias(product))[:, 0] + self.constant
        predictions: Tensor = (self.user(user) * self.product(product)).sum(dim=1) + bias
        return predictions

    def measure_size(self, user: Tensor, product: Tensor) -> Tensor:
        """Returns the mean squared length of what a batch uses, for L2."""
        tables = ((self.user, user), (self.product, product))
        biases = ((self.user_bias, user), (self.product_bias, product))
        sizes = [table(rows).square().sum(dim=1) for table, rows in (*tables, *biases)]
        return torch.stack(sizes).sum(dim=0).mean()


class NeuMfNet(MfNet):
    """Adds a multilayer perceptron over embeddings of its own to the product of factors.

    Source: He et al. 2017, Neural Collaborative Filtering, eq. 12, without the pretraining.
    """

    def __init__(self, user_count: int, product_count: int, dim: int) -> None:
        super().__init__(user_count, product_count, dim)
        self.deep_user = nn.Embedding(user_count, dim)
        self.deep_product = nn.Embedding(product_count, dim)
        for table in (self.deep_user, self.deep_product):
            nn.init.normal_(table.weight, std=_INITIAL_STD)
        self.layers = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim // 2), nn.ReLU())
        self.last = nn.Linear(dim + dim // 2, 1)

    def forward(self, user: Tensor, product: Tensor) -> Tensor:
        """Returns predictions, [batch]."""
        shallow = self.user(user) * self.product(product)  # [batch, dim]
        deep = self.layers(torch.cat([self.deep_user(user), self.deep_product(product)], dim=1))
        predictions: Tensor = self.last(torch.cat([shallow, deep], dim=1))[:, 0]
        return predictions


class Learned:
    """Learns a net from observed and drawn pairs; `probability` turns scores into predictions of a pair."""

    def __init__(
        self,
        net: type[MfNet],
        *,
        loss: Loss,
        dim: int = 32,
        l2: float = 0.0,
        epochs: int = 20,
        batch_size: int = 4096,
        negative_count: int = 4,
        learning_rate: float = 0.005,
        seed: int = 1,
    ) -> None:
        self._net_type = net
        self._loss = loss
        self._dim = dim
        self._l2 = l2
        self._epochs = epochs
        self._batch_size = batch_size
        self._negative_count = negative_count
        self._learning_rate = learning_rate
        self._seed = seed

    def fit(self, observed: Observed) -> None:
        """Learns for a fixed number of epochs."""
        torch.set_num_threads(1)
        torch.manual_seed(self._seed)
        rng = np.random.default_rng(self._seed)
        user_count, product_count = observed.pairs.shape
        self._product_count = product_count
        self._net = self._net_type(user_count, product_count, self._dim)
        optimizer = torch.optim.Adam(self._net.parameters(), lr=self._learning_rate)
        user, product = observed.pairs.nonzero()
        for _ in range(self._epochs):
            order = rng.permutation(len(user))
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                drawn = rng.integers(0, product_count, len(rows) * self._negative_count)
                loss = self._measure_loss(user[rows], product[rows], drawn)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        self._net.eval()

    def score(self, user_rows: IntArray) -> FloatArray:
        """Predicts every product."""
        products = torch.arange(self._product_count)
        scores = np.empty((len(user_rows), self._product_count))
        with torch.no_grad():
            for place, row in enumerate(user_rows):
                users = torch.full_like(products, int(row))
                scores[place] = self._net(users, products).numpy()
        return scores

    def predict(self, scores: FloatArray) -> FloatArray:
        """Turns scores into predictions of 0 or 1: as they are after squares, through the logistic else."""
        if self._loss == "mse":
            return scores
        chances: FloatArray = 1.0 / (1.0 + np.exp(-scores))
        return chances

    def _measure_loss(self, user: IntArray, product: IntArray, drawn: IntArray) -> Tensor:
        users = torch.from_numpy(
            np.concatenate([user, np.repeat(user, self._negative_count)]).astype(np.int64)
        )
        products = torch.from_numpy(np.concatenate([product, drawn]).astype(np.int64))
        wanted = torch.zeros(len(users))
        wanted[: len(user)] = 1.0
        predictions = self._net(users, products)
        if self._loss == "mse":
            loss = functional.mse_loss(predictions, wanted)
        else:
            loss = functional.binary_cross_entropy_with_logits(predictions, wanted)
        return loss + self._l2 * self._net.measure_size(users, products) if self._l2 else loss
