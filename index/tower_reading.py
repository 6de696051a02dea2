"""Says in plain values what the user tower reads of a user, so that a log can keep it. NumPy only."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from index.features import EVENT_TYPES, HISTORY_LENGTH, Event, FeatureSpec, Vocabulary
from index.fields import USER_CATEGORICAL, USER_NUMERIC, Record

_EVENT_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES, start=1)}


def read_history(vocabulary: Vocabulary, history: Sequence[Event]) -> list[Event]:
    """Returns the events that `encode_users` encodes, in its order: the latest first.

    Args:
        vocabulary: the tokens of the bundle.
        history: in any order.
    """
    tokens = vocabulary.tokens
    known = [event for event in history if event.product_id in tokens and event.event_type in _EVENT_CODES]
    known.sort(
        key=lambda event: (event.event_time, tokens[event.product_id], _EVENT_CODES[event.event_type]),
        reverse=True,
    )
    return known[:HISTORY_LENGTH]


def read_profile_features(spec: FeatureSpec, profile: Record, now: datetime) -> dict[str, str | float | None]:
    """Returns the features that the tower takes from a profile, by name; None where one is missing.

    Args:
        spec: the transforms of the bundle.
        profile: suitability's fields.
        now: the decision time.
    """
    features: dict[str, str | float | None] = {
        name: USER_CATEGORICAL[name](profile) for name in spec.user_categorical
    }
    for name in spec.user_numeric:
        value = USER_NUMERIC[name](profile, now)
        features[name] = value if value is not None and math.isfinite(value) else None
    return features
