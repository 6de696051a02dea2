"""Brings the file of an embedded store from the format before to this one, whole or not at all.

Format 3 kept each event of a history in a row of its own.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from index.features import Event
from server.errors import StoreError
from server.users.packed_history import merge_events, pack_history
from server.users.sqlite_place import open_file
from server.users.sqlite_schema import FORMAT_VERSION, USERS, check_pages, read_version

FORMAT_BEFORE: Final = 3

_READ_HISTORY: Final = "SELECT product_id, event_type, event_time FROM history WHERE pseudonym = ?"


def upgrade_file(path: Path) -> None:
    """Rewrites a file of the format before; leaves any other as it is.

    A server of the version before that still has the file open can read and write it no longer.

    Raises:
        StoreError: it is no store, or corrupt.
        sqlite3.Error: it cannot be read or written.
    """
    with closing(open_file(path, writable=True)) as connection:
        if read_version(connection, path) != FORMAT_BEFORE:
            return
        check_pages(connection, path)
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another server may have done it meanwhile.
            if read_version(connection, path) == FORMAT_BEFORE:
                _rewrite(connection)
            connection.execute("COMMIT")
        except KeyError as error:
            raise StoreError(f"store {path}: corrupt: a history has an event of type {error}") from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _rewrite(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE users RENAME TO users_before")
    connection.execute(USERS)
    for row in connection.execute("SELECT * FROM users_before"):
        events = map(Event._make, connection.execute(_READ_HISTORY, row[:1]).fetchall())
        packed = pack_history(merge_events((), events))
        connection.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, packed))
    connection.execute("DROP TABLE users_before")
    connection.execute("DROP TABLE history")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
