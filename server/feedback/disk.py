"""Writes files so that they are whole and there after a crash; holds the calls that a broken disk fails."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from server.errors import FeedbackStateError
from server.settled_files import settle


@dataclass(frozen=True, slots=True)
class Disk:
    """The system's calls; tests put failing ones in their place."""

    write: Callable[[int, memoryview], int] = os.write
    sync: Callable[[int], None] = os.fsync
    truncate: Callable[[int, int], None] = os.ftruncate

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Writes all bytes. Raises OSError."""
        left = memoryview(data)
        while left:
            count = self.write(descriptor, left)
            if count <= 0:
                raise OSError(None, f"{count} of {len(left)} bytes were written")
            left = left[count:]

    def put(self, path: Path, data: bytes) -> None:
        """Writes a file beside its place and then puts it there, durable. Raises OSError."""
        beside = path.with_name(f"{path.name}.tmp")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self.write_all(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
        self.sync_folder(path.parent)

    def settle(self, path: Path) -> None:
        """Settles what a killed process may have left of a file. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            settle(descriptor, self.sync)
        finally:
            os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Makes what was put into a folder or taken out of it durable. Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def hold_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock of a file for the length of the block; the system frees it when a process dies.

    Raises:
        FeedbackStateError: another process holds it and `wait` is false, or it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FeedbackStateError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError as error:
        raise FeedbackStateError(f"{path.parent} is held by another process") from error
    finally:
        os.close(descriptor)
