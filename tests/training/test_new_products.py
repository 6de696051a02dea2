"""Products without events: what places them, and that nothing else moves."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.errors import SettingError
from training.examples import Examples, encode_examples, read_learning_data
from training.loop import Stage, encode_vectors, make_trainer, run_epoch
from training.metrics import RankingQuality, measure_ranking
from training.new_products import LIFTS, TOLERANCE, choose_lift, settle_new_products
from training.run import train
from training.split import Validation, split_by_time
from training.trained import open_run
from training.two_tower import TwoTower
from training.update import update

NEW = 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    events = make_events()
    ids = [*sorted({event["product_id"] for event in events}), *(f"z{row:02}" for row in range(NEW))]
    products = [{"id": name, "family": "FUND", "category": name[-1]} for name in ids]
    return write_data(tmp_path / "data", events, products=products)


def learn(data: Path, *, epochs: int = 1) -> tuple[TwoTower, Examples, Validation]:
    learning = read_learning_data(data)
    split = split_by_time(learning.interactions, fraction=0.2, user_limit=100, seed=1)
    examples = encode_examples(learning, split.train)
    trainer = make_trainer(examples, None, make_config("two_tower", TINY_SETTINGS), lambda _: None)
    stage = Stage("final")
    while not stage.finished:
        stage = run_epoch(trainer, stage, epoch_count=epochs)
    assert isinstance(trainer.learner.towers, TwoTower)
    return trainer.learner.towers, examples, split.validation


def test_a_lift_makes_new_products_more_popular_and_moves_no_other_bit(data: Path) -> None:
    towers, examples, _ = learn(data)
    new = examples.row_tokens <= 1
    users, items = encode_vectors(towers, examples, examples.targets)
    settle_new_products(towers.item_tower, examples, math.log(3))
    same_users, lifted = encode_vectors(towers, examples, examples.targets)
    assert np.array_equal(users, same_users)
    assert np.array_equal(items[~new], lifted[~new])
    length = float(towers.item_tower.unknown_length)
    assert 0.0 < length < 1.0
    assert lifted[new, :-1] == pytest.approx(items[new, :-1] * length, abs=1e-7)
    # float32 rounding of a difference of scaled biases.
    room = math.log(3) * float(towers.item_tower.log_temperature.exp().detach())
    assert lifted[new, -1] - items[new, -1] == pytest.approx(room, abs=1e-6)


def test_content_that_tells_all_keeps_its_length_and_content_that_tells_nothing_none(data: Path) -> None:
    towers, examples, _ = learn(data)
    tower = towers.item_tower
    with torch.no_grad():
        tower.token.weight.zero_()
    settle_new_products(tower, examples, 0.0)
    assert float(tower.unknown_length) == pytest.approx(1.0, abs=1e-6)
    with torch.no_grad():
        tower.token.weight[2:].normal_()
        for weights in (tower.project.weight, tower.project.bias, tower.term.weight):
            weights.zero_()
    settle_new_products(tower, examples, 0.0)
    assert float(tower.unknown_length) == 0.0


def test_the_chosen_lift_is_the_last_that_validation_can_bear(data: Path) -> None:
    towers, examples, validation = learn(data, epochs=4)
    tower = towers.item_tower
    users, _ = encode_vectors(towers, examples, validation.users)
    chosen = choose_lift(tower, examples, users, validation, seed=1)
    settle_new_products(tower, examples, 0.0)

    def measure() -> RankingQuality:
        return measure_ranking(*encode_vectors(towers, examples, validation.users), validation)

    before, step = measure(), float(LIFTS[1])
    tower.lift_unknown(chosen)
    after = measure()
    tower.lift_unknown(step)
    beyond = measure()
    left = 1.0 - TOLERANCE
    assert 0.0 < chosen < LIFTS[-1]
    assert after.recall_at_20 >= left * before.recall_at_20
    assert after.ndcg_at_10 >= left * before.ndcg_at_10
    assert beyond.recall_at_20 < left * before.recall_at_20 or beyond.ndcg_at_10 < left * before.ndcg_at_10


def test_twins_bound_the_lift_where_no_product_is_new(tmp_path: Path) -> None:
    towers, examples, validation = learn(write_data(tmp_path / "known", make_events()), epochs=4)
    assert (examples.row_tokens > 1).all()
    users, _ = encode_vectors(towers, examples, validation.users)
    assert choose_lift(towers.item_tower, examples, users, validation, seed=1) < LIFTS[-1]


def test_a_run_tells_how_new_products_were_placed_and_an_update_keeps_their_lift(
    data: Path, tmp_path: Path
) -> None:
    console = Console(quiet=True)
    run, later = tmp_path / "run", tmp_path / "later"
    config = make_config("two_tower", TINY_SETTINGS)
    train(data, run, config, resume=False, force=False, console=console)
    metrics = json.loads((run / "metrics.json").read_text())
    search = metrics["stages"][0]["epochs"]
    assert metrics["new_products"]["lift"] == search[metrics["epoch_count"] - 1]["new_product_lift"]
    weights = open_run(run).towers.state_dict()
    assert weights["item_tower.unknown_length"].item() == metrics["new_products"]["length"]
    update(run, data, later, epochs=1, resume=False, force=False, console=console)
    carried = open_run(later).towers.state_dict()
    assert carried["item_tower.bias.weight"][1].equal(weights["item_tower.bias.weight"][1])


@pytest.mark.parametrize("lift", [11.0, "most", math.nan])
def test_a_lift_out_of_range_is_refused(lift: object) -> None:
    with pytest.raises(SettingError, match="new_product_lift"):
        make_config("two_tower", {"new_product_lift": lift})
