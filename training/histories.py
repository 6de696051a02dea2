"""Interactions as arrays, and the histories and targets taken from them.

Everything is vectorised: a batch of histories is one gather, because the events of a user lie together,
oldest first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.features import (
    EVENT_TYPES,
    FIRST_TOKEN,
    HISTORY_LENGTH,
    PADDING_TOKEN,
    SECONDS_PER_DAY,
    encode_age,
)

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Holds events sorted by user, time, item and type; build it with `sort_interactions`."""

    user_row: IntArray  # [events]
    item_row: IntArray  # [events], the product's position in the catalogue
    event_code: IntArray  # [events]
    event_time: NDArray[np.float64]  # [events], seconds since 1970-01-01 UTC
    liking: NDArray[np.float32]  # [events], 0 to 1: how far an event shows that the user likes the product
    user_offset: IntArray  # [users + 1], the events of user u are user_offset[u]:user_offset[u + 1]
    item_count: int

    @property
    def user_count(self) -> int:
        """Counts the users, those without events included."""
        return len(self.user_offset) - 1

    def take(self, kept: NDArray[np.bool_]) -> "Interactions":
        """Returns the kept events, of the same users and products."""
        return sort_interactions(
            self.user_row[kept],
            self.item_row[kept],
            self.event_code[kept],
            self.event_time[kept],
            liking=self.liking[kept],
            user_count=self.user_count,
            item_count=self.item_count,
        )

    def list_seen_rows(self) -> IntArray:
        """Lists the products that have at least one event, in catalogue order."""
        return np.unique(self.item_row)


@dataclass(frozen=True)
class Targets:
    """Holds what the model learns to predict: the first event of each (user, product) pair.

    A target of item_row -1 stands for "whatever the user does next": nothing is left out of its history.
    """

    user_row: IntArray  # [targets]
    item_row: IntArray  # [targets]
    event_time: NDArray[np.float64]  # [targets]
    history_end: IntArray  # [targets], one past the user's last event that is not later than the target
    own_count: IntArray  # [targets], how many events the pair itself has


@dataclass(frozen=True)
class Histories:
    """Holds encoded histories, most recent first, as wide as the longest of the batch."""

    token: IntArray  # [batch, length]
    event: IntArray  # [batch, length]
    age: NDArray[np.float32]  # [batch, length]


def sort_interactions(
    user_row: IntArray,
    item_row: IntArray,
    event_code: IntArray,
    event_time: NDArray[np.float64],
    *,
    user_count: int,
    item_count: int,
    liking: NDArray[np.float32] | None = None,
) -> Interactions:
    """Sorts events into the order that histories are cut from; without `liking`, each shows it in full."""
    if liking is None:
        liking = np.ones(len(user_row), np.float32)
    order = np.lexsort((event_code, item_row, event_time, user_row))
    offset = np.zeros(user_count + 1, np.int64)
    np.cumsum(np.bincount(user_row, minlength=user_count), out=offset[1:])
    return Interactions(
        user_row[order],
        item_row[order],
        event_code[order],
        event_time[order],
        liking[order],
        offset,
        item_count,
    )


def find_targets(interactions: Interactions) -> Targets:
    """Finds the first event of every (user, product) pair, in the order of the events."""
    pair = interactions.user_row * interactions.item_count + interactions.item_row
    _, first, own_count = np.unique(pair, return_index=True, return_counts=True)
    order = np.argsort(first)
    first, own_count = first[order], own_count[order]
    return Targets(
        user_row=interactions.user_row[first],
        item_row=interactions.item_row[first],
        event_time=interactions.event_time[first],
        history_end=_find_history_end(interactions)[first],
        own_count=own_count,
    )


def find_next(interactions: Interactions, user_row: IntArray, event_time: NDArray[np.float64]) -> Targets:
    """Describes "whatever comes next" for users at given times; every event of theirs is history."""
    nothing = np.zeros(len(user_row), np.int64)
    return Targets(user_row, nothing - 1, event_time, interactions.user_offset[user_row + 1], nothing)


def weigh_targets(
    interactions: Interactions,
    targets: Targets,
    event_weights: Mapping[str, float],
    *,
    half_life_days: float,
    latest: float,
) -> NDArray[np.float32]:
    """Weighs targets, float32 [targets]: the pair's most valuable event type, its least liking, and its age.

    Args:
        interactions: the events that the targets were found in.
        targets: the targets.
        event_weights: what an event of each type is worth; 1 where a type is not named.
        half_life_days: a target this much older than the latest event counts half.
        latest: the latest event of all users, seconds since 1970-01-01 UTC.
    """
    worth = np.array([event_weights.get(name, 1.0) for name in EVENT_TYPES], np.float32)
    place = _find_target_of_event(interactions, targets)
    value = np.zeros(len(targets.user_row), np.float32)
    liking = np.ones(len(targets.user_row), np.float32)
    np.maximum.at(value, place, worth[interactions.event_code - 1])
    np.minimum.at(liking, place, interactions.liking)
    age = latest - targets.event_time
    fresh = np.exp2(-age / (half_life_days * SECONDS_PER_DAY))
    weight: NDArray[np.float32] = (value * liking * fresh).astype(np.float32)
    return weight


