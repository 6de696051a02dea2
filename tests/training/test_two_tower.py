"""The two towers: what their vectors mean."""

from datetime import UTC, datetime

import pytest
import torch

from index.features import Event, Vocabulary, encode_items, encode_users, fit_features
from index.texts import TERM_COUNT
from training.config import TwoTowerConfig
from training.two_tower import TwoTower

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ITEMS = [{"id": f"p{row}", "family": "FUND" if row % 2 else "COURSE"} for row in range(7)]
SPEC = fit_features([{"risk_level": 1}, {"risk_level": 2}], ITEMS, NOW)
VOCABULARY = Vocabulary(tuple(item["id"] for item in ITEMS[:6]))
SHARE = torch.tensor([0.0, 0.0, 0.05, 0.3, 0.1, 0.4, 0.1, 0.05])[:, None]


NO_TERMS = torch.zeros(3, TERM_COUNT, dtype=torch.int64)


def make_towers() -> TwoTower:
    torch.manual_seed(3)
    return TwoTower(SPEC, SHARE, TwoTowerConfig(embedding_dim=8, hidden_dim=5)).eval()


def embed_users(towers: TwoTower, histories: list[list[Event]]) -> torch.Tensor:
    inputs = encode_users(SPEC, VOCABULARY, [None] * len(histories), histories, NOW)
    with torch.no_grad():
        return towers.user_tower(*(torch.from_numpy(value) for value in inputs.feed().values()))


def embed_items(towers: TwoTower) -> torch.Tensor:
    inputs = encode_items(SPEC, VOCABULARY, ITEMS)
    with torch.no_grad():
        return towers.item_tower(*(torch.from_numpy(value) for value in inputs.feed().values()))


def event(row: int, days_ago: float) -> Event:
    return Event(f"p{row}", "click", NOW.timestamp() - days_ago * 86_400)


def test_user_vectors_have_unit_length() -> None:
    users = embed_users(make_towers(), [[], [event(1, 2)], [event(row, row) for row in range(6)] * 9])
    # float32 rounding of a sum of eight squares.
    assert users.norm(dim=1).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-6)


def test_the_last_component_carries_popularity() -> None:
    towers = make_towers()
    users, items = embed_users(towers, [[], [event(2, 1)]]), embed_items(towers)
    assert users[0, -1] == users[1, -1] > 0
    order = items[:6, -1].argsort(descending=True)
    assert order.tolist() == SHARE[2:, 0].argsort(descending=True).tolist()


def test_a_product_without_interactions_starts_with_the_mean_popularity() -> None:
    items = embed_items(make_towers())
    mean = items[:6, -1].div(make_towers().item_tower.log_temperature.exp()).exp().mean()
    # float32 rounding of logarithms and exponentials.
    assert mean.item() == pytest.approx(1.0, rel=1e-5)
    assert items[6, -1] == 0.0


def test_a_product_without_interactions_gets_the_popularity_of_its_like() -> None:
    towers = make_towers()
    with torch.no_grad():
        towers.item_tower.content.tables[0].weight[1] = 1.0
        towers.item_tower.project.weight[-1, :4] = 0.5
        towers.item_tower.content.tables[0].weight[2] = -1.0
    other, like = towers.item_tower(
        torch.ones(2, dtype=torch.int64),
        torch.tensor([[2, 0, 0, 0], [1, 0, 0, 0]]),
        torch.tensor([[0.0, 1.0] * 3] * 2),
        NO_TERMS[:2],
    )[:, -1]
    assert other < 0.0 < like


def test_a_forgotten_identity_takes_its_popularity_with_it() -> None:
    towers = make_towers().train()
    towers.item_tower.id_dropout = 1.0
    assert not embed_items(towers)[:, -1].any()


def test_terms_are_forgotten_in_training_only() -> None:
    towers = make_towers()
    torch.nn.init.normal_(towers.item_tower.term.weight)
    towers.item_tower.id_dropout, towers.item_tower.term_dropout = 0.0, 0.9999
    inputs = encode_items(SPEC, VOCABULARY, [{"id": "p1", "title": "options"}, {"id": "p1"}]).feed()
    values = [torch.from_numpy(value) for value in inputs.values()]
    served, trained = towers.item_tower(*values), towers.item_tower.train()(*values)
    assert not torch.allclose(served[0], served[1])
    # Vector instructions may round equal rows of a batch differently.
    assert torch.allclose(trained[0], trained[1], atol=1e-6)


def test_products_without_an_embedding_are_placed_by_content() -> None:
    towers = make_towers()
    categorical = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]])
    numeric = torch.tensor([[0.0, 1.0] * 3] * 3)
    with torch.no_grad():
        items = towers.item_tower(torch.ones(3, dtype=torch.int64), categorical, numeric, NO_TERMS)
    # Vector instructions may round equal rows of a batch differently.
    assert torch.allclose(items[0], items[1], atol=1e-6)
    assert not torch.allclose(items[0], items[2])


def test_a_products_terms_place_it_alike_in_training_and_serving() -> None:
    towers = make_towers()
    torch.nn.init.normal_(towers.item_tower.term.weight)
    inputs = encode_items(SPEC, VOCABULARY, [{"id": "x", "title": "options"}, {"id": "y"}]).feed()
    with torch.no_grad():
        served = towers.item_tower(*map(torch.from_numpy, inputs.values()))
        towers.item_tower.train()
        towers.item_tower.id_dropout = towers.item_tower.term_dropout = 0.0
        trained = towers.item_tower(*map(torch.from_numpy, inputs.values()))
    assert not torch.allclose(served[0], served[1])
    # Two ways to sum float32.
    assert torch.allclose(served, trained, atol=1e-6)


def test_history_matters_and_padding_does_not() -> None:
    towers = make_towers()
    users = embed_users(towers, [[event(1, 2)], [event(4, 2)]])
    assert not torch.allclose(users[0], users[1])
    inputs = encode_users(SPEC, VOCABULARY, [None], [[event(1, 2)]], NOW).feed()
    trimmed = [
        torch.from_numpy(value[:, :1] if "history" in name else value) for name, value in inputs.items()
    ]
    with torch.no_grad():
        short = towers.user_tower(*trimmed)
    # Sums over 1 and over 50 terms may round differently.
    assert torch.allclose(short[0], users[0], atol=1e-6)


def test_age_is_relative_to_the_latest_event() -> None:
    towers = make_towers()
    inputs = [
        torch.from_numpy(v)
        for v in encode_users(SPEC, VOCABULARY, [None], [[event(1, 0)]], NOW).feed().values()
    ]
    older = [value.clone() for value in inputs]
    older[2][0, 0] = 3.0
    with torch.no_grad():
        assert torch.equal(towers.user_tower(*inputs), towers.user_tower(*older))
