"""The two towers: an inductive user tower over a history and a profile, and an item tower.

The score of a pair is the inner product of the two vectors. The last component carries the product's
popularity: the user's is constant. The item's is a learned bias, which starts at the log of the product's
share of the targets over the mean share; that of a product without events is read from its content. A user
without any history or profile therefore receives the popular products.
"""

import math
from collections.abc import Mapping, Sized
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from index.features import EVENT_TYPES, FIRST_TOKEN, PADDING_TOKEN, UNKNOWN_TOKEN, FeatureSpec
from index.texts import TERM_CODE_COUNT
from training.config import TwoTowerConfig
from training.history_encoders import make_history_encoder
from training.task_heads import TaskHeads

_INITIAL_STD: Final = 0.1


class TwoTower(nn.Module):
    """Holds both towers."""

    def __init__(self, spec: FeatureSpec, token_share: Tensor, config: TwoTowerConfig) -> None:
        """Makes towers with random weights, drawn from torch's current random state.

        Args:
            spec: the feature transforms.
            token_share: each token's share of each head's training targets, float32 [token_count, heads].
            config: the model's settings.
        """
        super().__init__()
        self.user_tower = UserTower(spec, len(token_share), config)
        self.item_tower = ItemTower(spec, token_share, config)


class UserTower(nn.Module):
    """Embeds a user from what they did and who they are; there is no per-user table."""

    def __init__(self, spec: FeatureSpec, token_count: int, config: TwoTowerConfig) -> None:
        super().__init__()
        inner_dim = config.embedding_dim - 1
        self.token = _make_embedding(token_count, inner_dim, padding_row=PADDING_TOKEN)
        self.event = _make_embedding(len(EVENT_TYPES) + 1, inner_dim, padding_row=0)
        self.history = make_history_encoder(token_count, inner_dim, config)
        self.profile = FeatureEncoder(spec.user_categorical, spec.user_numeric, config.feature_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.mix = nn.Sequential(
            nn.Linear(inner_dim + self.profile.output_dim, config.hidden_dim),
            nn.ReLU(),
            nn.Linear(config.hidden_dim, inner_dim),
        )
        self.cosine = config.similarity == "cosine"

    def forward(
        self,
        history_token: Tensor,
        history_event: Tensor,
        history_age: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """Returns user vectors, float32 [batch, embedding_dim]; the last component is constant.

        With similarity "cosine" they have unit length.
        """
        past = self.history(  # [batch, inner_dim]
            history_token, history_event, history_age, self.token(history_token), self.event.weight
        )
        profile = self.profile(user_categorical, user_numeric)
        taste = past + self.mix(torch.cat([self.dropout(past), profile], dim=1))
        if self.cosine:
            taste = functional.normalize(taste, dim=1, eps=1e-6)
        return torch.cat([taste, torch.ones_like(taste[:, :1])], dim=1) * math.sqrt(0.5)


class ItemTower(nn.Module):
    """Embeds a product from its own embedding and its content; token 1 leaves only the content."""

    def __init__(self, spec: FeatureSpec, token_share: Tensor, config: TwoTowerConfig) -> None:
        """Makes the tower.

        Args:
            spec: the feature transforms.
            token_share: each token's share of each head's training targets, float32 [token_count, heads]; 0
                for tokens 0, 1.
            config: the model's settings.
        """
        super().__init__()
        inner_dim = config.embedding_dim - 1
        # Learned, because how sharply tastes differ is a property of the data.
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))
        self.token = _make_embedding(len(token_share), inner_dim, padding_row=UNKNOWN_TOKEN)
        head_count = token_share.shape[1]
        self.bias = _make_table(_start_popularity(token_share))
        self.content = FeatureEncoder(spec.item_categorical, spec.item_numeric, config.feature_dim)
        # Content gives a direction and, last, the popularity of products like this, for each head.
        self.project = nn.Linear(self.content.output_dim, inner_dim + head_count)
        with torch.no_grad():
            self.project.weight[inner_dim:] = self.project.bias[inner_dim:] = 0.0
        self.term = _make_table(torch.zeros(TERM_CODE_COUNT + 1, inner_dim + head_count))
        self.embedding = _make_reader(spec, inner_dim + head_count)
        self.heads = TaskHeads(config.heads, inner_dim) if config.heads else None
        # Of the taste of a product without events, as it is served; see training/new_products.py.
        self.unknown_length: Tensor
        self.register_buffer("unknown_length", torch.ones(()))
        self.id_dropout = config.id_dropout
        self.term_dropout = config.term_dropout
        self.cosine = config.similarity == "cosine"

    def lift_unknown(self, log_factor: float) -> None:
        """Scales the popularity that is expected of a product without a token."""
        with torch.no_grad():
            self.bias.weight[UNKNOWN_TOKEN] += log_factor

    @property
    def logit_scale(self) -> Tensor:
        """Turns the inner product of the two vectors into a logit; undoes the user vector's unit length."""
        return math.sqrt(2.0) / self.log_temperature.exp()

    def forward(
        self,
        item_token: Tensor,
        item_categorical: Tensor,
        item_numeric: Tensor,
        item_term: Tensor,
        item_embedding: Tensor | None = None,
    ) -> Tensor:
        """Returns item vectors, float32 [n, embedding_dim]: a vector, then the scaled bias.

        With similarity "cosine" the vector has unit length. In training there are as many biases as heads.
        """
        unknown = (item_token == UNKNOWN_TOKEN)[:, None]
        identity = torch.cat([self.token(item_token), self.bias(item_token)], dim=1)
        if self.training:
            kept = (torch.rand(len(item_token), 1) >= self.id_dropout).to(identity.device)
            identity, unknown = identity * kept, unknown | ~kept
            forgotten = torch.rand(item_term.shape) < self.term_dropout
            item_term = item_term.masked_fill(forgotten.to(item_term.device), 0)
        content = self.project(self.content(item_categorical, item_numeric)) + self._read(item_term)
        if self.embedding is not None:
            content = content + self.embedding(item_embedding)
        inner_dim = self.token.embedding_dim
        taste = identity[:, :inner_dim] + content[:, :inner_dim]
        # A popularity that is known needs no guess.
        popularity = identity[:, inner_dim:] + content[:, inner_dim:] * unknown
        if self.cosine:
            taste = functional.normalize(taste, dim=1, eps=1e-6)
        if not self.training:
            taste = torch.where(unknown, taste * self.unknown_length, taste)
        wide = torch.cat([taste, popularity * self.log_temperature.exp()], dim=1)
        return wide if self.training or self.heads is None else self.heads(wide)

    def divide(self, wide: Tensor) -> list[Tensor]:
        """Returns each head's item vectors from what the tower gives in training."""
        return [wide] if self.heads is None else self.heads.divide(wide)

    def _read(self, term: Tensor) -> Tensor:
        """Sums a product's terms; by the root of their number, so that many do not drown the rest."""
        present = (term > 0).float()  # [n, terms]
        if self.training:
            # Skips the padding and holds no [n, terms, dim]; the exporter does not know it.
            total = functional.embedding_bag(
                term, self.term.weight, mode="sum", padding_idx=0, sparse=self.term.sparse
            )
        else:
            total = torch.bmm(present[:, None], self.term(term))[:, 0]
        return total / present.sum(dim=1, keepdim=True).clamp(min=1.0).sqrt()


