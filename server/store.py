"""The embedded store of users: SQLite in WAL mode, read by primary key from the threads that take calls."""

import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from index.features import EVENT_TYPES, Event
from server.errors import AssumedDataError, StartError, StoreError, StoreReadError
from server.profiles import load_profile

FORMAT_VERSION: Final = 1
APPLICATION_ID: Final = 0x50525544  # "PRUD"
HISTORY_COUNT_MAX: Final = 200
PRODUCT_COUNT_MAX: Final = 1000

SCHEMA: Final = f"""
CREATE TABLE users (
  user_id TEXT PRIMARY KEY NOT NULL,
  profile TEXT NOT NULL,
  assumed TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
  user_id TEXT NOT NULL,
  event_time REAL NOT NULL,
  product_id TEXT NOT NULL,
  event_type INTEGER NOT NULL,
  PRIMARY KEY (user_id, event_time, product_id, event_type)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
"""

_Identity = tuple[int, int]
"""Device and inode: a file put in place of another has its own."""

_READ_ASSUMED: Final = "SELECT 1 FROM users WHERE assumed <> '[]' LIMIT 1"
_READ_USER: Final = "SELECT profile, assumed FROM users WHERE user_id = ?"
# The import keeps at most HISTORY_COUNT_MAX + PRODUCT_COUNT_MAX events of a user, so this needs
# no limit of its own.
_READ_HISTORY: Final = "SELECT product_id, event_type, event_time FROM history WHERE user_id = ?"


@dataclass(frozen=True, slots=True)
class StoredUser:
    """One user as the store knows them; `assumed_fields` were filled by assumption."""

    profile: Mapping[str, Any]
    assumed_fields: tuple[str, ...]
    history: tuple[Event, ...]


class Store:
    """Reads users. Each thread has a connection of its own; all of them are read-only.

    An import may put another file in place while the store is open: the next read of every thread is from the
    new one, so that a new block never waits for a restart.
    """

    def __init__(self, path: Path, *, allow_assumed: bool = True) -> None:
        """Opens the store.

        Args:
            path: the SQLite file.
            allow_assumed: whether profiles with assumed values may be read.

        Raises:
            StoreError: there is no store at the path, or it is corrupt or of another version.
            AssumedDataError: it holds assumed values, and that is not allowed.
        """
        self._path = path
        self._name = str(path)
        self._allow_assumed = allow_assumed
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._proven: tuple[_Identity, StartError | None] | None = None
        if not path.is_file():
            raise StoreError(f"store {path}: no such file; `python -m server import-users` writes one")
        try:
            self._connect()
        except sqlite3.Error as error:
            raise StoreError(f"store {path}: SQLite cannot read it: {error}") from error

    def find(self, user_id: str) -> StoredUser | None:
        """Returns the user, None where the store does not know the id.

        Raises:
            StoreReadError: the store failed.
        """
        found, events = self._fetch(user_id, _READ_USER, _READ_HISTORY)
        if not found:
            return None
        profile, assumed = found[0]
        return StoredUser(
            profile=load_profile(profile),
            assumed_fields=tuple(json.loads(assumed)) if assumed != "[]" else (),
            history=tuple(
                [
                    Event(product_id, EVENT_TYPES[event_type - 1], event_time)
                    for product_id, event_type, event_time in events
                ]
            ),
        )

    def find_profile(self, user_id: str) -> Mapping[str, Any] | None:
        """Returns the user's profile alone; raises as `find` does."""
        (found,) = self._fetch(user_id, _READ_USER)
        return load_profile(found[0][0]) if found else None

    def holds_assumed(self) -> bool:
        """Tells whether any user has a field that was assumed."""
        return self._connect().execute(_READ_ASSUMED).fetchone() is not None

    def close(self) -> None:
        """Closes every thread's connection; no call may be running."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, user_id: str, *queries: str) -> list[list[tuple[Any, ...]]]:
        try:
            connection = self._connect()
            return [connection.execute(query, (user_id,)).fetchall() for query in queries]
        except (sqlite3.Error, OSError, StartError) as error:
            raise StoreReadError("the store failed") from error

    def _connect(self) -> sqlite3.Connection:
        """Returns this thread's connection to the file that is at the path now."""
        status = os.stat(self._name)  # noqa: PTH116 - a third of what Path.stat takes, for every request.
        identity = (status.st_dev, status.st_ino)
        if getattr(self._local, "identity", None) != identity:
            self._reopen(identity)
        connection: sqlite3.Connection = self._local.connection
        return connection

    def _reopen(self, identity: _Identity) -> None:
        """Opens the file for this thread; the first thread to see a file proves it for all."""
        # Closing happens on another thread than use, after all use has ended.
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )
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
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != APPLICATION_ID:
            return StoreError(f"store {self._path}: an SQLite file, but no store of users")
        if version != FORMAT_VERSION:
            return StoreError(f"store {self._path}: expected format {FORMAT_VERSION}, got {version}")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            return StoreError(f"store {self._path}: corrupt: {verdict}")
        assumed = connection.execute(_READ_ASSUMED).fetchone() is not None
        if assumed and not self._allow_assumed:
            return AssumedDataError(
                f"store {self._path}: profiles hold assumed values; --allow-assumed serves it"
            )
        return None
