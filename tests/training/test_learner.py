"""The loss of the two towers, what a target is told apart from, and how the weights start."""

from pathlib import Path

import numpy as np
import pytest
import torch

from index.features import FIRST_TOKEN, UNKNOWN_TOKEN
from tests.tiny_data import make_events, write_data
from training import learner as learner_module
from training.blocks import draw_blocks
from training.config import TwoTowerConfig
from training.examples import Examples, encode_examples, read_learning_data
from training.learner import TwoTowerLearner, softmax_loss
from training.spectral import embed_products

SMALL = TwoTowerConfig(embedding_dim=8, hidden_dim=5)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    events = make_events(user_count=7, item_count=9, event_count=5)
    data = read_learning_data(write_data(tmp_path / "data", events))
    return encode_examples(data, data.interactions)


def test_loss_equals_the_softmax_written_out() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=(2, 5))
    barred = np.array([[True, True, False, False, False], [False, False, False, True, False]])
    block, column, weight = np.array([0, 0, 1]), np.array([0, 1, 3]), np.array([1.0, 2.0, 0.5])
    expected = 0.0
    for place in range(3):
        row = logit[block[place]]
        others = row[~barred[block[place]]]
        own = np.exp(row[column[place]])
        expected -= weight[place] * np.log(own / (own + np.exp(others).sum()))
    inputs = (torch.tensor(value) for value in (logit, barred, block, column, weight))
    # The sums are in float64.
    assert softmax_loss(*inputs).item() == pytest.approx(expected / weight.sum(), rel=1e-12)


def test_a_target_with_no_other_product_costs_nothing_and_has_a_gradient() -> None:
    logit = torch.randn(2, 3, requires_grad=True)
    barred = torch.ones(2, 3, dtype=torch.bool)
    loss = softmax_loss(logit, barred, torch.arange(2), torch.arange(2), torch.ones(2))
    loss.backward()
    assert loss.item() == 0.0
    assert logit.grad is not None
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("negative_count", [0, 5, 4096])
def test_neither_the_past_nor_other_targets_are_negatives(
    examples: Examples, monkeypatch: pytest.MonkeyPatch, negative_count: int
) -> None:
    given: list[tuple[torch.Tensor, ...]] = []

    def record(*inputs: torch.Tensor) -> torch.Tensor:
        given.append(inputs)
        return inputs[0].sum()

    monkeypatch.setattr(learner_module, "softmax_loss", record)
    learner = TwoTowerLearner(examples, SMALL.model_copy(update={"negative_count": negative_count}))
    pools: list[np.ndarray] = []
    draw = learner._draw_pool

    def keep(target_item: torch.Tensor) -> object:
        pool = draw(target_item)
        pools.append(pool.item_row.numpy())
        return pool

    monkeypatch.setattr(learner, "_draw_pool", keep)
    blocks = draw_blocks(examples.targets, np.random.default_rng(1))
    learner(blocks)
    _, barred, block, column, _ = given[0]
    targets, happened, pool = examples.targets, examples.interactions, pools[0]
    seen_count = len(happened.list_seen_rows())
    assert len(pool) == (len(column) + negative_count if negative_count < seen_count else seen_count)
    assert pool[column].tolist() == targets.item_row[blocks.target_row].tolist()
    for row, first in enumerate(blocks.first_row):
        mine = happened.user_row == targets.user_row[first]
        past = mine & (happened.event_time <= targets.event_time[first])
        own = targets.item_row[blocks.target_row[block.numpy() == row]]
        known = {*happened.item_row[past].tolist(), *own.tolist()}
        assert barred[row].tolist() == [int(item) in known for item in pool]


def test_a_users_best_products_are_negatives_once_and_for_certain(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[torch.Tensor, ...]] = []

    def record(*inputs: torch.Tensor) -> torch.Tensor:
        given.append(inputs)
        return inputs[0].sum()

    monkeypatch.setattr(learner_module, "softmax_loss", record)
    config = SMALL.model_copy(update={"negative_count": 5, "hard_negative_count": 2, "history_dropout": 0.0})
    torch.manual_seed(1)
    learner = TwoTowerLearner(examples, config)
    blocks = next(iter(learner.draw_batches(np.random.default_rng(1))))
    widened, pools = learner_module._widen, []
    monkeypatch.setattr(
        learner_module, "_widen", lambda pool, extra: pools.append(widened(pool, extra)) or pools[-1]
    )
    mine, found = learner._mine, []
    monkeypatch.setattr(learner, "_mine", lambda *given: found.append(mine(*given)) or found[-1])
    learner(blocks)
    pool, hard, (_, barred, *_) = pools[0], found[0], given[0]
    added = pool.item_row[-len(hard.unique()) :]
    assert added.tolist() == hard.unique().tolist()
    assert not pool.log_count[-len(added) :].any()
    negatives = [pool.item_row[~row].tolist() for row in barred]
    for mine, best in zip(negatives, hard.tolist(), strict=True):
        assert all(mine.count(product) == 1 for product in best if product in mine)
        assert not (set(mine) & set(added.tolist())) - set(best) - set(pool.item_row[: -len(added)].tolist())
    assert any(set(best) <= set(mine) for mine, best in zip(negatives, hard.tolist(), strict=True))


