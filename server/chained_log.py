"""A log of accepted changes: every one on disk before it takes effect, and none changed without a trace.

One append-only file of JSON lines, chained by their hashes, so a changed, missing or moved line is found when
the file is read. A line without its end was being written when the server died; nobody was told that it was
accepted, so it is cut off. Anything else wrong stops the server.
"""

import contextlib
import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from server.chain_lines import (
    Content,
    hash_line,
    holds_more_than_a_record,
    read_content,
    write_line,
    write_snapshot,
)
from server.errors import ServingError, StartError
from server.settled_files import settle

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class LogKind:
    """What one kind of log is.

    Attributes:
        name: what messages call it.
        setting: the setting that names its folder.
        file_name: its file in the folder.
        keys: the texts of every record.
        write_error: raised where a change cannot be written.
        state_error: raised where the log cannot be used at start.
        compacts: whether its file may begin with a snapshot; another log would pass over what it says.
    """

    name: str
    setting: str
    file_name: str
    keys: frozenset[str]
    write_error: type[ServingError]
    state_error: type[StartError]
    compacts: bool = False


class ChainedLog:
    """The log of one folder, held by one server at a time.

    Attributes:
        snapshot: what a compacted log begins with; None where it begins with its first record.
        count: the sequence of its last record.
        size: bytes of its file.
    """

    def __init__(self, folder: Path, kind: LogKind) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Raises:
            StartError: as the kind says: it cannot be read or locked, or a line is wrong, which is named.
        """
        self._kind = kind
        self._path = folder / kind.file_name
        if not folder.is_dir():
            raise kind.state_error(
                f"{kind.setting}: there is no folder {folder}; name the one that holds {kind.file_name}, "
                f"or make an empty one to begin {kind.name}"
            )
        try:
            self._descriptor = self._open(folder)
        except OSError as error:
            raise kind.state_error(
                f"{kind.setting}: {self._path} cannot be opened: {error.strerror}"
            ) from error
        self._broken = False
        try:
            content, self.size = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.snapshot, self.count, self._link = content.snapshot, content.sequence, content.link
        self._records = content.records

    def take_records(self) -> Sequence[Mapping[str, str]]:
        """Returns the records that were read, the first after the snapshot first; they are kept no longer."""
        records, self._records = self._records, ()
        return records

    def append(self, texts: Mapping[str, str]) -> None:
        """Writes a change and waits until it is on disk; its sequence is then `count`.

        Raises:
            ServingError: as the kind says: it could not be written, and must not take effect.
        """
        self._require_whole()
        line = write_line(self.count + 1, texts, self._link)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(None, f"{written} of {len(line)} bytes were written")
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut(self.size)
            raise self._kind.write_error(f"{self._kind.name} cannot be written: {error.strerror}") from error
        self.count += 1
        self._link, self.size = hash_line(line), self.size + len(line)

    def compact(self, snapshot: str) -> int:
        """Begins the file anew with what all records came to; the old one stays beside it, by its sequence.

        Args:
            snapshot: what the records came to.

        Returns:
            the size of the new file.

        Raises:
            ServingError: as the kind says: it could not be done; the log goes on as it was.
        """
        self._require_whole()
        line = write_snapshot(self.count, snapshot, self._link)
        archive, linked = archive_path(self._path, self.count), False
        try:
            with contextlib.ExitStack() as held:
                beside = self._path.with_name(f"{self._path.name}.new")
                descriptor = os.open(
                    beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
                )
                held.callback(os.close, descriptor)
                # The new file is held before anybody can find it under the log's name.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _write_all(descriptor, line)
                # A second name for the old file, so that at no instant there is none under the log's.
                os.link(self._path, archive)
                linked = True
                _sync_folder(self._path.parent)
                beside.replace(self._path)
                held.pop_all()
        except OSError as error:
            if linked:
                # It would grow on with the log, and prove nothing. A start removes it, too.
                with contextlib.suppress(OSError):
                    archive.unlink()
            raise self._kind.write_error(
                f"{self._kind.name} cannot be compacted: {error.strerror}"
            ) from error
        os.close(self._descriptor)
        self._descriptor, self._link, self.size = descriptor, hash_line(line), len(line)
        try:
            _sync_folder(self._path.parent)
        except OSError as error:
            # After a crash either file may be there: nothing that only the new one would hold is accepted.
            self._broken = True
            raise self._kind.write_error(
                f"{self._kind.name} cannot be compacted: {error.strerror}"
            ) from error
        return self.size

    def fileno(self) -> int:
        """Returns the descriptor, by which the folder is held; whoever inherits it holds it, too."""
        return self._descriptor

    def close(self) -> None:
        """Closes the file, which frees it for another server."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> tuple[Content, int]:
        """Returns what the file holds, and the length of the file that it makes."""
        kind, data = self._kind, self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        number = data.count(b"\n") + 1
        if data[end:]:
            # What has no end must be the beginning of a record; a record whose end was changed is not torn.
            if holds_more_than_a_record(data[end:]):
                raise kind.state_error(f"{kind.setting}: {self._path}: line {number}: its end was changed")
            _log.warning(f"cut a torn line off {kind.name}", file=str(self._path), line=number)
            self._cut(end)
        try:
            content = read_content(data[:end], kind.keys)
        except ValueError as error:
            raise kind.state_error(f"{kind.setting}: {self._path}: {error}") from error
        if content.snapshot is not None and not kind.compacts:
            raise kind.state_error(f"{kind.setting}: {self._path}: line 1: {kind.name} is never compacted")
        return content, end

    def _require_whole(self) -> None:
        """Refuses to write what no restart would read: the file was moved, removed or changed meanwhile."""
        refuse = self._kind.write_error
        if self._broken:
            raise refuse(f"{self._kind.name} failed before; it takes no change until the server restarts")
        held = os.fstat(self._descriptor)
        try:
            found = self._path.stat()
        except OSError as error:
            raise refuse(f"{self._kind.name} is gone: {error.strerror}") from error
        if (found.st_dev, found.st_ino, found.st_size) != (held.st_dev, held.st_ino, self.size):
            raise refuse(f"{self._kind.name} was replaced or changed by another program")

    def _cut(self, size: int) -> None:
        """Takes a line that nobody was told of off the end; if even that fails, no further one is written."""
        try:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError:
            self._broken = True

    def _open(self, folder: Path) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(descriptor)
            if not os.path.samestat(held, self._path.stat()):
                # Another server put a compacted file in its place while this one waited for neither.
                raise BlockingIOError
            # A server that died before its own fsync may have left a line that is in memory only, and what is
            # read here is in force from now on.
            settle(descriptor)
            for archive in list_archives(self._path):
                if os.path.samestat(held, archive.stat()):
                    archive.unlink()  # A crash came before the compacted file took its place.
            # A new file is only there after a crash if its folder says so.
            _sync_folder(folder)
        except BlockingIOError as error:
            os.close(descriptor)
            raise self._kind.state_error(
                f"{self._kind.setting}: {folder} is held by another server"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def archive_path(path: Path, sequence: int) -> Path:
    """Returns where a log's file lies once it was compacted after the record of a sequence."""
    return path.with_name(f"{path.stem}-{sequence:012d}{path.suffix}")


def list_archives(path: Path) -> list[Path]:
    """Returns the files that a log was compacted from, the oldest first."""
    return sorted(path.parent.glob(f"{path.stem}-{'[0-9]' * 12}{path.suffix}"))


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
