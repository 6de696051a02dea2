"""Matrix factorisation with bias and L2 on the joint user x (course + product) matrix.

Training fits a factor per user and per product to observed pairs (1) and sampled ones (0), by squared errors
or log-losses. Serving has no table of users: the user tower solves the same problem for one user's history.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from index.features import FIRST_TOKEN
from training.config import Loss, MfConfig
from training.examples import Examples
from training.folding import LogFolding, SquareFolding, list_worths, weigh_distinct
from training.histories import IntArray, weigh_targets

_INITIAL_STD: Final = 0.05
# Each loss has its own way to fold in a user.
_FOLDINGS: Final[Mapping[Loss, type[SquareFolding] | type[LogFolding]]] = {
    "mse": SquareFolding,
    "bce": LogFolding,
}


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

    def forward(
        self,
        item_token: Tensor,
        item_categorical: Tensor,
        item_numeric: Tensor,
        item_term: Tensor,
        item_embedding: Tensor | None = None,
    ) -> Tensor:
        """Returns item vectors, float32 [n, embedding_dim]: factors, then the bias."""
        del item_categorical, item_numeric, item_term, item_embedding
        return torch.cat([self.factor[item_token], self.bias[item_token][:, None]], dim=1)


class MfUserTower(nn.Module):
    """Folds a history into user factors, by what its events are worth; ages and the profile are not used."""

    worth: Tensor  # float64 [event types + 1]

    def __init__(self, item_tower: MfItemTower, config: MfConfig) -> None:
        super().__init__()
        # In a tuple, so that the item tower's weights are not registered and saved twice.
        self._item_tower = (item_tower,)
        self.folding = _FOLDINGS[config.loss](len(item_tower.factor), config)
        self.register_buffer("worth", list_worths(config.event_weights), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Enters training or evaluation mode; evaluation takes over the products' current factors."""
        if not mode:
            with torch.no_grad():
                item_tower = self._item_tower[0]
                self.folding.take_over(item_tower.factor.double(), item_tower.bias.double())
        return super().train(mode)

    def forward(
        self,
        history_token: Tensor,
        history_event: Tensor,
        history_age: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """Returns unit vectors, float32 [batch, embedding_dim], along factors and 1 for the product's bias.

        The length leaves the order of products, and no user's factors are drowned when vectors are rounded.
        """
        del history_age, user_categorical, user_numeric
        weight = weigh_distinct(history_token, self.worth[history_event])
        factor = self.folding(history_token, weight)
        vector = torch.cat([factor, torch.ones_like(factor[:, :1])], dim=1)
        return functional.normalize(vector, dim=1).float()


class MfLearner(nn.Module):
    """Computes the training loss: on observed and sampled pairs, with L2."""

    def __init__(self, examples: Examples, config: MfConfig) -> None:
        super().__init__()
        self._config = config
        self._user_row = torch.from_numpy(examples.targets.user_row)
        self._token = torch.from_numpy(examples.row_tokens[examples.targets.item_row])
        self._token_count = len(examples.token_share)
        worth = weigh_targets(
            examples.interactions,
            examples.targets,
            config.event_weights,
            half_life_days=math.inf,
            latest=examples.latest,
        )
        self._worth = torch.from_numpy(worth)  # float32 [targets]
        self.towers = MatrixFactorisation(self._token_count, config)
        user_count = examples.interactions.user_count
        # Needed for learning only: a served user is folded in, so this table is not part of the towers.
        self.user_factor = nn.Parameter(torch.randn(user_count, config.embedding_dim - 1) * _INITIAL_STD)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes the optimizer; L2 is part of the loss, so that folding in solves the same problem."""
        return torch.optim.Adam(self.parameters(), lr=self._config.learning_rate)

    def draw_batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Deals one epoch's targets into batches."""
        order = rng.permutation(len(self._token))
        for start in range(0, len(order), self._config.batch_size):
            yield order[start : start + self._config.batch_size]

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
        if config.loss == "mse":
            error, other_error = (1.0 - observed).square(), missing.square()
        else:
            error, other_error = functional.softplus(-observed), functional.softplus(missing)
        error = error + config.negative_weight * other_error.mean(dim=1)
        size = user.square().sum(dim=1) + item.square().sum(dim=1) + bias.square()
        worth = self._worth[index]  # [batch]
        return (worth * (error + config.l2 * size)).mean() / worth.mean().clamp(min=1e-6)
