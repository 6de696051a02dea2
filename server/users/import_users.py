"""Fills a store from a profiles table and an interactions table (Parquet), whole or not at all."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from index.features import Event
from server.errors import StoreError, StoreRowError
from server.users.import_tables import (
    EventRow,
    ImportCounts,
    Progress,
    iterate_events,
    iterate_users,
    read_interactions,
    read_profiles,
)
from server.users.packed_history import add_events, merge_events, pack_history, unpack_history
from server.users.pseudonyms import Pseudonyms
from server.users.records import encode_state
from server.users.sqlite_place import hold_place, list_companions, open_file, put_in_place
from server.users.sqlite_schema import OLDER_VERSIONS, check_file, check_keys, create_file, read_version
from server.users.sqlite_upgrade import upgrade_file

_WRITE_USER: Final = "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, '[]', x'')"
_WRITE_HISTORY: Final = """
INSERT INTO users VALUES (?, 1, NULL, '[]', 0, 0, '[]', ?)
ON CONFLICT (pseudonym) DO UPDATE SET history = excluded.history
"""
_COUNT_USERS: Final = "SELECT count(*) FROM users"
_IS_STORED: Final = "SELECT 1 FROM users WHERE pseudonym = ?"
# What the store that is replaced knows better than any table: who was erased, who is on hold, what was
# hidden, and what happened after the tables end. Holds and choices stay also of users whom the tables lack: a
# profile that comes inline must still find them. Versions go on from where it was, so that nobody who read
# the old profile can change the new one unseen.
_CARRY_OVER: Final = """
BEGIN;
INSERT INTO tombstones SELECT * FROM before.tombstones;
INSERT OR IGNORE INTO keys SELECT * FROM before.keys;
INSERT INTO event_ids SELECT * FROM before.event_ids;
DELETE FROM users WHERE pseudonym IN (SELECT pseudonym FROM tombstones);
INSERT OR IGNORE INTO users SELECT pseudonym, 0, NULL, '[]', flags, 0, hidden, x'' FROM before.users
  WHERE flags <> 0 OR hidden <> '[]';
UPDATE users SET hidden = old.hidden, flags = old.flags, history = add_later(users.history, old.history)
  FROM before.users AS old WHERE users.pseudonym = old.pseudonym;
