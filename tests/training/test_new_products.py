"""Products without events: what lifts them, and that nothing else moves."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.errors import SettingError
from training.examples import encode_examples, read_learning_data
from training.loop import Stage, encode_vectors, make_trainer, run_epoch

NEW = 2


def learn(data: Path, lift: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the vectors of users and of products, those without events last, and the temperature."""
    learning = read_learning_data(data)
    examples = encode_examples(learning, learning.interactions)
    config = make_config("two_tower", {**TINY_SETTINGS, "new_product_lift": lift})
    trainer = make_trainer(examples, None, config, lambda _: None)
    run_epoch(trainer, Stage("final"), epoch_count=1)
    towers = trainer.learner.towers
    users, items = encode_vectors(towers, examples, examples.targets)
    return users, items, float(towers.item_tower.log_temperature.exp().detach())


def test_a_lift_makes_new_products_more_popular_and_moves_no_other_bit(tmp_path: Path) -> None:
    events = make_events()
    ids = [*sorted({event["product_id"] for event in events}), *(f"z{row}" for row in range(NEW))]
    products = [{"id": name, "family": "FUND"} for name in ids]
    data = write_data(tmp_path / "data", events, products=products)
    users, items, temperature = learn(data, 0.0)
    same_users, lifted, _ = learn(data, math.log(3))
    assert np.array_equal(users, same_users)
    assert np.array_equal(items[:-NEW], lifted[:-NEW])
    assert np.array_equal(items[-NEW:, :-1], lifted[-NEW:, :-1])
    # float32 rounding of a difference of scaled biases.
    assert lifted[-NEW:, -1] - items[-NEW:, -1] == pytest.approx(math.log(3) * temperature, abs=1e-6)


def test_a_lift_out_of_range_is_refused() -> None:
    with pytest.raises(SettingError, match="new_product_lift"):
        make_config("two_tower", {"new_product_lift": 11.0})
