"""The policy log: every accepted change of policy and overlay, in order, on disk before it takes effect.

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
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from server.errors import PolicyLogError, PolicyStateError

FILE_NAME: Final = "policy-log.jsonl"
_FIRST_LINK: Final = "0" * 64
_KEYS: Final = {"sequence", "time", "kind", "document", "signatures", "previous_sha256", "sha256"}

_log = structlog.get_logger("server")


class ChangeKind(StrEnum):
    """What a record changes."""

    OVERLAY = "overlay"
    ACTIVATE = "activate"


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted change.

    Attributes:
        sequence: 1 for the first record, then one more each.
        time: when it was accepted, by the system clock, RFC 3339.
        kind: what it changes.
        document: canonical text of the overlay or policy.
        signatures: canonical text of the signatures on it.
    """

    sequence: int
    time: str
    kind: ChangeKind
    document: str
    signatures: str


class PolicyLog:
    """The log of one folder, held by one server at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Raises:
            PolicyStateError: it cannot be read or locked, or a line is wrong; the message names it.
        """
        self._path = folder / FILE_NAME
        try:
            self._descriptor = _open(folder, self._path)
        except OSError as error:
            raise PolicyStateError(
                f"policy_state: {self._path} cannot be opened: {error.strerror}"
            ) from error
        self._broken = False
        try:
            self.records, self._link, self._size = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, time: datetime, kind: ChangeKind, document: bytes, signatures: bytes) -> None:
        """Writes a change and waits until it is on disk.

        Raises:
            PolicyLogError: it could not be written; the change must not take effect.
        """
        if self._broken:
            raise PolicyLogError("the policy log failed before; it takes no change until the server restarts")
        self._check_place()
        record = Record(
            len(self.records) + 1,
            time.isoformat(),
            kind,
            document.decode("utf-8"),
            signatures.decode("utf-8"),
        )
        line = _write_line(record, self._link)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(None, f"{written} of {len(line)} bytes were written")
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut(self._size)
            raise PolicyLogError(f"the policy log cannot be written: {error.strerror}") from error
        self.records = (*self.records, record)
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

    def _read(self) -> tuple[tuple[Record, ...], str, int]:
        """Returns the records, the hash of the last line, and the length of the file that they make."""
        data = self._path.read_bytes()
        lines = data.split(b"\n")
        if lines[-1]:
            # What has no end must be the beginning of a record; a record whose end was changed is not torn.
            if _holds_more_than_a_record(lines[-1]):
                raise PolicyStateError(f"policy_state: {self._path}: line {len(lines)}: its end was changed")
            data = data[: len(data) - len(lines[-1])]
            _log.warning("cut a torn line off the policy log", file=str(self._path), line=len(lines))
            self._cut(len(data))
        records: list[Record] = []
        link = _FIRST_LINK
        for number, line in enumerate(lines[:-1], start=1):
            try:
                records.append(_read_line(line, number, link))
            except ValueError as error:
                raise PolicyStateError(f"policy_state: {self._path}: line {number}: {error}") from error
            link = hashlib.sha256(line + b"\n").hexdigest()
        return tuple(records), link, len(data)

    def _check_place(self) -> None:
        """Refuses to write what no restart would read: the file was moved, removed or changed meanwhile."""
        held = os.fstat(self._descriptor)
        try:
            found = self._path.stat()
        except OSError as error:
            raise PolicyLogError(f"the policy log is gone: {error.strerror}") from error
        if (found.st_dev, found.st_ino, found.st_size) != (held.st_dev, held.st_ino, self._size):
            raise PolicyLogError("the policy log was replaced or changed by another program")

    def _cut(self, size: int) -> None:
        """Takes a line that nobody was told of off the end; if even that fails, no further one is written."""
        try:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError:
            self._broken = True


def _open(folder: Path, path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
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
        raise PolicyStateError(f"policy_state: {folder} is held by another server") from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write_line(record: Record, link: str) -> bytes:
    fields: dict[str, Any] = {
        "sequence": record.sequence,
        "time": record.time,
        "kind": record.kind.value,
        "document": record.document,
        "signatures": record.signatures,
        "previous_sha256": link,
    }
    return _encode(fields | {"sha256": hashlib.sha256(_encode(fields)).hexdigest()}) + b"\n"


def _read_line(line: bytes, number: int, link: str) -> Record:
    """Reads a line. Raises ValueError: it is not what was written as this line."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("not a record in JSON") from error
    if not isinstance(fields, Mapping) or set(fields) != _KEYS:
        raise ValueError(f"expected the keys {', '.join(sorted(_KEYS))}")
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
    if not all(isinstance(fields[name], str) for name in ("time", "document", "signatures")):
        raise ValueError("expected texts in time, document and signatures")
    return Record(
        number, fields["time"], ChangeKind(fields["kind"]), fields["document"], fields["signatures"]
    )


def _encode(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode("ascii")


def _holds_more_than_a_record(line: bytes) -> bool:
    """Tells whether something follows a whole record."""
    text = line.decode("utf-8", "replace")
    try:
        return json.JSONDecoder().raw_decode(text)[1] < len(text)
    except (ValueError, RecursionError):
        return False
