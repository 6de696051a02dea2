"""Every kind of user tower becomes a graph that computes what the tower computes."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import torch

from export.graph import write_graph
from export.parity import check_parity, make_requests, open_session
from index.features import Event, Vocabulary, encode_items, encode_users, fit_features
from training.config import TwoTowerConfig
from training.task_heads import count_heads
from training.two_tower import TwoTower

NOW = datetime(2026, 6, 1, tzinfo=UTC)
VOCABULARY = Vocabulary(tuple(f"p{row}" for row in range(12)))
PROFILES = [{"risk_level": 1, "liquid": 5}, {"risk_level": 2}, {}]
PRODUCTS = [{"id": name, "title": f"number {name}"} for name in (*VOCABULARY.product_ids, "new")]
SPEC = fit_features(PROFILES, PRODUCTS, NOW)


def make_towers(settings: dict[str, Any]) -> TwoTower:
    """Makes towers whose weights have left the zeros that some start with."""
    torch.manual_seed(1)
    config = TwoTowerConfig(embedding_dim=8, hidden_dim=6, **settings)
    share = torch.rand(VOCABULARY.token_count, count_heads(config.heads))
    towers = TwoTower(SPEC, share, config).eval()
    with torch.no_grad():
        for entry in (*towers.user_tower.history.parameters(), *towers.item_tower.parameters()):
            entry.add_(torch.randn(entry.shape) * 0.2)
    return towers


def make_users() -> dict[str, np.ndarray]:
    times = [NOW.timestamp() - 86_400.0 * days for days in range(60)]
    long = [Event(f"p{day % 12}", ("view", "purchase")[day % 2], time) for day, time in enumerate(times)]
    return encode_users(SPEC, VOCABULARY, PROFILES, [long, long[:3], []], NOW).feed()


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "attention", "encoder_head_count": 3},
        {"encoder": "transformer", "encoder_layer_count": 2},
        {"similarity": "dot"},
    ],
    ids=["attention", "transformer", "dot"],
)
def test_a_graph_computes_what_its_tower_does(settings: dict[str, Any]) -> None:
    tower, users = make_towers(settings).user_tower, make_users()
    graph = write_graph(tower, users, output="user_vector")
    requests = make_requests(users, token_count=VOCABULARY.token_count, count=600)
    # Checks empty histories, full ones, and batches of 1, 7, 64 and more against the tower.
    parity = check_parity(tower, graph, requests, name="user tower")
    assert parity.relative_error_max <= 1e-5
    vectors = open_session(graph).run(None, users)[0]
    length = np.linalg.norm(vectors, axis=1)
    # float32 rounding of a sum of eight squares.
    assert (np.abs(length - 1.0) < 1e-6).all() == (settings.get("similarity") != "dot")


def test_the_graph_of_products_with_task_heads_gives_what_is_served() -> None:
    tower = make_towers({"heads": {"enrol": 1.0, "purchase": 2.0}}).item_tower
    inputs = encode_items(SPEC, VOCABULARY, PRODUCTS).feed()
    graph = write_graph(tower, inputs, output="item_vector")
    assert check_parity(tower, graph, inputs, name="item tower").relative_error_max <= 1e-5
    assert open_session(graph).run(None, inputs)[0].shape == (len(PRODUCTS), 8)
