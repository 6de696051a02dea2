"""Row-wise Adagrad: the plain definition, the other weights, clipping, and a checkpoint's state."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.checkpoint import load_checkpoint, restore_trainer, save_checkpoint
from training.config import make_config
from training.examples import encode_examples, read_learning_data
from training.loop import Stage, Trainer, make_trainer, run_epoch
from training.rowwise import ROWWISE, RowwiseAdagrad, clip_gradients, merge_rows, step_rows_plainly


def look_up(table: nn.Embedding, rows: list[int], seed: int) -> torch.Tensor:
    """Computes a loss that only some rows, and some of them twice, have a part in."""
    weight = torch.randn(len(rows), table.embedding_dim, generator=torch.Generator().manual_seed(seed))
    return (table(torch.tensor(rows)) * weight).square().sum()


def test_steps_equal_the_plain_definition() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(7, 3, sparse=True)
    dense = nn.Embedding(7, 3, _weight=table.weight.detach().clone())
    expected, square = table.weight.detach().clone(), torch.zeros(7)
    optimizer = RowwiseAdagrad([{"params": [table.weight], ROWWISE: True}], lr=0.1)
    for seed, rows in enumerate([[0, 3, 3], [3, 5, 0], [6], [3, 6, 6, 6]]):
        with torch.no_grad():
            dense.weight.copy_(expected)
        dense.zero_grad()
        look_up(dense, rows, seed).backward()
        assert dense.weight.grad is not None
        expected, square = step_rows_plainly(expected, dense.weight.grad, square, 0.1)
        look_up(table, rows, seed).backward()
        merge_rows([table.weight])
        optimizer.step()
        # Sums of a row's gradients are in another order.
        torch.testing.assert_close(table.weight.detach(), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(optimizer.state[table.weight]["square"], square, rtol=1e-5, atol=1e-6)
    assert torch.equal(table.weight[1], dense.weight[1])


def test_other_weights_step_as_adamw_would() -> None:
    torch.manual_seed(0)
    table, layer = nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2)
    other = nn.Linear(4, 2)
    other.load_state_dict(layer.state_dict())
    groups = [{"params": list(layer.parameters())}, {"params": [table.weight], ROWWISE: True}]
    optimizer = RowwiseAdagrad(groups, lr=0.01, weight_decay=0.1)
    plain = torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        row = table.weight[:2].detach()
        layer(table(torch.tensor([0, 1]))).square().sum().backward()
        other(row).square().sum().backward()
        merge_rows([table.weight])
        optimizer.step()
        plain.step()
        optimizer.zero_grad()
        plain.zero_grad()
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize("norm_max", [0.1, 1e6])
def test_clipping_equals_that_of_torch_and_knows_sparse_gradients(norm_max: float) -> None:
    torch.manual_seed(0)
    sparse = nn.Embedding(7, 3, sparse=True)
    dense = nn.Embedding(7, 3, _weight=sparse.weight.detach().clone())
    for table in (sparse, dense):
        look_up(table, [1, 2, 2], seed=3).backward()
    merge_rows([sparse.weight])
    clip_gradients([sparse.weight], norm_max)
    nn.utils.clip_grad_norm_([dense.weight], norm_max)
    assert sparse.weight.grad is not None
    assert dense.weight.grad is not None
    # The norm of fewer numbers is summed in another order.
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad, rtol=1e-6, atol=1e-7)


def test_clipping_dense_gradients_gives_the_bits_of_torch() -> None:
    weights = [nn.Parameter(torch.zeros(5, 3)), nn.Parameter(torch.zeros(11)), nn.Parameter(torch.zeros(2))]
    others = [nn.Parameter(torch.zeros_like(weight)) for weight in weights]
    for weight, other in zip(weights[:2], others[:2], strict=True):
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        other.grad = weight.grad.clone()
    clip_gradients(weights, 0.7)
    nn.utils.clip_grad_norm_(others, 0.7)
    for weight, other in zip(weights[:2], others[:2], strict=True):
        assert weight.grad is not None
        assert other.grad is not None
        assert torch.equal(weight.grad, other.grad)


def test_a_restored_trainer_goes_on_as_the_first_would(tmp_path: Path) -> None:
    data = read_learning_data(write_data(tmp_path / "data", make_events(user_count=23, item_count=19)))
    examples = encode_examples(data, data.interactions)
    config = make_config("two_tower", TINY_SETTINGS | {"optimizer": "rowwise_adagrad", "negative_count": 5})

    def start() -> Trainer:
        return make_trainer(examples, None, config, lambda _: None)

    trainer, path = start(), tmp_path / "checkpoint"
    stage = run_epoch(trainer, Stage("final"), epoch_count=3)
    table = trainer.learner.towers.item_tower.token.weight
    # Two moments of each number would be 2 * dim times as many.
    assert trainer.optimizer.state[table]["square"].shape == (len(table),)
    save_checkpoint(path, run_id="a", stages=(stage,), trainer=trainer)
    restored = start()
    restore_trainer(load_checkpoint(path, run_id="a"), restored)
    losses = [run_epoch(each, replace(stage), epoch_count=3).epochs[-1].loss for each in (trainer, restored)]
    assert losses[0] == losses[1]
    weights = zip(trainer.learner.parameters(), restored.learner.parameters(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in weights)
