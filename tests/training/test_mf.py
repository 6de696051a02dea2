"""Matrix factorisation: folding in solves the problem that training states; log-losses can be exported."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional

from export.write import export_run
from index.features import HISTORY_LENGTH
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training import folding
from training.config import Loss, MfConfig, make_config
from training.examples import encode_examples, read_learning_data
from training.mf import MatrixFactorisation, MfLearner
from training.run import train

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
    event = torch.zeros_like(history)
    with torch.no_grad():
        vector = towers.user_tower(history, event, nothing, history[:, :4], nothing[:, :6])[0].numpy()
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    return np.asarray(vector / vector[-1])  # As long as the solution, whose last component is 1.


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
    item = towers.item_tower(torch.tensor([1]), torch.zeros(1, 4), torch.zeros(1, 6), torch.zeros(1, 32))
    assert not item.any()


def test_evaluation_takes_over_factors_that_changed() -> None:
    towers = make_towers()
    before = fold(towers, [4])
    with torch.no_grad():
        towers.item_tower.factor[4] *= 2
    towers.train()
    towers.eval()
    assert not np.allclose(before, fold(towers, [4]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data", make_events())


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_the_loss_weighs_observed_sampled_and_l2(data: Path, loss: Loss) -> None:
    learning_data = read_learning_data(data)
    examples = encode_examples(learning_data, learning_data.interactions)
    learner = MfLearner(examples, MfConfig(loss=loss, l2=0.25, negative_weight=3.0))
    item_tower = learner.towers.item_tower
    with torch.no_grad():
        # Every pair has the same score.
        learner.user_factor.fill_(0.2)
        item_tower.factor.fill_(0.1)
        item_tower.bias.fill_(0.5)
        found = learner(np.arange(11)).item()
    score = torch.tensor(63 * 0.02 + 0.5)
    one, zero = {
        "mse": ((1 - score).square(), score.square()),
        "bce": (functional.softplus(-score), functional.softplus(score)),
    }[loss]
    expected = one + 3.0 * zero + 0.25 * (63 * (0.2**2 + 0.1**2) + 0.5**2)
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_a_bce_run_is_learned_and_exported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(
        "mf", TINY_SETTINGS | {"epochs": 12, "loss": "bce", "l2": 0.03, "negative_weight": 1.0}
    )
    console = Console(file=io.StringIO())
    train(data, tmp_path / "run", config, resume=False, force=False, console=console)
    # Every step is the same part of the graph again; all 32 take half a minute to export.
    monkeypatch.setattr(folding, "_LOG_STEP_COUNT", 3)
    description = export_run(tmp_path / "run", data, tmp_path / "export", force=False)
    assert description["parity"]["user_tower"]["relative_error_max"] <= 1e-5
    quality = description["quality"]["validation"]
    assert quality["ndcg_at_10"] > quality["popularity"]["ndcg_at_10"]
