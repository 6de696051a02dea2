"""Towers of classic models: a factor per product, and a user's factors folded in from a history.

The last component of a product's vector is its popularity, and a user's is a small constant: it decides for
whoever has no history, and between products about which a history says nothing.
"""

from typing import Final, Self

import torch
from torch import Tensor, nn

from training.examples import Examples

# Small for users, because a vector is rounded by its largest component: a 1 would drown the small factors of
# somebody who has only what few have. The products' popularity reaches as far as their factors.
_USER_CONSTANT: Final = 0.01


class Folding(nn.Module):
    """Turns histories into factors; the classic models differ in nothing else when they serve."""

    def take_over(self, factor: Tensor) -> None:
        """Prepares for the products' factors, float64 [token_count, dim]."""
        raise NotImplementedError

    def forward(self, token: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length]; returns factors, float64 [batch, dim]."""
        raise NotImplementedError


class FactorModel(nn.Module):
    """Holds both towers; they share the products' factors."""

    def __init__(self, token_count: int, factor_dim: int, folding: Folding) -> None:
        super().__init__()
        self.item_tower = FactorItemTower(token_count, factor_dim)
        self.user_tower = FactorUserTower(self.item_tower, folding)


class FactorItemTower(nn.Module):
    """Looks up a product's factors and popularity; content is not used, a new product scores 0."""

    def __init__(self, token_count: int, factor_dim: int) -> None:
        super().__init__()
        # Found in closed form: no gradient reaches them.
        self.factor = nn.Parameter(torch.zeros(token_count, factor_dim), requires_grad=False)
        self.popularity = nn.Parameter(torch.zeros(token_count), requires_grad=False)

    def forward(
        self, item_token: Tensor, item_categorical: Tensor, item_numeric: Tensor, item_term: Tensor
    ) -> Tensor:
        """Returns item vectors, float32 [n, embedding_dim]: factors, then popularity."""
        del item_categorical, item_numeric, item_term
        return torch.cat([self.factor[item_token], self.popularity[item_token][:, None]], dim=1)


class FactorUserTower(nn.Module):
    """Folds a history into user factors; event types, ages and the profile are not used."""

    def __init__(self, item_tower: FactorItemTower, folding: Folding) -> None:
        super().__init__()
        # In a tuple, so that the item tower's weights are not registered and saved twice.
        self._item_tower = (item_tower,)
        self.folding = folding

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
        """Returns user vectors, float32 [batch, embedding_dim]: factors, then the constant."""
        del history_event, history_age, user_categorical, user_numeric
        factor = self.folding(history_token)
        return torch.cat([factor, torch.full_like(factor[:, :1], _USER_CONSTANT)], dim=1).float()


def take_popularity(towers: FactorModel, examples: Examples) -> None:
    """Fills in every product's popularity, the largest as large as the largest factor."""
    share = examples.token_share
    towers.item_tower.popularity.copy_(share / share.max() * towers.item_tower.factor.abs().max())


def make_matrix(examples: Examples) -> Tensor:
    """Makes the matrix of observed pairs, sparse float32 [users, token_count], 1 where there is a pair."""
    user = torch.from_numpy(examples.targets.user_row)
    token = torch.from_numpy(examples.row_tokens[examples.targets.item_row])
    shape = (examples.interactions.user_count, len(examples.token_share))
    place = torch.stack([user, token])
    matrix = torch.sparse_coo_tensor(place, torch.ones(len(user)), shape, check_invariants=True)
    return matrix.coalesce()
