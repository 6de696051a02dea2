"""Maximal marginal relevance against values worked out by hand."""

import numpy as np
import pytest

from benchmarks.report.mmr import mmr


def choose(scores: list[float], vectors: list[list[float]], k: int, trade_off: float) -> list[int]:
    return mmr(np.array(scores, np.float64), np.array(vectors, np.float64), k, trade_off).tolist()


def test_a_trade_off_of_one_keeps_the_order_of_the_scores() -> None:
    assert choose([0.2, 0.9, 0.5], [[1, 0], [1, 0], [0, 1]], 3, 1.0) == [1, 2, 0]


def test_the_unlike_one_overtakes_the_better_one() -> None:
    # After the first: 0.5 * 0.9 - 0.5 * 1 = -0.05 for its twin, 0.5 * 0.2 - 0 = 0.1 for the unlike one.
    assert choose([1.0, 0.9, 0.2], [[1, 0], [1, 0], [0, 1]], 3, 0.5) == [0, 2, 1]


def test_likeness_is_that_to_the_most_alike_of_the_chosen() -> None:
    # The last two differ in their likeness to the second chosen alone: 1 against 0.6.
    vectors = [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0.6, 0.8]]
    assert choose([1.0, 0.9, 0.5, 0.5], vectors, 4, 0.5) == [0, 1, 3, 2]


def test_the_first_choice_is_free_of_likeness() -> None:
    assert choose([0.1, 0.4], [[1, 0], [1, 0]], 1, 0.01) == [1]


def test_of_equal_ones_the_first_is_taken() -> None:
    assert choose([0.5] * 5, [[0, 0]] * 5, 5, 0.7) == [0, 1, 2, 3, 4]
    assert choose([0.3, 0.8, 0.5], [[1, 0], [0, 1], [1, 0]], 3, 0.0) == [0, 1, 2]


def test_an_opposite_product_is_worth_more_than_an_unlike_one() -> None:
    assert choose([1.0, 0.5, 0.5], [[1, 0], [0, 1], [-1, 0]], 2, 0.5) == [0, 2]


@pytest.mark.parametrize(("count", "k", "expected"), [(0, 3, 0), (1, 3, 1), (7, 0, 0), (7, 3, 3), (3, 7, 3)])
def test_as_many_are_chosen_as_there_are_each_once(count: int, k: int, expected: int) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(count, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = mmr(rng.random(count), vectors, k, 0.6).tolist()
    assert len(chosen) == len(set(chosen)) == expected


def test_each_choice_is_the_best_by_the_formula() -> None:
    rng = np.random.default_rng(11)
    scores, vectors = rng.random(13), rng.normal(size=(13, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = mmr(scores, vectors, 7, 0.4).tolist()
    for step, one in enumerate(chosen):
        before = chosen[:step]

        def worth(candidate: int, before: list[int] = before) -> float:
            likeness = max((float(vectors[candidate] @ vectors[other]) for other in before), default=0.0)
            return float(0.4 * scores[candidate] - 0.6 * likeness)

        best = max(worth(candidate) for candidate in range(13) if candidate not in before)
        # Two ways to add four products differ in the last bits.
        assert worth(one) == pytest.approx(best, abs=1e-12)
