"""iALS as a served model: weighted least squares over all pairs, users folded in by the same equations.

With products' factors q fixed, a user's factors p minimise
sum over observed (1 + alpha w) (1 - p.q)^2 + sum over all other products (p.q)^2 + ridge W |p|^2, where w is
what a pair is worth and W the weight of all pairs of the user, observed or not; and the other way round. An
epoch solves for all users and then for all products. An L2 that grows with W keeps who did much, and what
many have, from being learned by heart. How strong it must be differs between data by more than ten times, so
the ridge grows from epoch to epoch and validation says where to stop.

Sources: Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets; Rendle et al.
    2022, Revisiting the Performance of iALS on Item Recommendation Benchmarks, for the L2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from index.features import FIRST_TOKEN
from training.config import IalsConfig
from training.examples import Examples
from training.factors import FactorModel, Folding, make_matrix, take_popularity
from training.histories import IntArray

_INITIAL_STD: Final = 0.05
# Pairs held at once, each with its factors: 34 MB at 64 dimensions.
_PAIR_COUNT: Final = 65_536
# How many times the last epoch's ridge is the first one's.
_RIDGE_GROWTH: Final = 100.0
# What popularity counts: it decides for whoever has no history, and hardly else.
_POPULARITY_WEIGHT: Final = 0.001
# Conjugate gradients end after as many steps as the history has distinct products; these leave less than
# float32 sees on histories of 50 (tested).
_STEP_COUNT: Final = 32
_FLOOR: Final = 1e-30


class IalsFolding(Folding):
    """Solves a user's equations by conjugate gradients, the part common to all being the identity."""

    ridge: Tensor  # float64 [], of the last epoch
    factor: Tensor  # float64 [token_count, dim], the products' factors in those coordinates
    back: Tensor  # float64 [dim, dim], from those coordinates to user factors
    shrink: Tensor  # float64 [dim, dim], L2 of a unit of observed weight in those coordinates
    alpha: Tensor  # float64 [1, 1, 1]

    def __init__(self, token_count: int, config: IalsConfig) -> None:
        super().__init__()
        self._alpha = config.alpha
        self.register_buffer("ridge", torch.zeros((), dtype=torch.float64))
        dim = config.embedding_dim - 1
        shapes = {"factor": (token_count, dim), "back": (dim, dim), "shrink": (dim, dim)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64), persistent=False)
        # The exporter writes Python's floats as float32; a buffer keeps them whole.
        alpha = torch.full((1, 1, 1), config.alpha, dtype=torch.float64)
        self.register_buffer("alpha", alpha, persistent=False)

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        one = torch.eye(factor.shape[1], dtype=torch.float64)
        common = factor.T @ factor + one * (self.ridge * (len(factor) - FIRST_TOKEN))
        back = torch.linalg.inv(torch.linalg.cholesky(common))
        self.factor.copy_(factor @ back.T)
        self.back.copy_(back)
        self.shrink.copy_(back @ back.T * (self.ridge * self._alpha))

    def forward(self, token: Tensor, weight: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length], by weights of `weigh_distinct`; float64 [batch, dim]."""
        observed = self.factor[token]  # [batch, length, dim]
        scaled = weight[..., None] * self.alpha  # [batch, length, 1]
        weighted, met = observed * scaled, (weight > 0.0).double()[..., None]
        total = weight.sum(dim=1, keepdim=True)  # [batch, 1]
        residual = (observed * (met + scaled)).sum(dim=1)  # [batch, dim]
        solution, direction = torch.zeros_like(residual), residual
        norm = (residual * residual).sum(dim=1, keepdim=True)
        for _ in range(_STEP_COUNT):
            projected = torch.matmul(observed, direction[..., None])  # [batch, length, 1]
            image = direction + torch.matmul(weighted.transpose(1, 2), projected)[..., 0]
            image = image + (direction @ self.shrink) * total
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
    return FactorModel(token_count, config, IalsFolding(token_count, config))


class IalsLearner(nn.Module):
    """Solves for users and products in turns, once an epoch; nothing follows a gradient."""

    epoch: Tensor  # int64 [], how many are done; kept in checkpoints

    def __init__(self, examples: Examples, config: IalsConfig) -> None:
        super().__init__()
        self._config = config
        self._examples = examples
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        pairs = make_matrix(examples, config)
        user, token = pairs.indices()
        users, products = pairs.shape[0], pairs.shape[1] - FIRST_TOKEN
        self._by_user = Pairs.sort(user, token, pairs.values(), row_count=users, column_count=products)
        self._by_token = Pairs.sort(token, user, pairs.values(), row_count=pairs.shape[1], column_count=users)
        self._folding = IalsFolding(pairs.shape[1], config)
        self.towers = FactorModel(pairs.shape[1], config, self._folding)
        factor = self.towers.item_tower.factor
        factor[FIRST_TOKEN:] = torch.randn(factor[FIRST_TOKEN:].shape) * _INITIAL_STD

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes an optimizer that has nothing to do; the loop wants one."""
        return torch.optim.SGD(self.parameters(), lr=self._config.learning_rate)

    def draw_batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Deals all targets into one batch."""
        del rng
        yield np.arange(len(self._examples.targets.user_row))

    def forward(self, rows: IntArray) -> Tensor:
        """Solves for users, then for products; returns the mean squared error of the observed pairs."""
        del rows
        config, factor = self._config, self.towers.item_tower.factor
        ridge = find_ridge(int(self.epoch), config)
        self.epoch += 1
        users = solve_rows(self._by_user, factor, alpha=config.alpha, ridge=ridge)
        factor.copy_(solve_rows(self._by_token, users, alpha=config.alpha, ridge=ridge))
        self._folding.ridge.fill_(ridge)
        take_popularity(
            self.towers, self._examples, half_life_days=config.half_life_days, weight=_POPULARITY_WEIGHT
        )
        return _measure_error(self._by_user, users, factor).requires_grad_()


@dataclass(frozen=True)
class Pairs:
    """Observed pairs by row.

    Attributes:
        column: column of each pair, rows one after another, int64 [pairs].
        worth: what each is worth, above 0, float64 [pairs].
        offset: the pairs of row r are offset[r]:offset[r + 1], int64 [rows + 1].
        column_count: how many columns there are, observed or not.
    """

    column: Tensor
    worth: Tensor
    offset: Tensor
    column_count: int

    @classmethod
    def sort(cls, row: Tensor, column: Tensor, worth: Tensor, *, row_count: int, column_count: int) -> Self:
        """Sorts pairs, each [pairs], by row."""
        order = torch.argsort(row, stable=True)
        count = torch.bincount(row, minlength=row_count)
        offset = torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)])
        return cls(column[order], worth[order].double(), offset, column_count)

    def deal(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Deals rows of similar length into blocks of at most _PAIR_COUNT places, or of one row.

        Yields:
            rows, int64 [block]; the place of each of their pairs, int64 [block, length]; whether it is one.
        """
        count = self.offset[1:] - self.offset[:-1]
        order = torch.argsort(count, descending=True, stable=True)
        start = 0
        while start < len(order):
            length = max(1, int(count[order[start]]))
            rows = order[start : start + max(1, _PAIR_COUNT // length)]
            place = self.offset[rows, None] + torch.arange(length)
            present = torch.arange(length) < count[rows, None]
            yield rows, torch.where(present, place, 0), present
            start += len(rows)


def find_ridge(epoch: int, config: IalsConfig) -> float:
    """Finds the ridge of an epoch, counted from 0; the setting is that of the last one."""
    left = 1.0 - (epoch + 1) / config.epochs
    return config.ridge / math.pow(_RIDGE_GROWTH, left)


def solve_rows(pairs: Pairs, factor: Tensor, *, alpha: float, ridge: float) -> Tensor:
    """Solves for the factors of rows with those of columns fixed.

    Args:
        pairs: the observed pairs; a row without one becomes 0.
        factor: float32 [columns, dim].
        alpha: what an observed pair of worth 1 weighs beyond the 1 of every pair.
        ridge: L2 of a unit of weight.

    Returns:
        float32 [rows, dim].
    """
    wide = factor.double()
    common, one = wide.T @ wide, torch.eye(factor.shape[1], dtype=torch.float64)
    solved = torch.zeros(len(pairs.offset) - 1, factor.shape[1])
    if not len(pairs.column):
        return solved
    for rows, place, present in pairs.deal():
        weight = torch.where(present, pairs.worth[place], 0.0) * alpha  # [block, length]
        held = wide[pairs.column[place]]  # [block, length, dim]
        size = ridge * (weight.sum(dim=1) + pairs.column_count)  # [block]
        left = torch.bmm((held * weight[..., None]).transpose(1, 2), held) + common
        left = left + size[:, None, None] * one
        right = torch.bmm((weight + present)[:, None], held)[:, 0]  # [block, dim]
        found = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(left))
        solved[rows] = found[..., 0].float()
    return solved


def _measure_error(pairs: Pairs, rows: Tensor, columns: Tensor) -> Tensor:
    """Measures the mean squared error of the observed pairs' scores."""
    total = torch.zeros(())
    for mine, place, present in pairs.deal():
        held = columns[pairs.column[place]]
        scores = torch.bmm(held, rows[mine][..., None])[..., 0]  # [block, length]
        total = total + torch.where(present, 1.0 - scores, 0.0).square().sum()
    return total / max(1, len(pairs.column))