INSERT INTO answers SELECT * FROM before.answers WHERE pseudonym IN (SELECT pseudonym FROM users);
INSERT OR REPLACE INTO counters SELECT name, value + (name = 'version') FROM before.counters;
UPDATE users SET version = (SELECT value FROM counters WHERE name = 'version');
COMMIT;
"""


def import_users(
    profiles: Path,
    interactions: Path,
    store: Path,
    pseudonyms: Pseudonyms,
    *,
    force: bool,
    on_progress: Progress,
) -> ImportCounts:
    """Builds a store beside the target and renames it into place.

    Of a store that is replaced, erasures, holds, hidden products and answers to idempotency keys are kept: an
    erased user does not come back, whatever the tables say, and who is on hold stays so, even if the tables
    lack them.

    Args:
        profiles: Parquet table: `user_id`, suitability's user fields, `assumed`.
        interactions: Parquet table: user_id, product_id, event_type, event_time.
        store: the file to write.
        pseudonyms: what the users are stored under.
        force: whether an existing store is replaced.
        on_progress: called after each batch.

    Raises:
        StoreError: an input is missing or wrong, the target exists, or it cannot be written.
        PseudonymKeyError: the store that is replaced was written with other keys.
    """
    if store.exists() and not force:
        raise StoreError(f"store {store}: already there; --force replaces it")
    users = read_profiles(profiles)
    events = read_interactions(interactions)
    draft = store.with_name(f".{store.name}.{os.getpid()}.draft")
    try:
        create_file(draft, pseudonyms)
        with _open_before(store, pseudonyms) as before:
            namer = _Namer(before, pseudonyms)
            counts = _write(draft, users, events, namer, on_progress)
            _put_in_place(draft, store, before, last_s=(pc.max(events["event_time"]).as_py() or 0) / 1e6)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"store {store}: cannot be written: {error}") from error
    finally:
        for leftover in (draft, *list_companions(draft)):
            # Where nothing could be written there may be no folder to remove it from.
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
    return counts


@contextlib.contextmanager
def _open_before(store: Path, pseudonyms: Pseudonyms) -> Iterator[sqlite3.Connection | None]:
    """Opens the store that is replaced; None where there is none, or one of a format that knew no erasure.

    Raises:
        StoreError: there is something else, so that nobody can say who was erased.
    """
    if not store.exists():
        yield None
        return
    connection = open_file(store, writable=True)
    try:
        if read_version(connection, store) in OLDER_VERSIONS:
            yield None
            return
        upgrade_file(store)
        check_file(connection, store)
        keys = dict(connection.execute("SELECT epoch, fingerprint FROM keys").fetchall())
        check_keys(keys, pseudonyms, f"store {store}")
        yield connection
    finally:
        connection.close()


class _Namer:
    """Gives each user the pseudonym that they have: in the store that is replaced, or else a new one."""

    def __init__(self, before: sqlite3.Connection | None, pseudonyms: Pseudonyms) -> None:
        self._before = before if len(pseudonyms.fingerprints) > 1 else None
        self._pseudonyms = pseudonyms
        rows = [] if before is None else before.execute("SELECT pseudonym FROM tombstones").fetchall()
        self.erased = {row[0] for row in rows}
        # Events come sorted by user.
        self.name = lru_cache(1)(self._name)

    def _name(self, user_id: str) -> bytes:
        if self._before is not None:
            for name in self._pseudonyms.derive_all(user_id):
                if name in self.erased or self._before.execute(_IS_STORED, (name,)).fetchone():
                    return name
        return self._pseudonyms.derive(user_id)


def _write(
    draft: Path, users: pa.Table, events: pa.Table, namer: _Namer, on_progress: Progress
) -> ImportCounts:
    connection = sqlite3.connect(draft)
    try:
        with connection:
            _insert_users(connection, users, namer, on_progress)
            with_profile_count = connection.execute(_COUNT_USERS).fetchone()[0]
            event_count, left_out = _insert_events(connection, events, namer, on_progress)
            user_count = connection.execute(_COUNT_USERS).fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return ImportCounts(user_count, user_count - with_profile_count, event_count, left_out)


def _insert_users(
    connection: sqlite3.Connection, users: pa.Table, namer: _Namer, on_progress: Progress
) -> None:
    done = 0
    for batch in iterate_users(users):
        try:
            named = [(namer.name(user_id), state) for user_id, state in batch]
            rows = [(name, *encode_state(state)) for name, state in named if name not in namer.erased]
            connection.executemany(_WRITE_USER, rows)
        except sqlite3.IntegrityError as error:
            raise StoreError(f"profiles: user_id given twice near row {done}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(f"profiles: expected columns of the documented types: {error}") from error
        done += len(batch)
        on_progress("users", done, users.num_rows)


def _insert_events(
    connection: sqlite3.Connection, events: pa.Table, namer: _Namer, on_progress: Progress
) -> tuple[int, int]:
    """Writes histories; returns how many events they hold, and how many older ones were left out."""
    left_out = event_count = 0

    def read_rows() -> Iterator[EventRow]:
        nonlocal left_out
        done = 0
        for row_count, kept in iterate_events(events):
            yield from kept
            done += row_count
            left_out += row_count - len(kept)
            on_progress("events", done, events.num_rows)

    for user_id, rows in groupby(read_rows(), key=attrgetter("user_id")):
        name = namer.name(user_id)
        if name in namer.erased:
            continue
        history = merge_events((), [Event(row.product_id, row.event_type, row.event_time_s) for row in rows])
        connection.execute(_WRITE_HISTORY, (name, pack_history(history)))
        event_count += len(history)
    return event_count, left_out


def _put_in_place(draft: Path, store: Path, before: sqlite3.Connection | None, *, last_s: float) -> None:
    """Takes over what the store before knows better, and puts the draft where it is.

    The store before is locked meanwhile: what was written to it until then is taken over, and what waits is
    written to the new one.
    """

    def add_later(packed: bytes, packed_before: bytes) -> bytes:
        """Adds to a history what happened after the tables end; what cannot be read is not taken over."""
        try:
            known = unpack_history(packed_before)
        except StoreRowError:
            return packed
        return add_events(packed, [event for event in known if event.event_time > last_s])

    with hold_place(store, alone=True):
        if before is not None:
            before.execute("BEGIN IMMEDIATE")
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                connection.create_function("add_later", 2, add_later, deterministic=True)
                connection.execute("ATTACH ? AS before", (str(store.absolute()),))
                connection.executescript(_CARRY_OVER)
                connection.execute("DETACH before")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        put_in_place(draft, store)
        if before is not None:
            before.execute("ROLLBACK")
