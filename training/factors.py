"""Towers of classic models: a factor per product, and a user's factors folded in from a history.

The last component of a product's vector is its popularity, and a user's is what popularity counts beside the
history; it decides for whoever has none. A user's vector has unit length, which leaves the order of products
and keeps the factors of somebody who did little apart when vectors are rounded.
"""

import math
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import RunConfig
from training.examples import Examples
from training.folding import list_worths, weigh_distinct
from training.histories import weigh_targets


class Folding(nn.Module):
    """Turns histories into factors; the classic models differ in nothing else when they serve."""

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        raise NotImplementedError

    def forward(self, token: Tensor, weight: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length], by weights of `weigh_distinct`; float64 [batch, dim]."""
        raise NotImplementedError


class FactorModel(nn.Module):
    """Holds both towers; they share the products' factors."""

    def __init__(self, token_count: int, config: RunConfig, folding: Folding) -> None:
        super().__init__()
        self.item_tower = FactorItemTower(token_count, config.embedding_dim - 1)
        self.user_tower = FactorUserTower(self.item_tower, folding, config)


class FactorItemTower(nn.Module):
    """Looks up a product's factors and popularity; content is not used, a new product scores 0."""

    def __init__(self, token_count: int, factor_dim: int) -> None:
        super().__init__()
        # Found in closed form: no gradient reaches them.
        self.factor = nn.Parameter(torch.zeros(token_count, factor_dim), requires_grad=False)
        self.popularity = nn.Parameter(torch.zeros(token_count), requires_grad=False)

    def forward(
        self,
        item_token: Tensor,
        item_categorical: Tensor,
        item_numeric: Tensor,
        item_term: Tensor,
        item_embedding: Tensor | None = None,
    ) -> Tensor:
        """Returns item vectors, float32 [n, embedding_dim]: factors, then popularity."""
        del item_categorical, item_numeric, item_term, item_embedding
        return torch.cat([self.factor[item_token], self.popularity[item_token][:, None]], dim=1)


class FactorUserTower(nn.Module):
    """Folds a history into user factors, by what its events are worth; ages and the profile are not used."""

    popularity_weight: Tensor  # float64 [1, 1], what the products' popularity is multiplied with
    worth: Tensor  # float64 [event types + 1]

    def __init__(self, item_tower: FactorItemTower, folding: Folding, config: RunConfig) -> None:
        super().__init__()
        # In a tuple, so that the item tower's weights are not registered and saved twice.
        self._item_tower = (item_tower,)
        self.folding = folding
        self.register_buffer("popularity_weight", torch.ones(1, 1, dtype=torch.float64))
        self.register_buffer("worth", list_worths(config.event_weights), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Enters training or evaluation mode; evaluation takes over the products' current factors."""
        if not mode:
            self.folding.take_over(self._item_tower[0].factor.double())
        return super().train(mode)

    def forward(
        self,
        history_token: Tensor,
        history_event: Tensor,
        history_age: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """Returns user vectors, float32 [batch, embedding_dim]: factors, then popularity's weight."""
        del history_age, user_categorical, user_numeric
        weight = weigh_distinct(history_token, self.worth[history_event])
        factor = self.folding(history_token, weight)
        popularity = torch.ones_like(factor[:, :1]) * self.popularity_weight
        vector = torch.cat([factor, popularity], dim=1)
        return functional.normalize(vector, dim=1, eps=1e-30).float()


def take_popularity(towers: FactorModel, examples: Examples, *, half_life_days: float, weight: float) -> None:
    """Fills in every product's popularity among the targets, recent ones counting more.

    The largest is as large as the largest factor, because all components are rounded alike; so the user's
    component is `weight` divided by it: the most popular product gains `weight` over one that nobody has.
    """
    targets = examples.targets
    worth = weigh_targets(
        examples.interactions, targets, {}, half_life_days=half_life_days, latest=examples.latest
    )
    share = np.bincount(examples.row_tokens[targets.item_row], worth, len(examples.token_share))
    largest = towers.item_tower.factor.abs().max().clamp(min=1e-6)
    towers.item_tower.popularity.copy_(torch.from_numpy(share / max(share.max(), 1e-12)) * largest)
    towers.user_tower.popularity_weight.copy_(weight / largest)


def make_matrix(examples: Examples, config: RunConfig) -> Tensor:
    """Makes the matrix of observed pairs, sparse float32 [users, token_count].

    A pair has what it is worth: by its most valuable event, and by how far it shows liking.
    """
    targets = examples.targets
    worth = weigh_targets(
        examples.interactions,
        targets,
        config.event_weights,
        half_life_days=math.inf,
        latest=examples.latest,
    )
    user = torch.from_numpy(targets.user_row)
    token = torch.from_numpy(examples.row_tokens[targets.item_row])
    shape = (examples.interactions.user_count, len(examples.token_share))
    kept = torch.from_numpy(worth) > 0
    place = torch.stack([user, token])[:, kept]
    matrix = torch.sparse_coo_tensor(place, torch.from_numpy(worth)[kept], shape, check_invariants=True)
    return matrix.coalesce()
