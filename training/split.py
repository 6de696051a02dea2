"""The temporal split: the model learns from what came first and is validated on what came after."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.histories import IntArray, Interactions, Targets, find_next, find_targets


@dataclass(frozen=True)
class Validation:
    """Holds what the validation users did after the split, and what they had done before it."""

    users: Targets  # one per validation user, at the time of that user's first event after the split
    pair_user: IntArray  # [pairs], position in `users`
    pair_item: IntArray  # [pairs], a product that is new to the user
    seen_user: IntArray  # [seen], position in `users`
    seen_item: IntArray  # [seen], a product of the user's past, never a candidate


@dataclass(frozen=True)
class Split:
    """Holds the two sides of a temporal split."""

    train: Interactions
    validation: Validation
    boundary: float  # no event of `train` is later, seconds since 1970-01-01 UTC; inf where none is held out


def split_by_time(interactions: Interactions, *, fraction: float, user_limit: int, seed: int) -> Split:
    """Puts the latest fraction of the (user, product) pairs into validation.

    Pairs are ordered by the time of their first event. Within one time (some sources have two-week
    resolution) the order is a seeded shuffle of pairs, so the boundary falls inside a tie only there. Events
    after the boundary, and all events of validation pairs, are kept from training.
    """
    targets = find_targets(interactions)
    shuffle = np.random.default_rng([seed, 0]).permutation(len(targets.user_row))
    order = np.lexsort((shuffle, targets.event_time))
    held = order[len(order) - round(fraction * len(order)) :]
    boundary = targets.event_time[held].min() if len(held) else np.inf
    pair = interactions.user_row * interactions.item_count + interactions.item_row
    held_pair = targets.user_row[held] * interactions.item_count + targets.item_row[held]
    train = interactions.take((interactions.event_time <= boundary) & ~np.isin(pair, held_pair))
    validation = _make_validation(train, targets, held, user_limit=user_limit, seed=seed)
    return Split(train, validation, float(boundary))


def _make_validation(
    train: Interactions, targets: Targets, held: IntArray, *, user_limit: int, seed: int
) -> Validation:
    users, position = np.unique(targets.user_row[held], return_inverse=True)
    first_time = np.full(len(users), np.inf)
    np.minimum.at(first_time, position, targets.event_time[held])
    if len(users) > user_limit:
        chosen = np.sort(np.random.default_rng([seed, 1]).permutation(len(users))[:user_limit])
        users, first_time = users[chosen], first_time[chosen]
    pair_user, pair_item = _locate(users, targets.user_row[held], targets.item_row[held])
    seen_user, seen_item = _locate(users, train.user_row, train.item_row)
    return Validation(find_next(train, users, first_time), pair_user, pair_item, seen_user, seen_item)


def _locate(users: IntArray, user_row: IntArray, item_row: IntArray) -> tuple[IntArray, IntArray]:
    """Keeps the pairs of given users (ascending) and replaces each user by its position among them."""
    kept: NDArray[np.bool_] = np.isin(user_row, users)
    return np.searchsorted(users, user_row[kept]), item_row[kept]
