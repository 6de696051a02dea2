"""Maximal marginal relevance against values worked out by hand and against a plain definition."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from server.diversity import POOL_COUNT_MIN, WHOLE, count_pool, diversify


def choose(scores: Sequence[int], vectors: Sequence[Sequence[int]], k: int, trade_off: int) -> list[int]:
    return diversify(np.array(scores, np.int64), np.array(vectors, np.int32), k, trade_off).tolist()


def define(scores: Sequence[int], vectors: Sequence[Sequence[int]], k: int, trade_off: int) -> list[int]:
    """The definition, number by number."""
    one = 2**14
    lengths = [math.sqrt(sum(part * part for part in vector)) for vector in vectors]
    directions = [
        [round(part / max(length, 1.0) * one) for part in vector]
        for vector, length in zip(vectors, lengths, strict=True)
    ]
    spread = max(scores[0] - scores[-1], 1) if scores else 1
    relevance = [round((score - scores[-1]) / spread * one * one) for score in scores]

    def cosine(first: int, second: int) -> int:
        return sum(a * b for a, b in zip(directions[first], directions[second], strict=True))

    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        free = [place for place in range(len(scores)) if place not in chosen]
        worths = [
            trade_off * relevance[place]
            - (WHOLE - trade_off) * max((cosine(place, other) for other in chosen), default=0)
            for place in free
        ]
        chosen.append(free[worths.index(max(worths))])
    return chosen


def test_a_trade_off_of_all_score_keeps_the_order() -> None:
    assert choose([9, 5, 2], [[1, 0], [1, 0], [0, 1]], 3, WHOLE) == [0, 1, 2]


def test_the_unlike_one_overtakes_the_better_one() -> None:
    # After the first: 0.5 * 0.9 - 0.5 * 1 = -0.05 for its twin, 0.5 * 0 - 0 = 0 for the unlike one.
    assert choose([20, 19, 10], [[3, 0], [9, 0], [0, 5]], 3, 5000) == [0, 2, 1]


def test_likeness_is_that_to_the_most_alike_of_the_chosen() -> None:
    # The last two differ in their likeness to the second chosen alone: 1 against 0.6.
    vectors = [[5, 0, 0], [0, 5, 0], [0, 5, 0], [0, 3, 4]]
    assert choose([10, 9, 5, 5], vectors, 4, 5000) == [0, 1, 3, 2]


def test_of_equal_ones_the_first_is_taken() -> None:
    assert choose([5] * 5, [[0, 0]] * 5, 5, 7000) == [0, 1, 2, 3, 4]
    assert choose([8, 5, 3], [[1, 0], [0, 1], [1, 0]], 3, 0) == [0, 1, 2]


def test_an_opposite_product_is_worth_more_than_an_unlike_one() -> None:
    assert choose([10, 5, 5], [[7, 0], [0, 7], [-7, 0]], 2, 5000) == [0, 2]


@pytest.mark.parametrize(("count", "k"), [(0, 3), (1, 3), (7, 0), (7, 3), (3, 7), (101, 23)])
@pytest.mark.parametrize("trade_off", [0, 1, 5000, 9999, WHOLE])
def test_choices_are_those_of_the_definition(count: int, k: int, trade_off: int) -> None:
    rng = np.random.default_rng(count + k)
    scores = sorted(rng.integers(-(2**45), 2**45, count).tolist(), reverse=True)
    vectors = rng.integers(-32767, 32768, (count, 5))
    vectors[::6] = vectors[:1]  # Twins,
    vectors[4::7] = 0  # and products without a direction.
    chosen = choose(scores, vectors.tolist(), k, trade_off)
    assert chosen == define(scores, vectors.tolist(), k, trade_off)
    assert len(chosen) == len(set(chosen)) == min(k, count)


def test_a_pool_is_larger_than_its_list_only_for_variety() -> None:
    assert count_pool(10, WHOLE) == 10
    assert count_pool(10, WHOLE - 1) == POOL_COUNT_MIN
    assert count_pool(1000, 0) == 2000
