"""History encoders: each turns the events of a user into one vector, and an empty history into a learned one.

All three start as an average of the products' vectors, or near it, because users and products start in one
space; training decides how far they leave it. A learned vector, "nothing", stands beside the events of every
user with the weight of one plain event: it is the whole answer where there is no event.

The latest event is first, and padding is last. The number of events may be any up to HISTORY_LENGTH.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from index.features import EVENT_TYPES, HISTORY_LENGTH, PADDING_TOKEN
from training.config import TwoTowerConfig

_ABSENT_LOGIT: Final = -1e4  # Its exponential is exactly zero.
_QUERY_STD: Final = 0.1


class PooledHistory(nn.Module):
    """Averages the events; the weights depend on each event alone."""

    def __init__(self, token_count: int, dim: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.logit = EventLogit(token_count)

    def forward(
        self, token: Tensor, event: Tensor, age: Tensor, vector: Tensor, event_vector: Tensor
    ) -> Tensor:
        """Returns float32 [batch, dim].

        Args:
            token: products, int64 [batch, length]; 0 is padding.
            event: types of events, int64 [batch, length].
            age: log1p(days), float32 [batch, length].
            vector: the products' vectors, float32 [batch, length, dim].
            event_vector: the types' vectors, float32 [types, dim].
        """
        weight = self.logit(token, event, age).exp()  # [batch, length]
        # Weights are summed per event type first: one small product instead of a second [batch, length, dim].
        kind = (event[..., None] == torch.arange(len(event_vector), device=event.device)).float()
        by_token = torch.bmm(weight[:, None], vector)[:, 0]
        by_event = torch.bmm(weight[:, None], kind)[:, 0] @ event_vector
        total: Tensor = by_token + by_event + self.nothing
        mean: Tensor = total / (weight.sum(dim=1, keepdim=True) + 1.0)
        return mean


class AttentionHistory(nn.Module):
    """Averages the events once per head; each head's learned query looks for events of its own kind.

    Source: Lee et al. 2019, Set Transformer, section 3.2, pooling by multi-head attention.
    """

    def __init__(self, token_count: int, dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        head_count = config.encoder_head_count
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.logit = EventLogit(token_count)
        self.place = EventPlace(dim)
        self.norm = nn.LayerNorm(dim)
        # A query times a matrix of keys is one vector per head.
        self.query = nn.Parameter(torch.randn(dim, head_count) * _QUERY_STD)
        # The mean of the heads at first.
        self.combine = nn.Parameter(torch.eye(dim).repeat(head_count, 1) / head_count)

    def forward(
        self, token: Tensor, event: Tensor, age: Tensor, vector: Tensor, event_vector: Tensor
    ) -> Tensor:
        """Returns float32 [batch, dim]; see PooledHistory."""
        happened = vector + functional.embedding(event, event_vector)  # [batch, length, dim]
        found = self.norm(happened + self.place(age)) @ self.query  # [batch, length, heads]
        logit = found.transpose(1, 2) + self.logit(token, event, age)[:, None]  # [batch, heads, length]
        weight = functional.pad(logit, (1, 0)).softmax(dim=2)
        seen = torch.cat([self.nothing.expand(token.shape[0], 1, -1), happened], dim=1)
        return torch.bmm(weight, seen).flatten(1) @ self.combine


class TransformerHistory(nn.Module):
    """Lets the events of a user change each other, then averages them as PooledHistory does.

    Source: Kang and McAuley 2018, SASRec, without the causal mask: there is one vector per user here, not one
        per event. Layers normalise first (Xiong et al. 2020) and start as the identity.
    """

    def __init__(self, token_count: int, dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.logit = EventLogit(token_count)
        self.place = EventPlace(dim)
        self.layers = nn.ModuleList(EventMixing(dim, config) for _ in range(config.encoder_layer_count))

    def forward(
        self, token: Tensor, event: Tensor, age: Tensor, vector: Tensor, event_vector: Tensor
    ) -> Tensor:
        """Returns float32 [batch, dim]; see PooledHistory."""
        happened = vector + functional.embedding(event, event_vector) + self.place(age)
        seen = torch.cat(
            [self.nothing.expand(token.shape[0], 1, -1), happened], dim=1
        )  # [batch, 1 + length, dim]
        present = functional.pad(token > PADDING_TOKEN, (1, 0), value=True)
        for layer in self.layers:
            seen = layer(seen, present)
        weight = functional.pad(self.logit(token, event, age), (1, 0)).softmax(dim=1)
        return torch.bmm(weight[:, None], seen)[:, 0]


class EventLogit(nn.Module):
    """Says how much an event counts, from its product, its type and its age relative to the latest event."""

    def __init__(self, token_count: int) -> None:
        super().__init__()
        self.event = nn.Embedding(len(EVENT_TYPES) + 1, 1, _weight=torch.zeros(len(EVENT_TYPES) + 1, 1))
        self.token = nn.Embedding(token_count, 1, _weight=torch.zeros(token_count, 1))
        self.age_slope = nn.Parameter(torch.tensor(0.1))

    def forward(self, token: Tensor, event: Tensor, age: Tensor) -> Tensor:
        """Returns float32 [batch, length]; where there is no event, so little that it does not count."""
        since_latest = age - age[:, :1]
        logit = self.token(token)[..., 0] + self.event(event)[..., 0] - self.age_slope * since_latest
        return torch.where(token > PADDING_TOKEN, logit, _ABSENT_LOGIT)


class EventPlace(nn.Module):
    """Embeds where an event stands: how many came after it, and how long before the latest it was."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.order = nn.Parameter(torch.zeros(HISTORY_LENGTH, dim))
        self.recency = nn.Parameter(torch.zeros(dim))

    def forward(self, age: Tensor) -> Tensor:
        """Returns float32 [batch, length, dim]."""
        since_latest = age - age[:, :1]
        return self.order[: age.shape[1]] + since_latest[..., None] * self.recency


