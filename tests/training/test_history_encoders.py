"""History encoders: what every kind of them must do, and what sets them apart."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from index.features import EVENT_TYPES, HISTORY_LENGTH, PADDING_TOKEN
from training.config import Encoder, TwoTowerConfig
from training.history_encoders import HistoryEncoder, PooledHistory, make_history_encoder

DIM = 7
TOKEN_COUNT = 11
ENCODERS: tuple[Encoder, ...] = get_args(Encoder)


def make_encoder(name: Encoder, *, trained: bool = True) -> HistoryEncoder:
    """Makes an encoder of two heads; a trained one has left the zeros that it starts with."""
    torch.manual_seed(3)
    config = TwoTowerConfig(encoder=name, encoder_head_count=2, encoder_layer_count=2, hidden_dim=5)
    encoder = make_history_encoder(TOKEN_COUNT, DIM, config).eval()
    if trained:
        with torch.no_grad():
            for entry in encoder.parameters():
                entry.add_(torch.randn(entry.shape) * 0.3)
    return encoder


def make_history(length: int, *, width: int, count: int = 3) -> list[Tensor]:
    """Makes token, event and age of users with `length` events, padded to `width`."""
    torch.manual_seed(length)
    present = torch.arange(width) < length
    token = torch.randint(PADDING_TOKEN + 1, TOKEN_COUNT, (count, width)) * present
    event = torch.randint(1, len(EVENT_TYPES) + 1, (count, width)) * present
    age = torch.rand(count, width).cumsum(dim=1) * present
    return [token, event, age]


def encode(encoder: HistoryEncoder, history: list[Tensor]) -> Tensor:
    torch.manual_seed(5)
    table, event_vector = torch.randn(TOKEN_COUNT, DIM), torch.randn(len(EVENT_TYPES) + 1, DIM)
    table[PADDING_TOKEN] = event_vector[0] = 0.0
    with torch.no_grad():
        vectors: Tensor = encoder(*history, table[history[0]], event_vector)
    return vectors


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_history_is_one_learned_vector(name: Encoder) -> None:
    vectors = encode(make_encoder(name), make_history(0, width=5))
    assert torch.isfinite(vectors).all()
    assert torch.equal(vectors, vectors[:1].expand(3, -1))
    assert vectors.any()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("length", [1, 2, 7, HISTORY_LENGTH])
def test_padding_changes_nothing(name: Encoder, length: int) -> None:
    encoder, history = make_encoder(name), make_history(length, width=HISTORY_LENGTH)
    trimmed = [value[:, :length] for value in history]
    # Sums over fewer and over more terms may round differently.
    assert torch.allclose(encode(encoder, history), encode(encoder, trimmed), atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_stands_at_a_place_without_an_event_changes_nothing(name: Encoder) -> None:
    encoder, history = make_encoder(name), make_history(3, width=6)
    forgotten = [history[0].clone(), history[1], history[2]]
    forgotten[0][:, 1] = PADDING_TOKEN
    other = [forgotten[0], history[1].clone(), history[2].clone()]
    other[1][:, 1], other[2][:, 1] = 4, 9.0
    assert torch.allclose(encode(encoder, forgotten), encode(encoder, other), atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_user_is_encoded_alike_in_every_batch(name: Encoder) -> None:
    encoder, history = make_encoder(name), make_history(4, width=6, count=5)
    alone = torch.cat([encode(encoder, [value[row : row + 1] for value in history]) for row in range(5)])
    # Vector instructions may round a row of a batch differently.
    assert torch.allclose(encode(encoder, history), alone, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_weight_of_an_encoder_learns(name: Encoder) -> None:
    encoder = make_encoder(name)
    history = make_history(4, width=6)
    vectors = encoder(*history, torch.randn(3, 6, DIM), torch.randn(len(EVENT_TYPES) + 1, DIM))
    vectors.square().sum().backward()
    for part, entry in encoder.named_parameters():
        assert entry.grad is not None, part
        assert entry.grad.any(), part


def test_an_untrained_transformer_averages_as_the_pooled_encoder_does() -> None:
    history = make_history(4, width=6)
    pooled = encode(make_encoder("pooled", trained=False), history)
    mixed = encode(make_encoder("transformer", trained=False), history)
    # Two ways to sum float32.
    assert torch.allclose(pooled, mixed, atol=1e-5)


@pytest.mark.parametrize("name", ["attention", "transformer"])
def test_the_order_of_events_matters_beyond_their_age(name: Encoder) -> None:
    history = make_history(4, width=4)
    history[2][:] = 0.0
    turned = [value.flip(1) for value in history]
    assert not torch.allclose(encode(make_encoder(name), history), encode(make_encoder(name), turned))
    pooled = make_encoder("pooled")
    assert isinstance(pooled, PooledHistory)
    assert torch.allclose(encode(pooled, history), encode(pooled, turned), atol=1e-5)
