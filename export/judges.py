"""Chooses the users who judge what fewer bits cost, and encodes them as the user tower's inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.features import EVENT_TYPES, HISTORY_LENGTH, Event, UserInputs, encode_profiles, encode_users
from training.examples import LearningData
from training.histories import IntArray, Interactions, Targets, cut_histories, find_next
from training.split import Validation, split_by_time
from training.trained import TrainedRun

CALIBRATION_COUNT: Final = 512
_PAIR_COUNT_MAX: Final = 400_000_000  # Users x products: half a minute of scores.


@dataclass(frozen=True)
class Judges:
    """Holds users with what they did next, if anybody did.

    Attributes:
        inputs: the user tower's inputs by name, each [users, ...].
        validation: their pasts, which are never listed, and their next products.
    """

    inputs: Mapping[str, NDArray[Any]]
    validation: Validation


def choose_judges(trained: TrainedRun, data: LearningData) -> Judges:
    """Takes the run's own validation users as they were at the split, or else its calibration users.

    Fewer of them judge a large catalogue, so that the time is bounded.
    """
    config = trained.config
    split = split_by_time(
        data.interactions,
        fraction=config.validation_fraction,
        user_limit=min(config.validation_user_limit, max(1, _PAIR_COUNT_MAX // len(data.products))),
        seed=config.seed,
    )
    users = split.validation.users
    if not len(users.user_row):
        return Judges(sample_users(trained, data).feed(), split.validation)
    return Judges(_encode(trained, data, split.train, users), split.validation)


def encode_now(trained: TrainedRun, data: LearningData, user_rows: IntArray) -> dict[str, NDArray[Any]]:
    """Encodes users with all that they did, as served at the data's end."""
    ends = np.full(len(user_rows), _find_end(data).timestamp())
    return _encode(trained, data, data.interactions, find_next(data.interactions, user_rows, ends))


def sample_users(trained: TrainedRun, data: LearningData) -> UserInputs:
    """Encodes up to CALIBRATION_COUNT users, evenly spread over the ids, as served at the data's end."""
    events = data.interactions
    count = min(CALIBRATION_COUNT, events.user_count)
    rows = np.linspace(0, events.user_count - 1, count).round().astype(np.int64)
    histories = []
    for row in rows:
        span = range(events.user_offset[row], events.user_offset[row + 1])
        histories.append(
            [
                Event(
                    data.products[events.item_row[place]]["id"],
                    EVENT_TYPES[events.event_code[place] - 1],
                    float(events.event_time[place]),
                )
                for place in span
            ]
        )
    profiles = [data.profiles[row] for row in rows]
    return encode_users(trained.spec, trained.vocabulary, profiles, histories, _find_end(data))


def _encode(
    trained: TrainedRun, data: LearningData, interactions: Interactions, users: Targets
) -> dict[str, NDArray[Any]]:
    """Encodes users at their targets' times as the user tower's inputs, each [users, ...]."""
    tokens = [trained.vocabulary.tokens.get(product["id"], 0) for product in data.products]
    rows = np.arange(len(users.user_row))
    histories = cut_histories(interactions, users, rows, np.array(tokens, np.int64))
    profiles = [data.profiles[row] for row in users.user_row]
    categorical, numeric = encode_profiles(trained.spec, profiles, _find_end(data))
    return {
        "history_token": _widen(histories.token),
        "history_event": _widen(histories.event),
        "history_age": _widen(histories.age),
        "user_categorical": categorical,
        "user_numeric": numeric,
    }


def _find_end(data: LearningData) -> datetime:
    return datetime.fromtimestamp(float(data.interactions.event_time.max()), UTC)


def _widen(values: NDArray[Any]) -> NDArray[Any]:
    """Pads histories, [users, length], to the width that the tower takes."""
    return np.pad(values, ((0, 0), (0, HISTORY_LENGTH - values.shape[1])))
