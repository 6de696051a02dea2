"""Matrix factorisation with bias and L2 on the joint user x (course + product) matrix.

Training fits a factor per user and per product to squared errors: 1 for observed pairs, 0 for sampled ones.
Serving has no table of users: the user tower solves the same least-squares problem for one user's history
(folding in), by a fixed number of conjugate-gradient steps in float64 inside the graph.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from index.features import FIRST_TOKEN
from training.config import MfConfig
from training.examples import Examples
from training.histories import IntArray

_INITIAL_STD: Final = 0.05
# With L2 the system is well conditioned; 24 steps leave a residual far below float32 (tested).
_STEP_COUNT: Final = 24


class MatrixFactorisation(nn.Module):
    """Holds both towers; they share the products' factors and biases."""

    def __init__(self, token_count: int, config: MfConfig) -> None:
        super().__init__()
        self.item_tower = MfItemTower(token_count, config)
        self.user_tower = MfUserTower(self.item_tower, config)


class MfItemTower(nn.Module):
    """Looks up a product's factors and bias; content is not used, a new product scores below all others."""

    def __init__(self, token_count: int, config: MfConfig) -> None:
        super().__init__()
        factor = torch.randn(token_count, config.embedding_dim - 1) * _INITIAL_STD
        factor[:FIRST_TOKEN] = 0.0
        self.factor = nn.Parameter(factor)
        self.bias = nn.Parameter(torch.zeros(token_count))

    def forward(self, item_token: Tensor, item_categorical: Tensor, item_numeric: Tensor) -> Tensor:
        """Returns item vectors, float32 [n, embedding_dim]: factors, then the bias."""
        del item_categorical, item_numeric
        return torch.cat([self.factor[item_token], self.bias[item_token][:, None]], dim=1)


class MfUserTower(nn.Module):
    """Folds a history into user factors; event types, ages and the profile are not used."""

    def __init__(self, item_tower: MfItemTower, config: MfConfig) -> None:
        super().__init__()
        self.item_tower = item_tower
        self.l2 = config.l2
        self.negative_weight = config.negative_weight

    def forward(
        self,
        history_token: Tensor,
        history_event: Tensor,
        history_age: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """Returns user vectors, float32 [batch, embedding_dim]: factors, then 1 for the product's bias.

        Per observed pair of a user with n of them, the factors p minimise
        mean over observed (1 - b - p.q)^2 + negative_weight * mean over all products (b + p.q)^2 + l2 |p|^2.
        """
        del history_event, history_age, user_categorical, user_numeric
        weight = _weigh_distinct(history_token)  # [batch, length], rows sum to 1 or 0
        factor = self.item_tower.factor.double()
        bias = self.item_tower.bias.double()
        observed = factor[history_token]  # [batch, length, dim]
        known = factor[FIRST_TOKEN:]
        gram = known.T @ known * (self.negative_weight / known.shape[0])  # [dim, dim]
        pull = known.T @ bias[FIRST_TOKEN:] * (self.negative_weight / known.shape[0])  # [dim]
        residual_target = (1.0 - bias[history_token]) * weight
        right = torch.einsum("bl,bld->bd", residual_target, observed) - pull * weight.sum(dim=1, keepdim=True)
        solution = self._solve(gram, observed, weight, right)
        return torch.cat([solution, torch.ones_like(solution[:, :1])], dim=1).float()

    def _solve(self, gram: Tensor, observed: Tensor, weight: Tensor, right: Tensor) -> Tensor:
        """Solves (gram + sum of weight q q' + l2 I) p = right by conjugate gradients, [batch, dim]."""
        solution = torch.zeros_like(right)
        residual, direction = right, right
        norm = (residual * residual).sum(dim=1, keepdim=True)
        for _ in range(_STEP_COUNT):
            projected = torch.einsum("bld,bd->bl", observed, direction) * weight
            image = direction @ gram + torch.einsum("bl,bld->bd", projected, observed) + self.l2 * direction
            # The floor only matters once the residual is exactly zero.
            step = norm / (direction * image).sum(dim=1, keepdim=True).clamp(min=1e-300)
            solution = solution + step * direction
            residual = residual - step * image
            next_norm = (residual * residual).sum(dim=1, keepdim=True)
            direction = residual + direction * (next_norm / norm.clamp(min=1e-300))
            norm = next_norm
        return solution


class MfLearner(nn.Module):
    """Computes the training loss: squared errors on observed and sampled pairs, with L2."""

    def __init__(self, examples: Examples, config: MfConfig) -> None:
        super().__init__()
        self._config = config
        self._user_row = torch.from_numpy(examples.targets.user_row)
        self._token = torch.from_numpy(examples.row_tokens[examples.targets.item_row])
        self._token_count = len(examples.token_share)
        self.towers = MatrixFactorisation(self._token_count, config)
        user_count = examples.interactions.user_count
        # Needed for learning only: a served user is folded in, so this table is not part of the towers.
        self.user_factor = nn.Parameter(torch.randn(user_count, config.embedding_dim - 1) * _INITIAL_STD)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes the optimizer; L2 is part of the loss, so that folding in solves the same problem."""
        return torch.optim.Adam(self.parameters(), lr=self._config.learning_rate)

    def forward(self, rows: IntArray) -> Tensor:
        """Computes the loss of a batch of observed pairs, each with its own sampled products."""
        config, index = self._config, torch.from_numpy(rows)
        user = functional.embedding(self._user_row[index], self.user_factor)  # [batch, dim]
        token = self._token[index]  # [batch]
        sampled = torch.randint(FIRST_TOKEN, self._token_count, (len(rows), config.negative_count))
        item = functional.embedding(token, self.towers.item_tower.factor)  # [batch, dim]
        bias = functional.embedding(token, self.towers.item_tower.bias[:, None])[:, 0]  # [batch]
        other = functional.embedding(sampled, self.towers.item_tower.factor)  # [batch, sampled, dim]
        other_bias = functional.embedding(sampled, self.towers.item_tower.bias[:, None])[..., 0]
        observed = (user * item).sum(dim=1) + bias  # [batch]
        missing = torch.bmm(other, user[:, :, None])[..., 0] + other_bias  # [batch, sampled]
        error = (1.0 - observed).square() + config.negative_weight * missing.square().mean(dim=1)
        size = user.square().sum(dim=1) + item.square().sum(dim=1) + bias.square()
        return (error + config.l2 * size).mean()


def _weigh_distinct(token: Tensor) -> Tensor:
    """Weighs each distinct product of a history equally, float64 [batch, length]; rows sum to 1 or 0."""
    length = token.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril(-1)  # [length, length]
    repeated = ((token[:, :, None] == token[:, None, :]) & earlier).any(dim=2)
    counted = ((token >= FIRST_TOKEN) & ~repeated).double()
    return counted / counted.sum(dim=1, keepdim=True).clamp(min=1.0)
