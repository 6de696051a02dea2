"""Draws columns with realistic gaps: missing values, weighted choices, days around the clock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DAY_US: Final = 86_400_000_000


def with_gaps(values: Any, share: float, rng: np.random.Generator) -> Any:
    """Returns the values as an Arrow array in which about `share` of them are missing."""
    array = to_arrow(values)
    return keep_where(array, rng.random(len(array)) >= share)


def keep_where(array: Any, present: npt.NDArray[np.bool_]) -> Any:
    """Returns the Arrow array with the values that are not present made missing."""
    return array.take(pa.array(np.arange(len(array)), mask=~present))


def to_arrow(values: Any) -> Any:
    """Returns the values as an Arrow array."""
    return values if isinstance(values, pa.Array) else pa.array(values)


def choose(
    options: Sequence[Any], weights: Sequence[float], count: int, rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Draws `count` of the options; the weights need not sum to 1."""
    shares = np.asarray(weights, dtype=np.float64)
    picks = rng.choice(len(options), size=count, p=shares / shares.sum())
    table = np.empty(len(options), dtype=object)
    table[:] = list(options)
    return table[picks]


def days_from(now: datetime, days: npt.NDArray[np.int64]) -> Any:
    """Returns instants so many days after the clock, timestamp[us, UTC]."""
    origin = int(now.timestamp()) * 1_000_000
    return pa.array(origin + days * DAY_US, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def dates_from(now: datetime, days: npt.NDArray[np.int64]) -> Any:
    """Returns dates so many days after the clock's day, date32."""
    origin = now.date().toordinal() - 719_163  # Ordinal of 1970-01-01.
    return pa.array((origin + days).astype(np.int32), pa.int32()).cast(pa.date32())
