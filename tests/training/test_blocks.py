"""Blocks hold every target once, and one history that knows none of their products and nothing later."""

import numpy as np
import pytest

from tests.training.test_histories import DAY, make_interactions
from training.blocks import Blocks, cut_block_histories, draw_blocks
from training.histories import (
    Interactions,
    Targets,
    cut_histories,
    find_targets,
    make_row_tokens,
    sort_interactions,
    weigh_targets,
)


def draw(seed: int, interactions: Interactions) -> tuple[Targets, Blocks]:
    targets = find_targets(interactions)
    return targets, draw_blocks(targets, np.random.default_rng(seed))


def make_long(event_count: int, *, times: int) -> Interactions:
    rng = np.random.default_rng(event_count)
    return sort_interactions(
        rng.integers(0, 3, event_count),
        rng.permutation(event_count),
        np.ones(event_count, np.int64),
        rng.integers(0, times, event_count) * DAY,
        user_count=4,
        item_count=event_count,
    )


@pytest.mark.parametrize("event_count", [1, 2, 13, 400])
def test_every_target_is_in_one_block_of_one_user(event_count: int) -> None:
    targets, blocks = draw(1, make_interactions(event_count))
    assert np.sort(blocks.target_row).tolist() == list(range(len(targets.user_row)))
    first = targets.user_row[blocks.first_row]
    np.testing.assert_array_equal(first[blocks.block], targets.user_row[blocks.target_row])
    earliest = targets.event_time[blocks.first_row]
    assert (targets.event_time[blocks.target_row] >= earliest[blocks.block]).all()


def test_blocks_take_a_part_of_their_users_targets() -> None:
    targets, blocks = draw(1, make_long(211, times=211))
    size = np.diff(blocks.offset)
    per_user = np.bincount(targets.user_row)[targets.user_row[blocks.first_row]]
    assert size.max() == 16
    assert (size <= -(-per_user // 3)).all()
    targets, blocks = draw(1, make_long(3, times=3))
    assert np.diff(blocks.offset).tolist() == [1] * len(targets.user_row)


def test_cuts_differ_from_draw_to_draw_and_repeat_under_a_seed() -> None:
    interactions = make_long(211, times=211)
    first, again, other = (draw(seed, interactions)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.offset, again.offset)
    assert first.offset.tolist() != other.offset.tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_hold_every_block_once(batch_size: int) -> None:
    _, blocks = draw(1, make_interactions(400))
    batches = list(blocks.split(batch_size, np.random.default_rng(2)))
    dealt = [tuple(part) for batch in batches for part in np.split(batch.target_row, batch.offset[1:-1])]
    whole = [tuple(part) for part in np.split(blocks.target_row, blocks.offset[1:-1])]
    assert sorted(dealt) == sorted(whole)
    assert sum(len(batch) for batch in batches) == len(blocks)
    assert all(len(batch.offset) - 1 == batch_size for batch in batches[:-1])


@pytest.mark.parametrize("times", [1, 5, 97])
def test_a_history_holds_what_was_before_without_the_blocks_products(times: int) -> None:
    interactions = make_long(97, times=times)
    targets, blocks = draw(3, interactions)
    row_tokens = make_row_tokens(97, interactions.list_seen_rows())
    histories = cut_block_histories(interactions, targets, blocks, row_tokens)
    for block, first in enumerate(blocks.first_row):
        own = targets.item_row[blocks.target_row[blocks.block == block]]
        before = (
            (interactions.user_row == targets.user_row[first])
            & (interactions.event_time <= targets.event_time[first])
            & ~np.isin(interactions.item_row, own)
        )
        expected = row_tokens[interactions.item_row[before]][::-1][:50]
        found = histories.token[block]
        assert found[found > 0].tolist() == expected.tolist()


def test_a_block_of_one_has_the_history_of_its_target() -> None:
    interactions = make_interactions(400)
    targets = find_targets(interactions)
    rows = np.arange(len(targets.user_row))
    row_tokens = make_row_tokens(interactions.item_count, interactions.list_seen_rows())
    alone = cut_histories(interactions, targets, rows, row_tokens)
    blocks = cut_block_histories(interactions, targets, Blocks(rows, np.arange(len(rows) + 1)), row_tokens)
    np.testing.assert_array_equal(alone.token, blocks.token)
    np.testing.assert_array_equal(alone.event, blocks.event)
    np.testing.assert_array_equal(alone.age, blocks.age)


def test_a_target_is_worth_its_best_event_and_its_least_liking() -> None:
    interactions = sort_interactions(
        np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), np.array([1, 6, 1, 5]), np.arange(4.0),
        user_count=2, item_count=2, liking=np.array([1.0, 0.25, 1.0, 1.0], np.float32),
    )  # fmt: skip
    targets = find_targets(interactions)
    weights = {"rating": 2.0, "purchase": 4.0}
    worth = weigh_targets(interactions, targets, weights, half_life_days=1e6, latest=3.0)
    assert targets.item_row.tolist() == [0, 1, 0]
    # Three seconds take 2e-11 from a target.
    assert worth.tolist() == pytest.approx([0.5, 1.0, 4.0], rel=1e-6)


def test_an_old_target_counts_less() -> None:
    interactions = make_long(11, times=90)
    targets = find_targets(interactions)
    age = (interactions.event_time.max() - targets.event_time) / DAY
    latest = float(interactions.event_time.max())
    worth = weigh_targets(interactions, targets, {}, half_life_days=30.0, latest=latest)
    # float32 of a power.
    np.testing.assert_allclose(worth, 0.5 ** (age / 30.0), rtol=1e-6)
