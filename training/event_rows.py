"""Turns a table of events into positions: which user, which product, which type, when, and how liked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from index.features import EVENT_TYPES
from training.errors import SchemaError
from training.histories import IntArray, Interactions, sort_interactions

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class EventRanges:
    """Holds what reading one event depends on in all others.

    Attributes:
        latest: the latest event, microseconds since 1970-01-01 UTC.
        rating_low, rating_high: the lowest and the highest rating.
        dated: whether times are known; where not, all events are taken to be of the latest time.
    """

    latest: int = -(2**63)
    rating_low: float = np.inf
    rating_high: float = -np.inf
    dated: bool = True

    def widen(self, events: pa.Table) -> "EventRanges":
        """Returns the ranges of these events and those."""
        rated = pc.fill_null(events["weight"].filter(pc.equal(events["event_type"], "rating")), 1.0)
        found = pc.min_max(rated).as_py()
        latest = pc.max(events["event_time"].cast(pa.int64())).as_py()
        return EventRanges(
            latest=self.latest if latest is None else max(self.latest, latest),
            rating_low=self.rating_low if found["min"] is None else min(self.rating_low, found["min"]),
            rating_high=self.rating_high if found["max"] is None else max(self.rating_high, found["max"]),
            dated=self.dated,
        )


def locate_events(
    events: pa.Table, user_ids: Sequence[str], product_ids: Sequence[str], ranges: EventRanges
) -> Interactions:
    """Replaces ids by positions and sorts.

    Args:
        events: a table of the interactions' schema.
        user_ids: all users that the events name.
        product_ids: all products, in catalogue order.
        ranges: those of all events, of which these may be a part.

    Raises:
        SchemaError: an event names a user, product or type that is unknown.
    """
    rows = {
        name: _locate(events[name], values, name)
        for name, values in (("user_id", user_ids), ("product_id", product_ids), ("event_type", EVENT_TYPES))
    }
    microseconds = events["event_time"].cast(pa.int64()).to_numpy()
    if not ranges.dated:
        microseconds = np.full(len(microseconds), ranges.latest)
    weight = pc.fill_null(events["weight"], 1.0).to_numpy()
    liking = _read_liking(rows["event_type"] == EVENT_TYPES.index("rating"), weight, ranges)
    if "confidence" in events.column_names:
        liking *= pc.fill_null(events["confidence"], 1.0).to_numpy()
    return sort_interactions(
        rows["user_id"],
        rows["product_id"],
        rows["event_type"] + 1,
        microseconds / 1e6,
        liking=liking,
        user_count=len(user_ids),
        item_count=len(product_ids),
    )


def _read_liking(
    rated: NDArray[np.bool_], weight: NDArray[np.float32], ranges: EventRanges
) -> NDArray[np.float32]:
    """Reads how far events show liking: a rating by its place between the lowest and the highest one.

    Every other event counts in full, and so does a rating where all are equal.
    """
    liking = np.ones(len(weight), np.float32)
    low, high = np.float32(ranges.rating_low), np.float32(ranges.rating_high)
    if high > low:
        liking[rated] = (weight[rated] - low) / (high - low)
    return liking


def _locate(column: Any, values: Sequence[str], name: str) -> IntArray:
    """Replaces each value of a column by its position among the known values."""
    position = pc.index_in(column, value_set=pa.array(values, pa.string()))
    if position.null_count:
        unknown = column.filter(pc.is_null(position))[0].as_py()
        raise SchemaError(f"interactions.parquet: {name} {unknown!r} is unknown; expected a known one")
    located: IntArray = position.to_numpy().astype(np.int64)
    return located