class FeatureEncoder(nn.Module):
    """Joins embedded categorical features and plain numeric ones."""

    def __init__(self, categorical: Mapping[str, Sized], numeric: Sized, dim: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(len(values) + 1, dim) for values in categorical.values())
        self.output_dim = dim * len(self.tables) + 2 * len(numeric)

    def forward(self, categorical: Tensor, numeric: Tensor) -> Tensor:
        """Returns float32 [batch, output_dim]."""
        parts = [table(categorical[:, column]) for column, table in enumerate(self.tables)]
        return torch.cat([*parts, numeric], dim=1)


def _make_reader(spec: FeatureSpec, output_dim: int) -> nn.Linear | None:
    """Makes what reads the catalogue's embeddings, from zero; None where it has none.

    Nothing is drawn at random, so that all other weights start as they do without embeddings.
    """
    if spec.item_embedding is None:
        return None
    reader = nn.Linear(spec.item_embedding.width + 1, output_dim, bias=False, device="meta")
    reader.weight = nn.Parameter(torch.zeros(reader.weight.shape))
    return reader


def _start_popularity(token_share: Tensor) -> Tensor:
    """Starts popularity at the log of each share over the mean one, float32 [token_count, heads].

    Only differences matter, so 0 stands for the mean: what is expected of a product that nobody has touched.
    """
    share = token_share[FIRST_TOKEN:]
    least = torch.where(share > 0, share, 1.0).amin(dim=0)  # [heads]
    popularity = torch.zeros(token_share.shape)
    popularity[FIRST_TOKEN:] = (share.maximum(least / 2) / share.mean(dim=0).clamp(min=1e-12)).log()
    return popularity


def _make_embedding(count: int, dim: int, *, padding_row: int) -> nn.Embedding:
    """Makes a random table whose padding row is zero and stays so."""
    weight = torch.randn(count, dim) * _INITIAL_STD
    weight[padding_row] = 0.0
    return nn.Embedding(count, dim, padding_idx=padding_row, _weight=weight)


def _make_table(weight: Tensor) -> nn.Embedding:
    return nn.Embedding(weight.shape[0], weight.shape[1], _weight=weight)
