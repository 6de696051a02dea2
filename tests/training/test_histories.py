"""Histories cut for training equal what a server would encode for the same user at the same time."""

from datetime import UTC, datetime

import numpy as np
import pytest

from index.features import EVENT_TYPES, HISTORY_LENGTH, Event, Vocabulary, encode_users, fit_features
from training.histories import (
    Interactions,
    cut_histories,
    find_next,
    find_targets,
    make_row_tokens,
    sort_interactions,
)

DAY = 86_400.0


def make_interactions(event_count: int, user_count: int = 5, item_count: int = 7) -> Interactions:
    rng = np.random.default_rng(event_count)
    return sort_interactions(
        rng.integers(0, user_count, event_count),
        rng.integers(0, item_count, event_count),
        rng.integers(1, len(EVENT_TYPES) + 1, event_count),
        rng.integers(0, 40, event_count) * DAY,  # Few distinct times, so that many are equal.
        user_count=user_count,
        item_count=item_count,
    )


@pytest.mark.parametrize("event_count", [1, 2, 13, 400])
def test_training_and_serving_encode_a_history_the_same(event_count: int) -> None:
    interactions = make_interactions(event_count)
    targets = find_targets(interactions)
    seen = interactions.list_seen_rows()
    vocabulary = Vocabulary(tuple(f"p{row}" for row in seen))
    row_tokens = make_row_tokens(interactions.item_count, seen)
    cut = cut_histories(interactions, targets, np.arange(len(targets.user_row)), row_tokens)
    spec = fit_features([], [], datetime(2026, 1, 1, tzinfo=UTC))
    for row in range(len(targets.user_row)):
        mine = (
            (interactions.user_row == targets.user_row[row])
            & (interactions.event_time <= targets.event_time[row])
            & (interactions.item_row != targets.item_row[row])
        )
        history = [
            Event(f"p{item}", EVENT_TYPES[code - 1], float(when))
            for item, code, when in zip(
                interactions.item_row[mine],
                interactions.event_code[mine],
                interactions.event_time[mine],
                strict=True,
            )
        ]
        now = datetime.fromtimestamp(targets.event_time[row], UTC)
        served = encode_users(spec, vocabulary, [None], [history], now)
        width = cut.token.shape[1]
        np.testing.assert_array_equal(served.history_token[0, :width], cut.token[row])
        np.testing.assert_array_equal(served.history_event[0, :width], cut.event[row])
        np.testing.assert_array_equal(served.history_age[0, :width], cut.age[row])
        assert not served.history_token[0, width:].any()


def test_a_target_is_the_first_event_of_its_pair() -> None:
    interactions = sort_interactions(
        np.array([0, 0, 0]), np.array([1, 1, 0]), np.array([1, 5, 1]), np.array([3.0, 1.0, 2.0]),
        user_count=1, item_count=2,
    )  # fmt: skip
    targets = find_targets(interactions)
    assert targets.item_row.tolist() == [1, 0]
    assert targets.event_time.tolist() == [1.0, 2.0]
    assert targets.own_count.tolist() == [2, 1]


def test_a_target_is_left_out_of_its_own_history() -> None:
    interactions = make_interactions(400)
    targets = find_targets(interactions)
    row_tokens = make_row_tokens(interactions.item_count, interactions.list_seen_rows())
    rows = np.arange(len(targets.user_row))
    cut = cut_histories(interactions, targets, rows, row_tokens)
    assert not (cut.token == row_tokens[targets.item_row][:, None]).any()


def test_what_comes_later_changes_no_earlier_history() -> None:
    interactions = make_interactions(400)
    targets = find_targets(interactions)
    row_tokens = make_row_tokens(interactions.item_count, interactions.list_seen_rows())
    early = np.flatnonzero(targets.event_time <= 20 * DAY)
    before = cut_histories(interactions, targets, early, row_tokens)
    late = interactions.event_time > 20 * DAY
    changed = sort_interactions(
        interactions.user_row,
        np.where(late, (interactions.item_row + 3) % 7, interactions.item_row),
        np.where(late, 1, interactions.event_code),
        interactions.event_time,
        user_count=5,
        item_count=7,
    )
    new_targets = find_targets(changed)
    again = np.flatnonzero(new_targets.event_time <= 20 * DAY)
    after = cut_histories(changed, new_targets, again, row_tokens)
    np.testing.assert_array_equal(before.token, after.token)
    np.testing.assert_array_equal(before.age, after.age)


def test_a_history_is_never_longer_than_the_limit() -> None:
    interactions = make_interactions(997, user_count=1)
    users = find_next(interactions, np.array([0]), np.array([41 * DAY]))
    row_tokens = make_row_tokens(7, interactions.list_seen_rows())
    cut = cut_histories(interactions, users, np.array([0]), row_tokens)
    assert cut.token.shape == (1, HISTORY_LENGTH)
    assert (cut.token > 0).all()


def test_a_user_without_events_has_an_empty_history() -> None:
    interactions = make_interactions(3, user_count=5)
    idle = np.setdiff1d(np.arange(5), interactions.user_row)
    users = find_next(interactions, idle, np.zeros(len(idle)))
    cut = cut_histories(interactions, users, np.arange(len(idle)), make_row_tokens(7, np.arange(7)))
    assert cut.token.shape == (len(idle), 1)
    assert not cut.token.any()


def test_the_order_of_the_input_changes_nothing() -> None:
    interactions = make_interactions(101)
    order = np.random.default_rng(3).permutation(101)
    shuffled = sort_interactions(
        interactions.user_row[order],
        interactions.item_row[order],
        interactions.event_code[order],
        interactions.event_time[order],
        user_count=5,
        item_count=7,
    )
    np.testing.assert_array_equal(interactions.item_row, shuffled.item_row)
    np.testing.assert_array_equal(interactions.event_code, shuffled.event_code)
