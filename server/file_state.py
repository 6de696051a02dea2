"""Tells one state of a file from another, so that a file is read again when it changes."""

from pathlib import Path

FileState = tuple[int, int, int]
"""Inode, size, and when it was last written to."""


def identify(path: Path) -> FileState | None:
    """Returns what tells one state of a file from another; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
