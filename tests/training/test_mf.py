"""Matrix factorisation: folding in solves the least-squares problem that training states."""

import numpy as np
import pytest
import torch

from index.features import HISTORY_LENGTH
from training.config import MfConfig
from training.mf import MatrixFactorisation

CONFIG = MfConfig(embedding_dim=17, l2=0.02, negative_weight=3.0)
TOKEN_COUNT = 103


def make_towers() -> MatrixFactorisation:
    torch.manual_seed(2)
    towers = MatrixFactorisation(TOKEN_COUNT, CONFIG)
    with torch.no_grad():
        towers.item_tower.factor[2:].normal_(std=0.4)
        towers.item_tower.bias[2:].uniform_(0.0, 0.5)
    return towers.eval()


def fold(towers: MatrixFactorisation, tokens: list[int]) -> np.ndarray:
    history = torch.zeros(1, HISTORY_LENGTH, dtype=torch.int64)
    history[0, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    nothing = torch.zeros(1, HISTORY_LENGTH)
    with torch.no_grad():
        vector = towers.user_tower(history, history, nothing, history[:, :4], nothing[:, :6])
    return vector[0].numpy()


def solve(towers: MatrixFactorisation, tokens: list[int]) -> np.ndarray:
    factor = towers.item_tower.factor.detach().numpy().astype(np.float64)
    bias = towers.item_tower.bias.detach().numpy().astype(np.float64)
    known, held = factor[2:], factor[tokens]
    share = CONFIG.negative_weight / len(known)
    left = held.T @ held / len(tokens) + share * known.T @ known + CONFIG.l2 * np.eye(factor.shape[1])
    right = held.T @ (1 - bias[tokens]) / len(tokens) - share * known.T @ bias[2:]
    return np.linalg.solve(left, right)


@pytest.mark.parametrize("count", [1, 2, 13, HISTORY_LENGTH])
def test_folding_in_equals_the_direct_solution(count: int) -> None:
    towers = make_towers()
    tokens = list(range(2, 2 + count))
    # The tower answers in float32: seven digits.
    np.testing.assert_allclose(fold(towers, tokens)[:-1], solve(towers, tokens), rtol=1e-5, atol=1e-6)


def test_repeated_events_count_once() -> None:
    towers = make_towers()
    np.testing.assert_allclose(fold(towers, [5, 9, 5, 5]), fold(towers, [9, 5]), atol=1e-7)


def test_an_empty_history_leaves_only_the_bias() -> None:
    vector = fold(make_towers(), [])
    assert vector.tolist() == [0.0] * 16 + [1.0]


def test_more_steps_than_factors_change_nothing() -> None:
    # After as many steps as there are factors the residual is zero; going on must not divide by it.
    small = MatrixFactorisation(TOKEN_COUNT, MfConfig(embedding_dim=4))
    with torch.no_grad():
        small.item_tower.factor[2:].normal_()
    assert np.isfinite(fold(small.eval(), [3, 4, 5, 6])).all()


def test_a_new_product_scores_zero_for_everybody() -> None:
    towers = make_towers()
    item = towers.item_tower(torch.tensor([1]), torch.zeros(1, 4), torch.zeros(1, 6))
    assert not item.any()


def test_evaluation_takes_over_factors_that_changed() -> None:
    towers = make_towers()
    before = fold(towers, [4])
    with torch.no_grad():
        towers.item_tower.factor[4] *= 2
    towers.train()
    towers.eval()
    assert not np.allclose(before, fold(towers, [4]))
