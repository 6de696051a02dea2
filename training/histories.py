"""Interactions as arrays, and the histories and targets taken from them.

Everything is vectorised: a batch of histories is one gather, because the events of a user lie together,
oldest first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.features import FIRST_TOKEN, HISTORY_LENGTH, PADDING_TOKEN, encode_age

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Holds events sorted by user, time, item and type; build it with `sort_interactions`."""

    user_row: IntArray  # [events]
    item_row: IntArray  # [events], the product's position in the catalogue
    event_code: IntArray  # [events]
    event_time: NDArray[np.float64]  # [events], seconds since 1970-01-01 UTC
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
) -> Interactions:
    """Sorts events into the order that histories are cut from."""
    order = np.lexsort((event_code, item_row, event_time, user_row))
    offset = np.zeros(user_count + 1, np.int64)
    np.cumsum(np.bincount(user_row, minlength=user_count), out=offset[1:])
    return Interactions(
        user_row[order], item_row[order], event_code[order], event_time[order], offset, item_count
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
    user_row, end = targets.user_row[rows], targets.history_end[rows]
    start = interactions.user_offset[user_row]
    # Wide enough that HISTORY_LENGTH events are left when the target's own events are taken out.
    limit = HISTORY_LENGTH + int(targets.own_count[rows].max(initial=0))
    width = min(int((end - start).max(initial=0)), limit)
    position = end[:, None] - 1 - np.arange(max(width, 1))  # [batch, width]
    inside = position >= start[:, None]
    position[~inside] = 0
    if not len(interactions.item_row):
        return _empty_histories(len(rows))
    item_row = interactions.item_row[position]
    token = np.where(inside & (item_row != targets.item_row[rows, None]), row_tokens[item_row], PADDING_TOKEN)
    return _pack(interactions, targets.event_time[rows], position, token)


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
