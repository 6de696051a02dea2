"""Truncated SVD (PureSVD) as a served model: a user's row, projected onto the leading singular vectors.

Each singular value is shared evenly between products and users, so that no component is drowned when vectors
are rounded to int8: a product has v sqrt(s), a user the sum of v / sqrt(s) over the history.

Source: Cremonesi, Koren and Turrin 2010, PureSVD.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from index.features import FIRST_TOKEN
from training.config import SvdConfig
from training.examples import Examples
from training.factors import FactorModel, Folding, make_matrix, take_popularity
from training.folding import weigh_distinct
from training.histories import IntArray

# Of the randomised iteration: enough that the leading vectors no longer move (tested against the full SVD).
_ITERATION_COUNT: Final = 12
_SPARE_DIM: Final = 16


class SvdFolding(Folding):
    """Sums over the history's distinct products."""

    factor: Tensor  # float64 [token_count, dim], v / sqrt(s) of each

    def __init__(self, token_count: int, factor_dim: int) -> None:
        super().__init__()
        empty = torch.zeros(token_count, factor_dim, dtype=torch.float64)
        self.register_buffer("factor", empty, persistent=False)

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        # Singular vectors have length 1, so that these are the singular values.
        value = factor.square().sum(dim=0, keepdim=True)  # [1, dim]
        self.factor.copy_(torch.where(value > 0, factor / value, 0.0))

    def forward(self, token: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length]; returns factors, float64 [batch, dim]."""
        distinct = (weigh_distinct(token) > 0.0).double()  # [batch, length]
        return torch.matmul(distinct[:, None], self.factor[token])[:, 0]


def make_svd(token_count: int, config: SvdConfig) -> FactorModel:
    """Makes empty towers."""
    dim = config.embedding_dim - 1
    return FactorModel(token_count, dim, SvdFolding(token_count, dim))


class SvdLearner(nn.Module):
    """Finds the factors in its one step; nothing follows a gradient."""

    def __init__(self, examples: Examples, config: SvdConfig) -> None:
        super().__init__()
        self._config = config
        self._examples = examples
        self._matrix = make_matrix(examples)
        self.towers = make_svd(self._matrix.shape[1], config)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes an optimizer that has nothing to do; the loop wants one."""
        return torch.optim.SGD(self.parameters(), lr=self._config.learning_rate)

    def draw_batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Deals all targets into one batch."""
        del rng
        yield np.arange(self._matrix.values().numel())

    def forward(self, rows: IntArray) -> Tensor:
        """Finds the factors; returns the share of the pairs' sum of squares that they leave unexplained."""
        del rows
        wanted = self._config.embedding_dim - 1
        room = min(self._matrix.shape)
        _, value, right = torch.svd_lowrank(
            self._matrix, q=min(wanted + _SPARE_DIM, room), niter=_ITERATION_COUNT
        )
        kept = min(wanted, room)
        factor = self.towers.item_tower.factor
        factor.zero_()
        # The iteration leaves noise where no pair is: a new product must have a vector of nothing.
        factor[FIRST_TOKEN:, :kept] = right[FIRST_TOKEN:, :kept] * value[:kept].sqrt()
        take_popularity(self.towers, self._examples)
        left = 1.0 - value[:kept].square().sum() / self._matrix.values().square().sum()
        return left.detach().requires_grad_()
