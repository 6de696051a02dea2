"""Truncated SVD (PureSVD, EigenRec) as a served model: a user's row, projected onto leading singular vectors.

A pair counts less the more users its product has, by the power _DAMPING: what everybody has says little of a
taste, popularity has a component of its own, and no product's vector is so long that it wins every list. On
FAR-Trans split 20 validation nDCG@10 rose from .444 to .452. Each singular value is shared evenly between
products and users, so that no component is drowned when vectors are rounded to int8: a product has v sqrt(s),
a user the damped sum of v / sqrt(s) over the history. How many vectors lead, and what popularity counts
beside them, is chosen on validation: each epoch tries a candidate.

Sources: Cremonesi, Koren and Turrin 2010, PureSVD; Nikolakopoulos et al. 2019, EigenRec, for the damping.
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
from training.histories import IntArray

# Of the randomised iteration: enough that the leading vectors no longer move (tested against the full SVD).
_ITERATION_COUNT: Final = 12
_SPARE_DIM: Final = 16
# Of 0, .2, .35 and .5, on FAR-Trans split 20's validation.
_DAMPING: Final = 0.35
# Numbers of vectors, each with every weight of popularity, in the order of the epochs. Without validation the
# last one is taken.
_CANDIDATES: Final = tuple((dim, weight) for weight in (0.01, 0.03, 0.1) for dim in (4, 8, 64, 32, 16))


class SvdFolding(Folding):
    """Sums over the history's distinct products, by their weights."""

    damping: Tensor  # float32 [token_count, 1], what a product of a history counts
    factor: Tensor  # float64 [token_count, dim], the damped v / sqrt(s) of each

    def __init__(self, token_count: int, factor_dim: int) -> None:
        super().__init__()
        empty = torch.zeros(token_count, factor_dim, dtype=torch.float64)
        self.register_buffer("factor", empty, persistent=False)
        self.register_buffer("damping", torch.ones(token_count, 1))

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        # Singular vectors have length 1, so that these are the singular values.
        value = factor.square().sum(dim=0, keepdim=True)  # [1, dim]
        self.factor.copy_(torch.where(value > 0, factor / value, 0.0) * self.damping)

    def forward(self, token: Tensor, weight: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length], by weights of `weigh_distinct`; float64 [batch, dim]."""
        return torch.matmul(weight[:, None], self.factor[token])[:, 0]


def make_svd(token_count: int, config: SvdConfig) -> FactorModel:
    """Makes empty towers."""
    return FactorModel(token_count, config, SvdFolding(token_count, config.embedding_dim - 1))


class SvdLearner(nn.Module):
    """Finds the factors in one step and tries a candidate an epoch; nothing follows a gradient."""

    tried: Tensor  # int64 [], how many candidates were tried; kept in checkpoints

    def __init__(self, examples: Examples, config: SvdConfig) -> None:
        super().__init__()
        self._config = config
        self._examples = examples
        folding = SvdFolding(len(examples.token_share), config.embedding_dim - 1)
        self.towers = FactorModel(len(examples.token_share), config, folding)
        self.register_buffer("tried", torch.zeros((), dtype=torch.int64))
        matrix = make_matrix(examples, config)
        folding.damping.copy_(torch.bincount(matrix.indices()[1], minlength=matrix.shape[1])[:, None])
        folding.damping.clamp_(min=1.0).pow_(-_DAMPING)
        self._squares, self._factor = _decompose(_damp(matrix, folding.damping), config.embedding_dim - 1)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes an optimizer that has nothing to do; the loop wants one."""
        return torch.optim.SGD(self.parameters(), lr=self._config.learning_rate)

    def draw_batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Deals all targets into one batch."""
        del rng
        yield np.arange(len(self._examples.targets.user_row))

    def forward(self, rows: IntArray) -> Tensor:
        """Takes the next candidate; returns the share of the pairs' squares that it leaves unexplained."""
        del rows
        dim, weight = _CANDIDATES[int(self.tried)]
        self.tried += 1
        factor = self.towers.item_tower.factor
        factor.zero_()
        factor[FIRST_TOKEN:, :dim] = self._factor[FIRST_TOKEN:, :dim]
        half_life_days = self._config.half_life_days
        take_popularity(self.towers, self._examples, half_life_days=half_life_days, weight=weight)
        explained = self._factor[:, :dim].square().sum(dim=0).square().sum()
        return (1.0 - explained / self._squares).detach().requires_grad_()


def _damp(matrix: Tensor, damping: Tensor) -> Tensor:
    """Multiplies the columns of a sparse matrix by damping, [columns, 1]."""
    place = matrix.indices()
    value = matrix.values() * damping[place[1], 0]
    return torch.sparse_coo_tensor(place, value, matrix.shape, check_invariants=True).coalesce()


def _decompose(matrix: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Finds the leading right singular vectors, times the roots of their values.

    Returns:
        The sum of the matrix's squares, and float32 [token_count, wanted]; zeros past the matrix's rank.
    """
    room = min(matrix.shape)
    _, value, right = torch.svd_lowrank(matrix, q=min(wanted + _SPARE_DIM, room), niter=_ITERATION_COUNT)
    kept = min(wanted, room)
    factor = torch.zeros(matrix.shape[1], wanted)
    # The iteration leaves noise where no pair is: a new product must have a vector of nothing.
    factor[FIRST_TOKEN:, :kept] = right[FIRST_TOKEN:, :kept] * value[:kept].sqrt()
    return matrix.values().square().sum(), factor
