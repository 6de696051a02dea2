"""A log of accepted changes: every one on disk before it takes effect, and none changed without a trace.

One append-only file of JSON lines. Each record holds the SHA-256 of the line before it and one of itself, so
a changed, missing or moved line is found when the file is read. A line without its end was being written when
the server died; nobody was told that it was accepted, so it is cut off. Anything else wrong stops the server.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from server.errors import ServingError, StartError

_FIRST_LINK: Final = "0" * 64
_CHAIN: Final = frozenset({"sequence", "previous_sha256", "sha256"})

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
    """

    name: str
    setting: str
    file_name: str
    keys: frozenset[str]
    write_error: type[ServingError]
    state_error: type[StartError]


class ChainedLog:
    """The log of one folder, held by one server at a time."""

    def __init__(self, folder: Path, kind: LogKind) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Raises:
            StartError: as the kind says: it cannot be read or locked, or a line is wrong, which is named.
        """
        self._kind = kind
        self._path = folder / kind.file_name
        try:
            self._descriptor = self._open(folder)
        except OSError as error:
            raise kind.state_error(
                f"{kind.setting}: {self._path} cannot be opened: {error.strerror}"
            ) from error
        self._broken = False
        try:
            self.records, self._link, self._size = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.count = len(self.records)

    def append(self, texts: Mapping[str, str]) -> None:
        """Writes a change and waits until it is on disk; its sequence is then `count`.

        Raises:
            ServingError: as the kind says: it could not be written, and must not take effect.
        """
        refuse = self._kind.write_error
        if self._broken:
            raise refuse(f"{self._kind.name} failed before; it takes no change until the server restarts")
        self._check_place()
        line = write_line(self.count + 1, texts, self._link)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(None, f"{written} of {len(line)} bytes were written")
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut(self._size)
            raise refuse(f"{self._kind.name} cannot be written: {error.strerror}") from error
        self.count += 1
        self._link, self._size = hashlib.sha256(line).hexdigest(), self._size + len(line)

    def close(self) -> None:
        """Closes the file, which frees it for another server."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> tuple[list[Mapping[str, str]], str, int]:
        """Returns the records, the hash of the last line, and the length of the file that they make."""
        kind, data = self._kind, self._path.read_bytes()
        lines = data.split(b"\n")
        if lines[-1]:
            # What has no end must be the beginning of a record; a record whose end was changed is not torn.
            if _holds_more_than_a_record(lines[-1]):
                raise kind.state_error(
                    f"{kind.setting}: {self._path}: line {len(lines)}: its end was changed"
                )
            data = data[: len(data) - len(lines[-1])]
            _log.warning(f"cut a torn line off {kind.name}", file=str(self._path), line=len(lines))
            self._cut(len(data))
        records: list[Mapping[str, str]] = []
        link = _FIRST_LINK
        for number, line in enumerate(lines[:-1], start=1):
            try:
                records.append(_read_line(line, number, link, kind.keys))
            except ValueError as error:
                raise kind.state_error(f"{kind.setting}: {self._path}: line {number}: {error}") from error
            link = hashlib.sha256(line + b"\n").hexdigest()
        return records, link, len(data)

    def _check_place(self) -> None:
        """Refuses to write what no restart would read: the file was moved, removed or changed meanwhile."""
        held = os.fstat(self._descriptor)
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._kind.write_error(f"{self._kind.name} is gone: {error.strerror}") from error
        if (found.st_dev, found.st_ino, found.st_size) != (held.st_dev, held.st_ino, self._size):
            raise self._kind.write_error(f"{self._kind.name} was replaced or changed by another program")

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
            # A server that died before its own fsync may have left a line that is in memory only, and what is
            # read here is in force from now on.
            os.fsync(descriptor)
            entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                # A new file is only there after a crash if its folder says so.
                os.fsync(entry)
            finally:
                os.close(entry)
        except BlockingIOError as error:
            os.close(descriptor)
            raise self._kind.state_error(
                f"{self._kind.setting}: {folder} is held by another server"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def write_line(sequence: int, texts: Mapping[str, str], link: str) -> bytes:
    """Returns the line of a record, its end included.

    Args:
        sequence: 1 for the first record, then one more each.
        texts: what it says.
        link: SHA-256 of the line before it, hexadecimal.
    """
    fields: dict[str, Any] = {**texts, "sequence": sequence, "previous_sha256": link}
    return _encode(fields | {"sha256": hashlib.sha256(_encode(fields)).hexdigest()}) + b"\n"


def _read_line(line: bytes, number: int, link: str, keys: frozenset[str]) -> Mapping[str, str]:
    """Reads a line. Raises ValueError: it is not what was written as this line."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("not a record in JSON") from error
    if not isinstance(fields, Mapping) or set(fields) != keys | _CHAIN:
        raise ValueError(f"expected the keys {', '.join(sorted(keys | _CHAIN))}")
    content = {name: value for name, value in fields.items() if name != "sha256"}
    # Equal bytes, not only equal values: whatever JSON would overlook was not written by us.
    if _encode(fields) != line or hashlib.sha256(_encode(content)).hexdigest() != fields["sha256"]:
        raise ValueError("its content differs from its own SHA-256")
    if fields["previous_sha256"] != link:
        raise ValueError(
            f"expected the line before it to have SHA-256 {fields['previous_sha256']}, got {link}"
        )
    if fields["sequence"] != number:
        raise ValueError(f"expected sequence {number}, got {fields['sequence']}")
    texts = {name: fields[name] for name in keys}
    for name, value in sorted(texts.items()):
        if not isinstance(value, str):
            raise ValueError(f"expected a text in {name}")
    return texts


def _encode(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode("ascii")


def _holds_more_than_a_record(line: bytes) -> bool:
    """Tells whether something follows a whole record."""
    text = line.decode("utf-8", "replace")
    try:
        return json.JSONDecoder().raw_decode(text)[1] < len(text)
    except (ValueError, RecursionError):
        return False
