"""Folding in by log-losses finds the stated minimum; by squared errors it gives the numbers it gave."""

import numpy as np
import pytest
import torch

from index.features import HISTORY_LENGTH
from training.config import MfConfig
from training.folding import LogFolding, SquareFolding, weigh_distinct

DIM = 16
# 32 steps leave a relative error below this on the problems here, which are as hard as trained ones with the
# l2 that MfConfig recommends.
TOLERANCE = 1e-6


def make_products(token_count: int, std: float = 0.6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(token_count, DIM, generator=generator, dtype=torch.float64) * std
    bias = torch.rand(token_count, generator=generator, dtype=torch.float64) - 1.5
    factor[:2], bias[:2] = 0.0, 0.0
    return factor, bias


def make_folding(token_count: int = 103, negative_weight: float = 1.0, std: float = 0.6) -> LogFolding:
    config = MfConfig(embedding_dim=DIM + 1, loss="bce", l2=0.03, negative_weight=negative_weight)
    folding = LogFolding(token_count, config)
    folding.take_over(*make_products(token_count, std))
    return folding


def fold(folding: LogFolding | SquareFolding, *histories: list[int]) -> np.ndarray:
    token = torch.zeros(len(histories), HISTORY_LENGTH, dtype=torch.int64)
    for row, tokens in enumerate(histories):
        token[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    return folding(token, weigh_distinct(token, torch.ones_like(token).double())).numpy()


def minimise(
    products: tuple[torch.Tensor, torch.Tensor],
    tokens: list[int],
    chosen: list[int],
    negative_weight: float = 1.0,
) -> np.ndarray:
    """Minimises by Newton's method with step halving, in the plain coordinates."""
    factor, bias = products

    def measure(p: torch.Tensor) -> torch.Tensor:
        held = torch.nn.functional.softplus(-bias[tokens] - factor[tokens] @ p).mean()
        other = torch.nn.functional.softplus(bias[chosen] + factor[chosen] @ p).mean()
        return held + negative_weight * other + 0.03 * p @ p

    point = torch.zeros(DIM, dtype=torch.float64)
    for _ in range(30):
        gradient = torch.autograd.functional.jacobian(measure, point)
        move = torch.linalg.solve(torch.autograd.functional.hessian(measure, point), gradient)
        scale = next(
            0.5**power for power in range(60) if measure(point - 0.5**power * move) <= measure(point)
        )
        point = point - scale * move
    return point.numpy()


@pytest.mark.parametrize("negative_weight", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("count", [1, 2, 13, HISTORY_LENGTH])
def test_folding_in_finds_the_minimum(count: int, negative_weight: float) -> None:
    folding, tokens = make_folding(negative_weight=negative_weight), list(range(2, 2 + count))
    expected = minimise(make_products(103), tokens, list(range(2, 103)), negative_weight)
    np.testing.assert_allclose(fold(folding, tokens)[0], expected, atol=TOLERANCE * np.abs(expected).max())


def test_one_known_product_is_enough() -> None:
    expected = minimise(make_products(3), [2], [2])
    np.testing.assert_allclose(fold(make_folding(3), [2])[0], expected, atol=TOLERANCE)


def test_evenly_spaced_products_stand_for_more_than_the_limit() -> None:
    count = 2551
    chosen = [2 + position * count // 2048 for position in range(2048)]
    expected = minimise(make_products(count + 2), [7, 2500], chosen)
    found = fold(make_folding(count + 2), [7, 2500])[0]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


def test_repeated_and_unknown_events_change_nothing() -> None:
    folding = make_folding()
    np.testing.assert_allclose(fold(folding, [5, 9, 5, 1, 5]), fold(folding, [9, 5]), atol=1e-12)


def test_an_empty_history_gives_zero_factors() -> None:
    assert not fold(make_folding(), [], [1]).any()


def test_a_user_does_not_change_a_neighbour_in_the_batch() -> None:
    folding = make_folding()
    together = fold(folding, [3, 4, 5], [], [60])
    np.testing.assert_allclose(
        together, np.vstack([fold(folding, row) for row in ([3, 4, 5], [], [60])]), atol=1e-12
    )


@pytest.mark.parametrize("std", [1e-9, 3.0, 30.0])
def test_extreme_factors_give_finite_users(std: float) -> None:
    # Scores of hundreds saturate every log-loss; factors near zero leave nothing to divide by.
    assert np.isfinite(fold(make_folding(std=std), [3], list(range(2, 52)))).all()


def test_squared_errors_still_give_the_numbers_they_gave() -> None:
    # Recorded before log-losses were added.
    folding = SquareFolding(103, MfConfig(embedding_dim=DIM + 1))
    folding.take_over(*make_products(103))
    expected = [0.1247787958111463, 0.0376998160174626, -0.5504492294548261, 0.1983580388301537]
    np.testing.assert_allclose(fold(folding, [3, 4, 5])[0, :4], expected, rtol=1e-9)
