"""Writes files so that nobody ever reads half of one: a temporary sibling, fsync, rename."""

import os
import tempfile
from pathlib import Path

from suitability.errors import WriteError


def write_new(path: Path, data: bytes) -> None:
    """Writes a file that only its owner may read, and replaces none.

    Raises:
        WriteError: the file exists or cannot be written.
    """
    _write(path, data, mode=0o600, replace=False)


def write_over(path: Path, data: bytes) -> None:
    """Writes a file that everybody may read, in place of the one that is there, if any.

    Raises:
        WriteError: the file cannot be written.
    """
    _write(path, data, mode=0o644, replace=True)


def _write(path: Path, data: bytes, *, mode: int, replace: bool) -> None:
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            Path(temporary).replace(path)
            temporary = None
        else:
            # Unlike a rename, a link fails where the name is taken.
            os.link(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Makes a rename last: it is an entry of the directory."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
