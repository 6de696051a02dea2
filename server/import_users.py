"""Fills a store from a profiles table and an interactions table (Parquet), whole or not at all."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index.features import EVENT_TYPES
from server.errors import StoreError
from server.profiles import dump_profile
from server.store import HISTORY_COUNT_MAX, PRODUCT_COUNT_MAX, SCHEMA

BATCH_ROW_COUNT: Final = 10_000

Progress = Callable[[str, int, int], None]
"""Told of a step's name, rows done and rows in all."""

_EVENT_COLUMNS: Final = ("user_id", "product_id", "event_type", "event_time")
_EVENT_NUMBERS: Final = {name: number for number, name in enumerate(EVENT_TYPES, start=1)}


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import did; of a user's events beyond the latest HISTORY_COUNT_MAX most are left out."""

    user_count: int
    user_without_profile_count: int
    event_count: int
    event_left_out_count: int


def import_users(
    profiles: Path, interactions: Path, store: Path, *, force: bool, on_progress: Progress
) -> ImportCounts:
    """Builds a store beside the target and renames it into place.

    Args:
        profiles: Parquet table: `user_id`, suitability's user fields, `assumed`.
        interactions: Parquet table: user_id, product_id, event_type, event_time.
        store: the file to write.
        force: whether an existing store is replaced.
        on_progress: called after each batch.

    Raises:
        StoreError: an input is missing or wrong, the target exists, or it cannot be written.
    """
    if store.exists() and not force:
        raise StoreError(f"store {store}: already there; --force replaces it")
    users = _read(profiles, ("user_id", "assumed"))
    events = _read(interactions, _EVENT_COLUMNS)
    draft = store.with_name(f".{store.name}.{os.getpid()}.draft")
    try:
        counts = _write(draft, users, events, on_progress)
        # A log of the file that was there would be read as the new one's.
        for leftover in _companions(store):
            leftover.unlink(missing_ok=True)
        draft.replace(store)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"store {store}: cannot be written: {error}") from error
    finally:
        for leftover in (draft, *_companions(draft)):
            # Where nothing could be written there may be no folder to remove it from.
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
    return counts


def _companions(store: Path) -> tuple[Path, ...]:
    return store.with_name(f"{store.name}-wal"), store.with_name(f"{store.name}-shm")


def _write(draft: Path, users: pa.Table, events: pa.Table, on_progress: Progress) -> ImportCounts:
    connection = sqlite3.connect(draft)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        with connection:
            _insert_users(connection, users, on_progress)
            left_out = _insert_events(connection, events, on_progress)
            added = connection.execute(
                "INSERT OR IGNORE INTO users SELECT DISTINCT user_id, '{}', '[]' FROM history"
            ).rowcount
        user_count = connection.execute("SELECT count(*) FROM users").fetchone()[0]
        event_count = connection.execute("SELECT count(*) FROM history").fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return ImportCounts(user_count, added, event_count, left_out)


def _insert_users(connection: sqlite3.Connection, users: pa.Table, on_progress: Progress) -> None:
    done = 0
    for batch in users.to_batches(max_chunksize=BATCH_ROW_COUNT):
        try:
            rows = [_user_row(record) for record in batch.to_pylist()]
            connection.executemany("INSERT INTO users VALUES (?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise StoreError(f"profiles: user_id missing or given twice near row {done}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(f"profiles: expected columns of the documented types: {error}") from error
        done += len(rows)
        on_progress("users", done, users.num_rows)


def _user_row(record: dict[str, Any]) -> tuple[str | None, str, str]:
    profile = {
        name: dict(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value
        for name, value in record.items()
    }
    for name in ("knowledge", "held_issuer"):
        # An empty map comes out of Parquet as an empty list.
        if profile.get(name) == []:
            profile[name] = {}
    assumed = json.dumps(sorted(record["assumed"] or ()), separators=(",", ":"))
    return record["user_id"], dump_profile(profile), assumed


def _insert_events(connection: sqlite3.Connection, events: pa.Table, on_progress: Progress) -> int:
    done = 0
    left_out = 0
    counter = _LatestEvents()
    for batch in events.to_batches(max_chunksize=BATCH_ROW_COUNT):
        rows = list(counter.keep(zip(*(column.to_pylist() for column in batch.columns), strict=True)))
        connection.executemany("INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)", rows)
        done += batch.num_rows
        left_out += batch.num_rows - len(rows)
        on_progress("events", done, events.num_rows)
    return left_out


class _LatestEvents:
    """Keeps the first events of each user in a stream sorted by user, then latest first.

    Beyond HISTORY_COUNT_MAX it keeps one event of each further product, so that a user is not offered again
    what they have.
    """

    def __init__(self) -> None:
        self._user_id: str | None = None
        self._count = 0
        self._product_ids: set[str] = set()

    def keep(self, rows: Iterator[tuple[str, str, str, int]]) -> Iterator[tuple[str, float, str, int]]:
        for user_id, product_id, event_type, event_time_us in rows:
            if None in (user_id, product_id, event_time_us):
                raise StoreError("interactions: user_id, product_id and event_time must not be missing")
            if event_type not in _EVENT_NUMBERS:
                raise StoreError(
                    f"interactions: expected one of {', '.join(EVENT_TYPES)}, got {event_type!r}"
                )
            if user_id != self._user_id:
                self._user_id, self._count, self._product_ids = user_id, 0, set()
            self._count += 1
            further = product_id not in self._product_ids and len(self._product_ids) < PRODUCT_COUNT_MAX
            self._product_ids.add(product_id)
            if further or self._count <= HISTORY_COUNT_MAX:
                yield user_id, event_time_us / 1e6, product_id, _EVENT_NUMBERS[event_type]


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
    if columns != _EVENT_COLUMNS:
        return table
    if not pa.types.is_timestamp(table.schema.field("event_time").type):
        raise StoreError(
            f"{path}: expected timestamps in event_time, got {table.schema.field('event_time').type}"
        )
    table = table.select(list(columns))
    microseconds = pc.cast(pc.cast(table["event_time"], pa.timestamp("us", "UTC")), pa.int64())
    table = table.set_column(3, "event_time", microseconds)
    return table.sort_by(
        [("user_id", "ascending"), ("event_time", "descending"), ("product_id", "ascending")]
    )
