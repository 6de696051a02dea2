"""Where the file of the embedded store is: who may open it there, and how another is put in its place."""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.errors import StoreError
from server.settled_files import settle

BUSY_S: Final = 10.0
"""How long a transaction waits for another one: the server's, or an import that puts its file in place."""
CHECKPOINT_WAIT_S: Final = 10.0


def open_file(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Opens the file that is at a path, and its log; never makes one.

    The connection may be used by one thread at a time, whichever that is, and commits each statement that is
    in no transaction.
    """
    mode = "rw" if writable else "ro"
    with hold_place(path, alone=False):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # SQLite opens file and log when it first reads: that must be while nobody exchanges them.
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
            if writable:
                # With WAL, FULL waits for the disk at every commit; NORMAL would not.
                connection.execute("PRAGMA synchronous = FULL")
                # What is erased is overwritten, not only unlinked.
                connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def check_place(path: Path) -> None:
    """Checks that there is a file to open.

    Raises:
        StoreError: there is none.
    """
    if not path.is_file():
        raise StoreError(
            f"store {path}: no such file; `python -m server import-users` or `make-store` writes one"
        )


def settle_log(path: Path) -> None:
    """Settles the log of what was committed last, which a killed process may have left; before it is opened.

    Raises:
        StoreError: the disk fails.
    """
    log, _ = list_companions(path)
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"store {log} cannot be opened: {error.strerror}") from error
    try:
        settle(descriptor)
    except OSError as error:
        raise StoreError(f"store {log} cannot be made durable: {error.strerror}") from error
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_place(path: Path, *, alone: bool) -> Iterator[None]:
    """Keeps others from putting another file at a path, and if alone, from opening the one that is there."""
    descriptor = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def put_in_place(draft: Path, path: Path) -> None:
    """Puts a whole file where another may be; the caller holds the place alone, and the other's write lock.

    Connections to the other keep it until they look again. Its log is emptied into it before the log's name
    goes, so that a crash in between leaves all that it ever acknowledged; and a log of the file that was
    there would be read as the new one's.

    Raises:
        StoreError: readers of the other did not let its log be emptied.
    """
    if path.exists():
        _empty_log(path)
        for companion in list_companions(path):
            companion.unlink(missing_ok=True)
    draft.replace(path)
    entry = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def list_companions(path: Path) -> tuple[Path, ...]:
    """Returns the files that SQLite keeps beside one."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _empty_log(path: Path) -> None:
    deadline_s = time.monotonic() + CHECKPOINT_WAIT_S
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    try:
        while True:
            _, frame_count, done_count = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frame_count == done_count:
                return
            if time.monotonic() > deadline_s:
                raise StoreError(f"store {path}: it is read without a pause; try again")
            time.sleep(0.01)
    finally:
        connection.close()
