"""The file of the embedded store: its tables, and the checks that one must pass before anything is read."""

import sqlite3
from pathlib import Path
from typing import Final

from server.errors import PseudonymKeyError, StoreError
from server.users.pseudonyms import Pseudonyms

FORMAT_VERSION: Final = 4
OLDER_VERSIONS: Final = (1, 2)
"""Formats that held user ids and no erasure; nothing is taken over from them."""
APPLICATION_ID: Final = 0x50525544  # "PRUD"

SCHEMA: Final = """
CREATE TABLE counters (
  name TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
  epoch INTEGER PRIMARY KEY NOT NULL,
  fingerprint TEXT NOT NULL
) STRICT;
CREATE TABLE event_ids (
  number INTEGER PRIMARY KEY NOT NULL,
  digest BLOB NOT NULL UNIQUE,
  time_us INTEGER NOT NULL
) STRICT;
CREATE TABLE answers (
  pseudonym BLOB NOT NULL,
  idempotency_digest BLOB NOT NULL,
  request_digest BLOB NOT NULL,
  version INTEGER NOT NULL,
  update_time_us INTEGER NOT NULL,
  PRIMARY KEY (pseudonym, idempotency_digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE tombstones (
  pseudonym BLOB PRIMARY KEY NOT NULL,
  time_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('version', 1);
"""

# A user's row has a number of its own: in a table WITHOUT ROWID one of more than 1,002 bytes, as most are, is
# cut, and read in two thirds more time.
USERS: Final = """
CREATE TABLE users (
  pseudonym BLOB PRIMARY KEY NOT NULL,
  version INTEGER NOT NULL,
  profile TEXT,
  assumed TEXT NOT NULL,
  flags INTEGER NOT NULL,
  update_time_us INTEGER NOT NULL,
  hidden TEXT NOT NULL,
  history BLOB NOT NULL
) STRICT
"""

READ_ASSUMED: Final = "SELECT 1 FROM users WHERE assumed <> '[]' LIMIT 1"


def create_file(path: Path, pseudonyms: Pseudonyms) -> None:
    """Writes a store without users.

    Raises:
        StoreError: it is there already, or cannot be written.
    """
    try:
        # Made here first, so that nobody else may read what it will hold.
        path.touch(mode=0o600, exist_ok=False)
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
            connection.execute(USERS)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            with connection:
                write_keys(connection, pseudonyms)
        finally:
            connection.close()
    except FileExistsError:
        raise StoreError(f"store {path}: already there") from None
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"store {path}: cannot be written: {error}") from error


def write_keys(connection: sqlite3.Connection, pseudonyms: Pseudonyms) -> None:
    """Remembers which keys the users of a store may be named by."""
    connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", pseudonyms.fingerprints.items())


def check_file(connection: sqlite3.Connection, path: Path) -> None:
    """Checks that a file is a sound store.

    Raises:
        StoreError: it is none, of another version, or corrupt.
    """
    version = read_version(connection, path)
    if version != FORMAT_VERSION:
        raise StoreError(
            f"store {path}: expected format {FORMAT_VERSION}, got {version}; "
            "`python -m server import-users --force` writes it anew"
        )
    check_pages(connection, path)


def read_version(connection: sqlite3.Connection, path: Path) -> int:
    """Returns the format of a store.

    Raises:
        StoreError: the file is none.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"store {path}: an SQLite file, but no store of users")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Checks that a file is sound.

    Raises:
        StoreError: it is corrupt.
    """
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(f"store {path}: corrupt: {verdict}")


def check_keys(stored: dict[int, str], pseudonyms: Pseudonyms, store: str) -> None:
    """Checks that every key of a store is known, since a server with other keys would know nobody.

    Args:
        stored: the fingerprint of each epoch of the store.
        pseudonyms: those of the server.
        store: names the store in messages.

    Raises:
        PseudonymKeyError: a key is missing, or is another one.
    """
    for epoch, fingerprint in sorted(stored.items()):
        given = pseudonyms.fingerprints.get(epoch)
        if given is None:
            raise PseudonymKeyError(
                f"pseudonym_keys: {store} has users of epoch {epoch}, the key file lacks it"
            )
        if given != fingerprint:
            raise PseudonymKeyError(
                f"pseudonym_keys: epoch {epoch} has another key than {store} was written with"
            )
