"""The temporal split keeps what comes later out of training."""

import numpy as np
import pytest

from training.histories import Interactions, find_next, sort_interactions
from training.metrics import measure_popularity, measure_ranking
from training.split import Split, Validation, split_by_time


def make_interactions(*, distinct_times: bool) -> Interactions:
    rng = np.random.default_rng(5)
    count, users, items = 307, 23, 31
    times = np.arange(count) if distinct_times else rng.integers(0, 4, count)
    return sort_interactions(
        rng.integers(0, users, count),
        rng.integers(0, items, count),
        np.ones(count, np.int64),
        times.astype(np.float64),
        user_count=users,
        item_count=items,
    )


def split(interactions: Interactions, *, user_limit: int = 1000) -> Split:
    return split_by_time(interactions, fraction=0.2, user_limit=user_limit, seed=1)


def list_held_pairs(side: Split) -> set[tuple[int, int]]:
    validation = side.validation
    users = validation.users.user_row[validation.pair_user]
    return set(zip(users.tolist(), validation.pair_item.tolist(), strict=True))


def test_training_ends_before_validation_begins() -> None:
    side = split(make_interactions(distinct_times=True))
    assert side.train.event_time.max() < side.validation.users.event_time.min()


def test_no_event_of_a_held_pair_is_learned_from() -> None:
    for distinct_times in (True, False):
        side = split(make_interactions(distinct_times=distinct_times))
        learned = set(zip(side.train.user_row.tolist(), side.train.item_row.tolist(), strict=True))
        assert list_held_pairs(side)
        assert not learned & list_held_pairs(side)


def test_changing_what_comes_after_the_split_changes_nothing_before_it() -> None:
    interactions = make_interactions(distinct_times=True)
    before = split(interactions)
    late = interactions.event_time > before.validation.users.event_time.min()
    # The late events trade users among themselves: another future with the same times.
    user_row = interactions.user_row.copy()
    user_row[late] = np.roll(user_row[late], 5)
    changed = sort_interactions(
        user_row,
        interactions.item_row,
        interactions.event_code,
        interactions.event_time,
        user_count=23,
        item_count=31,
    )
    boundary = before.train.event_time.max()
    after = split(changed).train
    early = before.train.event_time <= min(boundary, after.event_time.max())
    again = after.event_time <= min(boundary, after.event_time.max())
    np.testing.assert_array_equal(before.train.item_row[early], after.item_row[again])
    np.testing.assert_array_equal(before.train.user_row[early], after.user_row[again])


def test_a_tie_at_the_boundary_is_shared_by_seed() -> None:
    interactions = make_interactions(distinct_times=False)
    first, second = split(interactions), split(interactions)
    np.testing.assert_array_equal(first.train.item_row, second.train.item_row)
    pair_count = len(np.unique(interactions.user_row * 31 + interactions.item_row))
    assert len(first.validation.pair_user) == round(0.2 * pair_count)


def test_one_user_with_one_item_leaves_nothing_to_validate() -> None:
    one = np.zeros(1, np.int64)
    side = split(sort_interactions(one, one, one + 1, np.zeros(1), user_count=1, item_count=1))
    assert len(side.validation.pair_user) == 0
    assert len(side.train.user_row) == 1


def test_the_user_limit_keeps_whole_users() -> None:
    side = split(make_interactions(distinct_times=True), user_limit=3)
    assert len(side.validation.users.user_row) == 3
    assert set(side.validation.pair_user.tolist()) == {0, 1, 2}
    whole = split(make_interactions(distinct_times=True))
    chosen = set(side.validation.users.user_row.tolist())
    assert list_held_pairs(side) == {pair for pair in list_held_pairs(whole) if pair[0] in chosen}


def test_a_perfect_ranking_measures_one_and_a_seen_product_is_no_candidate() -> None:
    validation = split(make_interactions(distinct_times=True)).validation
    count = len(validation.users.user_row)
    wanted = np.zeros((count, 31), np.float32)
    wanted[validation.pair_user, validation.pair_item] = 1.0
    wanted[validation.seen_user, validation.seen_item] = 9.0
    quality = measure_ranking(wanted, np.eye(31, dtype=np.float32), validation)
    assert quality.ndcg_at_10 == 1.0
    assert quality.recall_at_20 == 1.0
    worst = measure_ranking(-wanted, np.eye(31, dtype=np.float32), validation)
    assert worst.ndcg_at_10 < 0.3


def test_measures_equal_those_worked_out_by_hand() -> None:
    interactions = make_interactions(distinct_times=True)
    validation = Validation(
        users=find_next(interactions, np.array([0, 1]), np.zeros(2)),
        pair_user=np.array([0, 0, 1]),
        pair_item=np.array([1, 3, 2]),
        seen_user=np.array([0]),
        seen_item=np.array([0]),
    )
    # The first user's candidates, best first: 2, 3, 1; the second's: 0, 2, 3, 1.
    quality = measure_popularity(np.array([0.5, 0.1, 0.3, 0.2], np.float32), validation)
    discount = 1 / np.log2([2, 3, 4])
    first = (discount[1] + discount[2]) / (discount[0] + discount[1])
    assert quality.recall_at_20 == 1.0
    assert quality.ndcg_at_10 == pytest.approx((first + discount[1]) / 2)
