"""The embedded store of users: SQLite in WAL mode, read by the threads of calls, written by its own."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from server.errors import (
    AssumedDataError,
    StartError,
    StoreError,
    StoreReadError,
    StoreWriteError,
    UserErasedError,
)
from server.users import sqlite_events
from server.users.group_commit import GroupWriter
from server.users.packed_history import unpack_history
from server.users.pseudonyms import Names, Pseudonyms
from server.users.records import FirstAnswer, decide, decode_ids, decode_state, encode_state
from server.users.sqlite_place import check_place, open_file
from server.users.sqlite_schema import READ_ASSUMED, check_file, check_keys, write_keys
from server.users.sqlite_upgrade import upgrade_file
from server.users.store import (
    ANSWER_DAYS,
    Changed,
    EventOutcome,
    ProfileChange,
    ScreenedEvent,
    StoredUser,
    UserEvent,
    UserState,
)

_Identity = tuple[int, int]
"""Device and inode: a file put in place of another has its own."""
_DAY_US: Final = 86_400_000_000

_READ_USER: Final = """
SELECT version, profile, assumed, flags, update_time_us, hidden, history FROM users WHERE pseudonym = ?
"""
_READ_STATE: Final = "SELECT version, profile, assumed, flags, update_time_us FROM users WHERE pseudonym = ?"
_READ_TOMBSTONE: Final = "SELECT time_us FROM tombstones WHERE pseudonym = ?"
_READ_ANSWER: Final = """
SELECT request_digest, version, update_time_us FROM answers WHERE pseudonym = ? AND idempotency_digest = ?
"""
_WRITE_USER: Final = """
INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, '[]', x'')
ON CONFLICT (pseudonym) DO UPDATE SET version = excluded.version, profile = excluded.profile,
  assumed = excluded.assumed, flags = excluded.flags, update_time_us = excluded.update_time_us