class EventMixing(nn.Module):
    """Is one layer of a transformer: attention among the events of a user, then a network for each."""

    def __init__(self, dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        self.head_count = config.encoder_head_count
        # Rounded up: the last component of a vector is popularity's, so that `dim` may be any number.
        self.head_dim = math.ceil(dim / self.head_count)
        inner_dim = self.head_count * self.head_dim
        self.attention_norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * inner_dim)
        self.attended = _start_at_zero(nn.Linear(inner_dim, dim))
        self.network_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, config.hidden_dim)
        self.narrow = _start_at_zero(nn.Linear(config.hidden_dim, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, seen: Tensor, present: Tensor) -> Tensor:
        """Returns float32 [batch, length, dim].

        Args:
            seen: vectors, float32 [batch, length, dim].
            present: whom the others may look at, bool [batch, length]; at least one of each user.
        """
        batch, length, _ = seen.shape
        parts = self.project(self.attention_norm(seen)).reshape(
            batch, length, 3, self.head_count, self.head_dim
        )
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()  # each [batch, heads, length, head_dim]
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=present[:, None, None, :]
        )
        seen = seen + self.dropout(self.attended(mixed.transpose(1, 2).reshape(batch, length, -1)))
        inner = functional.gelu(self.widen(self.network_norm(seen)))
        mixed = self.dropout(self.narrow(inner))
        return torch.add(seen, mixed)


HistoryEncoder = PooledHistory | AttentionHistory | TransformerHistory


def make_history_encoder(token_count: int, dim: int, config: TwoTowerConfig) -> HistoryEncoder:
    """Makes the encoder that the settings name, with random weights where it has any."""
    match config.encoder:
        case "pooled":
            return PooledHistory(token_count, dim)
        case "attention":
            return AttentionHistory(token_count, dim, config)
        case "transformer":
            return TransformerHistory(token_count, dim, config)


def _start_at_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
