"""Settles a file that another process may have left half written: what is read afterwards is on the disk.

Where an fsync fails, Linux marks what it could not write as written. A process that opens the file later
reads it from memory, its own fsync succeeds, and a power cut takes it away from under all that followed.
"""

import os
from collections.abc import Callable


def settle(descriptor: int, sync: Callable[[int], None] | None = None) -> None:
    """Writes what memory holds of a file to the disk, and forgets it, so that the disk is read next.

    Args:
        descriptor: of the file, open for writing.
        sync: waits for the disk; by default os.fsync.

    Raises:
        OSError: the disk fails.
    """
    (sync or os.fsync)(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
