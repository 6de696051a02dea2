"""Reads the tables that a store of users is filled from: profiles and interactions, in Parquet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index.features import EVENT_TYPES
from server.errors import StoreError
from server.users.store import HISTORY_COUNT_MAX, PRODUCT_COUNT_MAX, UserState

BATCH_ROW_COUNT: Final = 10_000

_EVENT_COLUMNS: Final = ("user_id", "product_id", "event_type", "event_time")


Progress = Callable[[str, int, int], None]
"""Told of a step's name, rows done and rows in all."""


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import did; of a user's events beyond the latest HISTORY_COUNT_MAX most are left out."""

    user_count: int
    user_without_profile_count: int
    event_count: int
    event_left_out_count: int


class EventRow(NamedTuple):
    """One event to keep; `event_type` is one of `index.features.EVENT_TYPES`."""

    user_id: str
    event_time_s: float
    product_id: str
    event_type: str


def read_profiles(path: Path) -> pa.Table:
    """Reads a table of `user_id`, suitability's user fields, and `assumed`.

    Raises:
        StoreError: there is none, or it lacks a column.
    """
    return _read(path, ("user_id", "assumed"))


def iterate_users(profiles: pa.Table) -> Iterator[list[tuple[str, UserState]]]:
    """Yields batches of users.

    Raises:
        StoreError: a column has another type than documented, or a user_id is missing.
    """
    for batch in profiles.to_batches(max_chunksize=BATCH_ROW_COUNT):
        try:
            yield [_read_user(record) for record in batch.to_pylist()]
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(f"profiles: expected columns of the documented types: {error}") from error


def _read_user(record: dict[str, Any]) -> tuple[str, UserState]:
    if record["user_id"] is None:
        raise StoreError("profiles: user_id must not be missing")
    profile = {
        name: dict(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value
        for name, value in record.items()
    }
    for name in ("knowledge", "held_issuer"):
        # An empty map comes out of Parquet as an empty list.
        if profile.get(name) == []:
            profile[name] = {}
    return record["user_id"], UserState(
        version=1, profile=profile, assumed_fields=tuple(record["assumed"] or ())
    )


def read_interactions(path: Path) -> pa.Table:
    """Reads a table of interactions, sorted by user, then latest first; times in microseconds since 1970.

    Raises:
        StoreError: there is none, or it lacks a column, or event_time is no time.
    """
    table = _read(path, _EVENT_COLUMNS).select(list(_EVENT_COLUMNS))
    if not pa.types.is_timestamp(table.schema.field("event_time").type):
        raise StoreError(
            f"{path}: expected timestamps in event_time, got {table.schema.field('event_time').type}"
        )
    microseconds = pc.cast(pc.cast(table["event_time"], pa.timestamp("us", "UTC")), pa.int64())
    table = table.set_column(3, "event_time", microseconds)
    return table.sort_by(
        [("user_id", "ascending"), ("event_time", "descending"), ("product_id", "ascending")]
    )


def iterate_events(interactions: pa.Table) -> Iterator[tuple[int, list[EventRow]]]:
    """Yields, for each batch of the table, how many rows it has and those to keep.

    Raises:
        StoreError: a value is missing, or an event is of an unknown type.
    """
    counter = _LatestEvents()
    for batch in interactions.to_batches(max_chunksize=BATCH_ROW_COUNT):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        yield batch.num_rows, list(counter.keep(rows))


class _LatestEvents:
    """Keeps the first events of each user in a stream sorted by user, then latest first.

    Beyond HISTORY_COUNT_MAX it keeps one event of each further product, so that a user is not offered again
    what they have.
    """

    def __init__(self) -> None:
        self._user_id: str | None = None
        self._count = 0
        self._product_ids: set[str] = set()

    def keep(self, rows: Iterator[tuple[str, str, str, int]]) -> Iterator[EventRow]:
        for user_id, product_id, event_type, event_time_us in rows:
            if None in (user_id, product_id, event_time_us):
                raise StoreError("interactions: user_id, product_id and event_time must not be missing")
            if event_type not in EVENT_TYPES:
                raise StoreError(
                    f"interactions: expected one of {', '.join(EVENT_TYPES)}, got {event_type!r}"
                )
            if user_id != self._user_id:
                self._user_id, self._count, self._product_ids = user_id, 0, set()
            self._count += 1
            further = product_id not in self._product_ids and len(self._product_ids) < PRODUCT_COUNT_MAX
            self._product_ids.add(product_id)
            if further or self._count <= HISTORY_COUNT_MAX:
                yield EventRow(user_id, event_time_us / 1e6, product_id, event_type)


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    if not path.exists():
        raise StoreError(f"{path}: expected a Parquet table, found nothing")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: expected a Parquet table: {error}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise StoreError(f"{path}: expected the column {missing[0]}, got {', '.join(table.column_names)}")
    return table
