"""Matrix factorisation with bias and L2 on the joint user x (course + product) matrix.

Training fits a factor per user and per product to squared errors: 1 for observed pairs, 0 for sampled ones.
Serving has no table of users: the user tower solves the same least-squares problem for one user's history
(folding in), by a fixed number of conjugate-gradient steps in float64 inside the graph.
"""

from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from index.features import FIRST_TOKEN
from training.config import MfConfig
from training.examples import Examples
from training.histories import IntArray

_INITIAL_STD: Final = 0.05
# Conjugate gradients end after as many steps as the history has distinct products, and much earlier in
# practice: 16 steps leave an error below float32's on histories of 50 (tested).
_STEP_COUNT: Final = 16
# Squared residuals below this are zero for float32 vectors. The exporter keeps the constant as float32, so it
# must not be smaller than float32 can hold.
_FLOOR: Final = 1e-30


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
    """Folds a history into user factors; event types, ages and the profile are not used.

    Per observed pair of a user with n of them, the factors p minimise
    mean over observed (1 - b - p.q)^2 + negative_weight * mean over all products (b + p.q)^2 + l2 |p|^2.
    The part that is the same for everybody is factorised once, when the tower enters evaluation mode: in the
    coordinates of its Cholesky factor the system is the identity plus one term per product of the history.
    """

    factor: Tensor  # float64 [token_count, dim], the products' factors in those coordinates
    bias: Tensor  # float64 [token_count, 1]
    pull: Tensor  # float64 [1, dim], towards the unobserved products' zeros
    back: Tensor  # float64 [dim, dim], from those coordinates to user factors

    def __init__(self, item_tower: MfItemTower, config: MfConfig) -> None:
        super().__init__()
        # In a tuple, so that the item tower's weights are not registered and saved twice.
        self._item_tower = (item_tower,)
        self._config = config
        count, dim = item_tower.factor.shape
        shapes = {"factor": (count, dim), "bias": (count, 1), "pull": (1, dim), "back": (dim, dim)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Enters training or evaluation mode; evaluation takes over the products' current factors."""
        if not mode:
            with torch.no_grad():
                self._take_over()
        return super().train(mode)

    def forward(
        self,
        history_token: Tensor,
        history_event: Tensor,
        history_age: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """Returns user vectors, float32 [batch, embedding_dim]: factors, then 1 for the product's bias."""
        del history_event, history_age, user_categorical, user_numeric
        weight = _weigh_distinct(history_token)[..., None]  # [batch, length, 1], sums to 1 or 0
        observed = self.factor[history_token]  # [batch, length, dim]
        weighted = observed * weight
        missing = 1.0 - self.bias[history_token]  # [batch, length, 1]
        right = torch.matmul(weighted.transpose(1, 2), missing)[..., 0] - self.pull * weight.sum(dim=1)
        solution = _solve(observed, weighted, right) @ self.back
        return torch.cat([solution, torch.ones_like(solution[:, :1])], dim=1).float()

    def _take_over(self) -> None:
        factor, bias = self._item_tower[0].factor.double(), self._item_tower[0].bias.double()
        known, share = factor[FIRST_TOKEN:], self._config.negative_weight / (len(factor) - FIRST_TOKEN)
        common = known.T @ known * share + torch.eye(factor.shape[1]).double() * self._config.l2
        back = torch.linalg.inv(torch.linalg.cholesky(common))
        self.factor.copy_(factor @ back.T)
        self.bias.copy_(bias[:, None])
        self.pull.copy_((bias[None, FIRST_TOKEN:] @ known * share) @ back.T)
        self.back.copy_(back)


def _solve(observed: Tensor, weighted: Tensor, right: Tensor) -> Tensor:
    """Solves (I + sum over the history of weight q q') p = right by conjugate gradients, [batch, dim]."""
    solution = torch.zeros_like(right)
    residual, direction = right, right
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