def test_half_the_temperature_doubles_the_taste_in_every_score(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[torch.Tensor] = []

    def record(logit: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        given.append(logit.detach())
        return logit.sum()

    monkeypatch.setattr(learner_module, "softmax_loss", record)
    blocks = draw_blocks(examples.targets, np.random.default_rng(1))
    for temperature in (0.5, 0.25):
        torch.manual_seed(1)
        learner = TwoTowerLearner(examples, SMALL.model_copy(update={"temperature": temperature}))
        with torch.no_grad():
            learner.towers.item_tower.bias.weight.zero_()
        learner(blocks)
    # A cosine over the temperature; float32 rounding.
    assert given[0].abs().max() <= 1 / 0.5 + 1e-5
    assert torch.allclose(given[1], 2 * given[0], rtol=1e-4, atol=1e-5)


def test_logq_is_the_expected_count_of_each_product_in_the_pool(examples: Examples) -> None:
    learner = TwoTowerLearner(examples, SMALL.model_copy(update={"negative_count": 5}))
    target = examples.targets.item_row
    pool = learner._draw_pool(torch.from_numpy(target))
    assert pool.log_count is not None
    times = np.bincount(target)
    expected = [times[row] + 5 / len(np.unique(target)) for row in pool.item_row]
    # float32 rounding of a logarithm.
    assert pool.log_count.exp().tolist() == pytest.approx(expected, rel=1e-5)


def test_without_logq_nothing_is_corrected(examples: Examples) -> None:
    blocks = draw_blocks(examples.targets, np.random.default_rng(1))
    losses = []
    for logq in (True, False):
        torch.manual_seed(1)
        config = SMALL.model_copy(update={"negative_count": 0, "logq": logq})
        learner = TwoTowerLearner(examples, config)
        torch.manual_seed(2)
        losses.append(learner(blocks).item())
    assert losses[0] != losses[1]


def test_a_target_without_worth_teaches_nothing(examples: Examples) -> None:
    worthless = SMALL.model_copy(update={"event_weights": {"view": 0.0, "click": 0.0, "purchase": 0.0}})
    learner = TwoTowerLearner(examples, worthless)
    loss = learner(draw_blocks(examples.targets, np.random.default_rng(1)))
    assert loss.item() == 0.0


def test_products_of_the_same_users_start_near_each_other(tmp_path: Path) -> None:
    data = read_learning_data(write_data(tmp_path / "data", make_events()))
    examples = encode_examples(data, data.interactions)
    torch.manual_seed(1)
    start = embed_products(examples, 7)
    assert not start[:FIRST_TOKEN].any()
    known = start[FIRST_TOKEN:]
    # float32 rounding of a sum of seven squares.
    assert known.norm(dim=1).tolist() == pytest.approx([1.0] * len(known), abs=1e-5)
    # The first half of the products is liked by the even users, the second half by the odd ones.
    half = len(known) // 2
    alike = known @ known.T
    assert alike[:half, :half].mean() > alike[:half, half:].mean() + 0.1


def test_a_product_without_events_is_expected_to_be_as_popular_as_the_mean_of_the_catalogue(
    tmp_path: Path,
) -> None:
    events = make_events(user_count=7, item_count=9, event_count=5)
    seen = sorted({event["product_id"] for event in events})
    products = [{"id": name} for name in (*seen, "x1", "x2", "x3")]
    data = read_learning_data(write_data(tmp_path / "data", events, products=products))
    tower = TwoTowerLearner(encode_examples(data, data.interactions), SMALL).towers.item_tower
    popularity = tower.bias.weight.exp()
    all_of_seen = popularity[FIRST_TOKEN:].sum().item()
    # float32 rounding of logarithms and exponentials.
    assert popularity[UNKNOWN_TOKEN].item() == pytest.approx(all_of_seen / len(products), rel=1e-5)


def test_one_product_has_a_start(tmp_path: Path) -> None:
    events = make_events(user_count=1, item_count=1, event_count=1)
    data = read_learning_data(write_data(tmp_path / "data", events))
    start = embed_products(encode_examples(data, data.interactions), 7)
    assert start.shape == (FIRST_TOKEN + 1, 7)
    assert torch.isfinite(start).all()