def list_target_kinds(interactions: Interactions, targets: Targets) -> NDArray[np.bool_]:
    """Says which types are among the events of each target's pair, bool [targets, types]."""
    kinds = np.zeros((len(targets.user_row), len(EVENT_TYPES)), np.bool_)
    kinds[_find_target_of_event(interactions, targets), interactions.event_code - 1] = True
    return kinds


def _find_target_of_event(interactions: Interactions, targets: Targets) -> IntArray:
    """Finds the target of each event's pair, int64 [events]; every event has one."""
    pair = interactions.user_row * interactions.item_count + interactions.item_row
    wanted = targets.user_row * interactions.item_count + targets.item_row
    order = np.argsort(wanted)
    place: IntArray = order[np.searchsorted(wanted, pair, sorter=order)]
    return place


def cut_histories(
    interactions: Interactions, targets: Targets, rows: IntArray, row_tokens: IntArray
) -> Histories:
    """Cuts the histories of some targets: events not later than the target, without the target's product.

    Equal times are kept, because some sources know only the day. Products without a token are dropped, as
    `encode_users` drops them.

    Args:
        interactions: the events.
        targets: the targets.
        rows: which targets, int64 [batch].
        row_tokens: the token of each product, 0 where it has none, int64 [products].
    """
    return cut_window(
        interactions,
        user_row=targets.user_row[rows],
        end=targets.history_end[rows],
        now=targets.event_time[rows],
        left_out=targets.item_row[rows, None],
        left_out_count=targets.own_count[rows],
        row_tokens=row_tokens,
    )


def cut_window(
    interactions: Interactions,
    *,
    user_row: IntArray,
    end: IntArray,
    now: NDArray[np.float64],
    left_out: IntArray,
    left_out_count: IntArray,
    row_tokens: IntArray,
) -> Histories:
    """Cuts the events of some users up to a position, without certain products.

    Args:
        interactions: the events.
        user_row: the users, int64 [batch].
        end: one past each user's last event that may be seen, int64 [batch].
        now: the time that ages count from, float64 [batch].
        left_out: products left out of each history, int64 [batch, any]; -1 is none.
        left_out_count: how many events those products have, int64 [batch].
        row_tokens: the token of each product, 0 where it has none, int64 [products].
    """
    start = interactions.user_offset[user_row]
    # Wide enough that HISTORY_LENGTH events are left when the products left out are taken away.
    limit = HISTORY_LENGTH + int(left_out_count.max(initial=0))
    width = min(int((end - start).max(initial=0)), limit)
    position = end[:, None] - 1 - np.arange(max(width, 1))  # [batch, width]
    inside = position >= start[:, None]
    position[~inside] = 0
    if not len(interactions.item_row):
        return _empty_histories(len(user_row))
    item_row = interactions.item_row[position]
    for column in left_out.T:
        inside &= item_row != column[:, None]
    token = np.where(inside, row_tokens[item_row], PADDING_TOKEN)
    return _pack(interactions, now, position, token)


def make_row_tokens(item_count: int, seen_rows: IntArray) -> IntArray:
    """Numbers the products that have a token in catalogue order, as `Vocabulary` does; the others get 0."""
    tokens = np.zeros(item_count, np.int64)
    tokens[seen_rows] = np.arange(len(seen_rows)) + FIRST_TOKEN
    return tokens


def _pack(
    interactions: Interactions, now: NDArray[np.float64], position: IntArray, token: IntArray
) -> Histories:
    """Moves the events to the left, over the gaps."""
    present = token != PADDING_TOKEN
    length = min(max(1, int(present.sum(axis=1).max(initial=0))), HISTORY_LENGTH)
    packed = np.argsort(~present, axis=1, kind="stable")[:, :length]
    token = np.take_along_axis(token, packed, axis=1)
    position = np.take_along_axis(position, packed, axis=1)
    present = token != PADDING_TOKEN
    age = encode_age(now[:, None] - interactions.event_time[position])
    event = np.where(present, interactions.event_code[position], 0)
    return Histories(token, event, np.where(present, age, np.float32(0)))


def _empty_histories(count: int) -> Histories:
    nothing = np.zeros((count, 1), np.int64)
    return Histories(nothing, nothing, nothing.astype(np.float32))


def _find_history_end(interactions: Interactions) -> IntArray:
    """Finds for every event one past the last event of its user that has the same time."""
    count = len(interactions.user_row)
    last = np.ones(count, np.bool_)
    last[:-1] = (np.diff(interactions.user_row) != 0) | (np.diff(interactions.event_time) != 0)
    ends = np.flatnonzero(last) + 1
    return ends[np.searchsorted(ends, np.arange(count), side="right")]
