"""Task heads: what each learns from, and that their weighted mean is one inner product."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from index.features import EVENT_TYPES, FIRST_TOKEN
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.blocks import draw_blocks
from training.config import TwoTowerConfig, make_config
from training.errors import SettingError
from training.examples import Examples, encode_examples, read_learning_data
from training.histories import list_target_kinds
from training.learner import TwoTowerLearner
from training.run import train
from training.task_heads import TaskHeads, count_heads, divide_targets
from training.trained import open_run
from training.update import update

VALUES = {"purchase": 6.0, "click": 3.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("heads") / "data", make_events(23, 17, 7))


@pytest.fixture(scope="module")
def examples(data: Path) -> Examples:
    learning_data = read_learning_data(data)
    return encode_examples(learning_data, learning_data.interactions)


def make_learner(examples: Examples, values: dict[str, float]) -> TwoTowerLearner:
    torch.manual_seed(1)
    return TwoTowerLearner(examples, TwoTowerConfig(embedding_dim=8, hidden_dim=5, heads=values))


def test_what_is_served_scores_as_the_heads_mean_by_value() -> None:
    torch.manual_seed(1)
    heads = TaskHeads(VALUES, 4)
    with torch.no_grad():
        heads.scale += torch.randn(3, 4)
    users, wide = torch.randn(5, 5), torch.randn(7, 4 + 3)
    scores = [users @ vectors.T for vectors in heads.divide(wide)]
    expected = 0.6 * scores[0] + 0.3 * scores[1] + 0.1 * scores[2]
    # float32 sums in another order.
    assert torch.allclose(users @ heads(wide).T, expected, atol=1e-5)


def test_a_target_counts_more_in_the_head_of_each_of_its_types() -> None:
    kinds = np.zeros((3, len(EVENT_TYPES)), np.bool_)
    kinds[0, [EVENT_TYPES.index("purchase"), EVENT_TYPES.index("view")]] = True
    kinds[1, EVENT_TYPES.index("click")] = True
    kinds[2, [EVENT_TYPES.index("view"), EVENT_TYPES.index("comment")]] = True
    counts = divide_targets(kinds, VALUES)
    assert counts.tolist() == [[7.0, 1.0, 2.0], [1.0, 4.0, 1.0], [1.0, 1.0, 2.0]]
    assert divide_targets(kinds, {}).tolist() == [[1.0], [1.0], [1.0]]
    assert [count_heads(VALUES), count_heads({})] == [3, 1]


def test_the_kinds_of_a_target_are_those_of_all_events_of_its_pair(examples: Examples) -> None:
    targets, events = examples.targets, examples.interactions
    kinds = list_target_kinds(events, targets)
    for row in range(len(targets.user_row)):
        mine = (events.user_row == targets.user_row[row]) & (events.item_row == targets.item_row[row])
        assert np.flatnonzero(kinds[row]).tolist() == sorted(set((events.event_code[mine] - 1).tolist()))


def test_each_head_starts_with_the_popularity_of_its_own_targets(examples: Examples) -> None:
    learner = make_learner(examples, VALUES)
    bias = learner.towers.item_tower.bias.weight[FIRST_TOKEN:]
    weight = learner._weight.numpy()
    for head in range(3):
        worth = np.bincount(examples.row_tokens[examples.targets.item_row], weight[:, head])[FIRST_TOKEN:]
        seen = worth > 0
        expected = np.log(worth[seen] / worth.mean())
        assert bias[seen, head].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_every_head_learns_and_differs_by_what_it_values(examples: Examples) -> None:
    learner = make_learner(examples, VALUES)
    learner(draw_blocks(examples.targets, np.random.default_rng(1))).backward()
    heads = learner.towers.item_tower.heads
    assert heads is not None
    gradient = heads.scale.grad
    assert gradient is not None
    assert gradient.any(dim=1).all()
    assert not torch.allclose(gradient[0], gradient[1])


def test_a_run_with_heads_is_opened_and_carried_on(data: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    config = make_config("two_tower", TINY_SETTINGS | {"heads": VALUES, "epochs": 2})
    train(data, tmp_path / "run", config, resume=False, force=False, console=console)
    assert open_run(tmp_path / "run").config == config
    update(tmp_path / "run", data, tmp_path / "next", epochs=1, resume=False, force=False, console=console)
    towers = open_run(tmp_path / "next").towers
    assert towers.item_tower.bias.weight.shape[1] == 3  # type: ignore[union-attr, index]


def test_a_head_of_an_unknown_type_or_without_value_is_refused() -> None:
    with pytest.raises(SettingError, match=r"heads: .*expected event types of .*got 'buy'"):
        make_config("two_tower", {"heads": {"buy": 1.0}})
    with pytest.raises(SettingError, match=r"heads\.purchase: .*greater than 0.*got 0"):
        make_config("two_tower", {"heads": {"purchase": 0.0}})