"""
_NEXT_VERSION: Final = "UPDATE counters SET value = value + 1 WHERE name = 'version' RETURNING value"


class SqliteStore:
    """Keeps users in one file; a `UserStore`.

    Each thread reads through a connection of its own. Writes go through one thread, which makes as many
    durable at once as have arrived. An import may put another file in place while the store is open: the next
    read and the next write are of the new one, so that a new block never waits for a restart.
    """

    def __init__(self, path: Path, pseudonyms: Pseudonyms, *, allow_assumed: bool = True) -> None:
        """Opens the store, and brings a file of the format before to this one.

        Args:
            path: the SQLite file.
            pseudonyms: what names its users; they must be those that it was written with.
            allow_assumed: whether profiles with assumed values may be read.

        Raises:
            StoreError: there is no store at the path, or it is corrupt or of another version.
            PseudonymKeyError: it was written with other keys.
            AssumedDataError: it holds assumed values, and that is not allowed.
        """
        self._path = path
        self._name = str(path)
        self._pseudonyms = pseudonyms
        self._allow_assumed = allow_assumed
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._proven: tuple[_Identity, StartError | None] | None = None
        self._written: tuple[_Identity, sqlite3.Connection] | None = None
        check_place(path)
        try:
            upgrade_file(path)
            self._connect()
            self._transact(partial(write_keys, pseudonyms=pseudonyms))
        except sqlite3.Error as error:
            raise StoreError(f"store {path}: SQLite cannot use it: {error}") from error
        self._writer: GroupWriter[sqlite3.Connection] = GroupWriter(self._transact_or_fail)

    def find(self, names: Names, *, with_history: bool = True) -> StoredUser | None:
        """Finds a user, as `UserStore.find` has it."""
        try:
            connection = self._connect()
            for name in names:
                row = connection.execute(_READ_USER, (name,)).fetchone()
                if row is not None:
                    return _make_user(name, row, with_history=with_history)
        except (sqlite3.Error, OSError, StartError) as error:
            raise StoreReadError("the store of users cannot be read; retry later") from error
        return None

    def is_erased(self, names: Names) -> bool:
        """Tells whether the user was erased, as `UserStore.is_erased` has it."""
        return any(self._fetch(_READ_TOMBSTONE, (name,)) for name in names)

    def change(self, change: ProfileChange) -> Changed:
        """Changes one user's state, as `UserStore.change` has it."""
        return self._writer.run(partial(_change, change=change))

    def erase(self, names: Names, time_us: int) -> int:
        """Erases a user, as `UserStore.erase` has it."""
        first_us = self._writer.run(partial(_erase, names=names, time_us=time_us))
        self._empty_log()
        return first_us

    def screen_events(self, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
        """Screens events, as `UserStore.screen_events` has it."""
        try:
            return sqlite_events.screen(self._connect(), batch)
        except (sqlite3.Error, OSError, StartError) as error:
            raise StoreReadError("the store of users cannot be read; retry later") from error

    def append_events(
        self, batch: Sequence[UserEvent], *, log_id: str, log_position: int
    ) -> list[EventOutcome]:
        """Applies events, as `UserStore.append_events` has it."""
        return self._writer.run(
            partial(sqlite_events.append, batch=batch, log_id=log_id, log_position=log_position)
        )

    def applied_position(self, log_id: str) -> int:
        """Returns a log's position, as `UserStore.applied_position` has it."""
        found = self._fetch("SELECT value FROM counters WHERE name = ?", (f"log {log_id}",))
        return int(found[0][0]) if found else 0

    def erased_names(self) -> Iterator[bytes]:
        """Yields the erased, as `UserStore.erased_names` has it."""
        return iter([row[0] for row in self._fetch("SELECT pseudonym FROM tombstones", ())])

    def holds_assumed(self) -> bool:
        """Tells whether any user has a field that was assumed."""
        return bool(self._fetch(READ_ASSUMED, ()))

    def close(self) -> None:
        """Makes durable what waits, and closes every connection; no call may be running."""
        self._writer.close()
        with self._lock:
            if self._written is not None:
                self._written[1].close()
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _empty_log(self) -> None:
        """Takes what was erased out of the file's log, too, unless somebody reads it right now."""
        with (
            suppress(sqlite3.Error, OSError, StoreError),
            closing(open_file(self._path, writable=True)) as file,
        ):
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _fetch(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connect().execute(query, values).fetchall()
        except (sqlite3.Error, OSError, StartError) as error:
            raise StoreReadError("the store of users cannot be read; retry later") from error

    def _connect(self) -> sqlite3.Connection:
        """Returns this thread's connection to the file that is at the path now."""
        identity = self._identify()
        if getattr(self._local, "identity", None) != identity:
            self._reopen(identity)
        connection: sqlite3.Connection = self._local.connection
        return connection

    def _identify(self) -> _Identity:
        status = os.stat(self._name)  # noqa: PTH116 - a third of what Path.stat takes, for every request.
        return status.st_dev, status.st_ino

    def _reopen(self, identity: _Identity) -> None:
        """Opens the file for this thread; the first thread to see a file proves it for all."""
        connection = open_file(self._path, writable=False)
        with self._lock:
            replaced: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if replaced is not None:
                self._connections.remove(replaced)
                replaced.close()
            self._local.connection, self._local.identity = connection, None
            self._connections.append(connection)
            if self._proven is None or self._proven[0] != identity:
                self._proven = (identity, self._find_fault(connection))
            fault = self._proven[1]
        if fault is not None:
            # Every raise of the same exception would lengthen its traceback.
            raise fault.with_traceback(None)
        self._local.identity = identity

    def _find_fault(self, connection: sqlite3.Connection) -> StartError | None:
        try:
            check_file(connection, self._path)
            keys = dict(connection.execute("SELECT epoch, fingerprint FROM keys").fetchall())
            check_keys(keys, self._pseudonyms, f"store {self._path}")
        except StartError as fault:
            return fault
        assumed = connection.execute(READ_ASSUMED).fetchone() is not None
        if assumed and not self._allow_assumed:
            return AssumedDataError(
                f"store {self._path}: profiles hold assumed values; --allow-assumed serves it"
            )
        return None

    def _transact_or_fail(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            # The file that is there now must be one that may be read: what it is was proven by reading it.
            self._connect()
            self._transact(work)
        except (sqlite3.Error, OSError, StartError) as error:
            raise StoreWriteError("the store of users cannot be written; retry later") from error

    def _transact(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Runs a function in one transaction on the file at the path; returns once it is on disk."""
        while True:
            identity = self._identify()
            if self._written is None or self._written[0] != identity:
                if self._written is not None:
                    self._written[1].close()
                    self._written = None
                self._written = (identity, open_file(self._path, writable=True))
            connection = self._written[1]
            try:
                connection.execute("BEGIN IMMEDIATE")
                if self._identify() != identity:
                    # An import put its file in place while this waited: what is written here would be lost.
                    connection.execute("ROLLBACK")
                    continue
                work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return


def _make_user(name: bytes, row: tuple[Any, ...], *, with_history: bool) -> StoredUser:
    return StoredUser(
        pseudonym=name,
        state=decode_state(row[:5]),
        history=unpack_history(row[6]) if with_history else (),
        hidden_product_ids=frozenset(decode_ids(row[5])),
    )


def _change(connection: sqlite3.Connection, change: ProfileChange) -> Changed:
    now_us = time.time_ns() // 1000
    if any(_read_one(connection, _READ_TOMBSTONE, name) for name in change.names):
        raise UserErasedError("user_id: the user was erased; nothing is stored about them again")
    name, old = _find_state(connection, change.names)
    first = None
    if change.idempotency_digest is not None:
        found = _read_one(connection, _READ_ANSWER, name, change.idempotency_digest)
        first = None if found is None else FirstAnswer(found[0], Changed(found[1], found[2]))
    version = _read_one(connection, "SELECT value + 1 FROM counters WHERE name = 'version'")[0]
    state, changed = decide(change, old, first, version=version, time_us=now_us)
    if state is None:
        return changed
    connection.execute(_NEXT_VERSION)
    connection.execute(_WRITE_USER, (name, *encode_state(state)))
    if change.idempotency_digest is not None:
        connection.execute(
            "DELETE FROM answers WHERE pseudonym = ? AND update_time_us < ?",
            (name, now_us - ANSWER_DAYS * _DAY_US),
        )
        connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
            (name, change.idempotency_digest, change.request_digest, changed.version, changed.update_time_us),
        )
    return changed


def _erase(connection: sqlite3.Connection, names: Names, time_us: int) -> int:
    # The first erasure is the one that counts: repeating it changes nothing.
    found = [row[0] for name in names if (row := _read_one(connection, _READ_TOMBSTONE, name))]
    first_us: int = min([time_us, *found])
    for name in names:
        for table in ("users", "answers"):
            connection.execute(f"DELETE FROM {table} WHERE pseudonym = ?", (name,))  # noqa: S608 - ours.
        connection.execute("INSERT OR IGNORE INTO tombstones VALUES (?, ?)", (name, first_us))
    return first_us


def _find_state(connection: sqlite3.Connection, names: Names) -> tuple[bytes, UserState | None]:
    """Returns the name that the user is stored under and their state; of a new user, the newest name."""
    for name in names:
        row = _read_one(connection, _READ_STATE, name)
        if row is not None:
            return name, decode_state(row)
    return names[0], None


def _read_one(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    return connection.execute(query, values).fetchone()
