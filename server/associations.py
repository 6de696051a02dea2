"""Finds the candidates that association rules name for a history, beside those that the search finds."""

from collections.abc import Sequence

import numpy as np

from index.associations import Suggestions
from index.features import HISTORY_LENGTH, Event
from server.snapshot import Snapshot


def suggest(snapshot: Snapshot, history: Sequence[Event]) -> Suggestions | None:
    """Returns what the bundle's rules suggest to a history, None where they suggest nothing.

    The products of the latest events count, as many as the user tower reads. Of products whose rules are
    equally confident the one seen last gives the reason, and of one time the one with the smaller id.
    """
    associations = snapshot.bundle.associations
    if associations is None or not history:
        return None
    find = snapshot.row_of.get
    latest = sorted(history, key=lambda event: (-event.event_time, event.product_id))
    rows = dict.fromkeys(row for event in latest if (row := find(event.product_id)) is not None)
    suggestions = associations.suggest(np.fromiter(rows, np.int64, len(rows))[:HISTORY_LENGTH])
    return suggestions if len(suggestions.rows) else None
