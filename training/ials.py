"""iALS as a served model: weighted least squares over all pairs, users folded in by the same equations.

With products' factors q fixed, a user's factors p minimise
sum over observed (1 + alpha) (1 - p.q)^2 + sum over all other products (p.q)^2 + l2 |p|^2, and the other way
round. An epoch solves for all users and then for all products.

Source: Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from index.features import FIRST_TOKEN
from training.config import IalsConfig
from training.examples import Examples
from training.factors import FactorModel, Folding, make_matrix, take_popularity
from training.folding import weigh_distinct
from training.histories import IntArray

_INITIAL_STD: Final = 0.05
# Rows solved at once, and pairs whose outer products are held at once: 64 MB each at 64 dimensions.
_ROW_COUNT: Final = 2048
_PAIR_COUNT: Final = 4096
# Conjugate gradients end after as many steps as the history has distinct products; these leave less than
# float32 sees on histories of 50 (tested).
_STEP_COUNT: Final = 32
_FLOOR: Final = 1e-30


class IalsFolding(Folding):
    """Solves a user's equations by conjugate gradients, the part common to all being the identity."""

    factor: Tensor  # float64 [token_count, dim], the products' factors in those coordinates
    back: Tensor  # float64 [dim, dim], from those coordinates to user factors
    alpha: Tensor  # float64 [1, 1, 1]

    def __init__(self, token_count: int, config: IalsConfig) -> None:
        super().__init__()
        self._l2 = config.l2
        dim = config.embedding_dim - 1
        shapes = {"factor": (token_count, dim), "back": (dim, dim)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64), persistent=False)
        # The exporter writes Python's floats as float32; a buffer keeps them whole.
        alpha = torch.full((1, 1, 1), config.alpha, dtype=torch.float64)
        self.register_buffer("alpha", alpha, persistent=False)

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        ridge = torch.eye(factor.shape[1], dtype=torch.float64) * self._l2
        back = torch.linalg.inv(torch.linalg.cholesky(factor.T @ factor + ridge))
        self.factor.copy_(factor @ back.T)
        self.back.copy_(back)

    def forward(self, token: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length]; returns factors, float64 [batch, dim]."""
        distinct = (weigh_distinct(token) > 0.0).double()[..., None]  # [batch, length, 1]
        observed = self.factor[token]  # [batch, length, dim]
        weighted = observed * (distinct * self.alpha)
        residual = (observed * (distinct * (1.0 + self.alpha))).sum(dim=1)  # [batch, dim]
        solution, direction = torch.zeros_like(residual), residual
        norm = (residual * residual).sum(dim=1, keepdim=True)
        for _ in range(_STEP_COUNT):
            projected = torch.matmul(observed, direction[..., None])  # [batch, length, 1]
            image = direction + torch.matmul(weighted.transpose(1, 2), projected)[..., 0]
            # The floors only matter once the residual has vanished.
            step = norm / (direction * image).sum(dim=1, keepdim=True).clamp(min=_FLOOR)
            solution = solution + step * direction
            residual = residual - step * image
            next_norm = (residual * residual).sum(dim=1, keepdim=True)
            direction = residual + direction * (next_norm / norm.clamp(min=_FLOOR))
            norm = next_norm
        return solution @ self.back


def make_ials(token_count: int, config: IalsConfig) -> FactorModel:
    """Makes empty towers."""
    return FactorModel(token_count, config.embedding_dim - 1, IalsFolding(token_count, config))


class IalsLearner(nn.Module):
    """Solves for users and products in turns, once an epoch; nothing follows a gradient."""

    def __init__(self, examples: Examples, config: IalsConfig) -> None:
        super().__init__()
        self._config = config
        self._examples = examples
        self._pairs = make_matrix(examples)
        self.towers = make_ials(self._pairs.shape[1], config)
        factor = self.towers.item_tower.factor
        factor[FIRST_TOKEN:] = torch.randn(factor[FIRST_TOKEN:].shape) * _INITIAL_STD

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes an optimizer that has nothing to do; the loop wants one."""
        return torch.optim.SGD(self.parameters(), lr=self._config.learning_rate)

    def draw_batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Deals all targets into one batch."""
        del rng
        yield np.arange(self._pairs.values().numel())

    def forward(self, rows: IntArray) -> Tensor:
        """Solves for users, then for products; returns the mean squared error of the observed pairs."""
        del rows
        user, token = self._pairs.indices()
        factor = self.towers.item_tower.factor
        users = solve_rows(user, token, factor, self._pairs.shape[0], self._config)
        factor.copy_(solve_rows(token, user, users, len(factor), self._config))
        take_popularity(self.towers, self._examples)
        total = torch.zeros(())
        for start in range(0, len(user), _PAIR_COUNT):
            place = slice(start, start + _PAIR_COUNT)
            scores = (users[user[place]] * factor[token[place]]).sum(dim=1)
            total += (1.0 - scores).square().sum()
        return (total / max(1, len(user))).requires_grad_()


def solve_rows(row: Tensor, column: Tensor, factor: Tensor, row_count: int, config: IalsConfig) -> Tensor:
    """Solves for the factors of rows with those of columns fixed.

    Args:
        row: row of each observed pair, int64 [pairs].
        column: column of each, int64 [pairs].
        factor: float32 [columns, dim].
        row_count: number of rows; one without a pair becomes 0.
        config: alpha and l2.

    Returns:
        float32 [rows, dim].
    """
    dim = factor.shape[1]
    order = torch.argsort(row, stable=True)
    row, column = row[order], column[order]
    wide = factor.double()
    common = wide.T @ wide + torch.eye(dim, dtype=torch.float64) * config.l2
    solved = torch.zeros(row_count, dim)
    for start in range(0, row_count, _ROW_COUNT):
        stop = min(start + _ROW_COUNT, row_count)
        first, last = torch.searchsorted(row, torch.tensor([start, stop])).tolist()
        left = common.expand(stop - start, dim, dim).clone()  # [rows, dim, dim]
        right = torch.zeros(stop - start, dim, dtype=torch.float64)
        for begin in range(first, last, _PAIR_COUNT):
            place = slice(begin, min(begin + _PAIR_COUNT, last))
            local, mine = row[place] - start, wide[column[place]]  # [pairs], [pairs, dim]
            left.index_add_(0, local, mine[:, :, None] * mine[:, None, :], alpha=config.alpha)
            right.index_add_(0, local, mine, alpha=1.0 + config.alpha)
        solved[start:stop] = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(left))[
            ..., 0
        ].float()
    return solved
