"""A chained log that several processes of one server share: each reads it, and one writes it for all.

A process never writes the file itself. It asks whoever does, and that answers once the record is on disk and
every other process has brought it into force. What would take long is prepared by all beforehand.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from server.chain_lines import hash_line, read_content
from server.chained_log import LogKind
from server.errors import OverloadError, ProcessError, SeveralProcessesError


@dataclass(frozen=True, slots=True)
class Refused:
    """That a record was not written: because another came first (`busy`), or for a reason of the file's."""

    busy: bool
    problem: str


class Appender(Protocol):
    """Writes records for all processes of this server."""

    def append(
        self, log: str, after: int, texts: Mapping[str, str], *, follows: bool = False
    ) -> Refused | None:
        """Writes a record as the next one after a sequence, and waits until all others follow it.

        Args:
            log: the setting that names the log's folder.
            after: the last sequence that the caller has followed; the record was decided on by that.
            texts: what the record says.
            follows: whether this process follows it meanwhile, too, as it follows those of others.

        Raises:
            OrderUnsureError: what became of it is not known.
        """

    def prepare(self, log: str, texts: Mapping[str, str]) -> Refused | None:
        """Has every process, this one too, prepare for a record that takes long to bring into force.

        One of each log is under way until it is released, which is to be done where this returned None.

        Raises:
            OrderUnsureError: the supervisor did not answer.
        """

    def release(self, log: str) -> None:
        """Has every process let go of what it still keeps for a record."""


class FollowedLog:
    """The log of one folder, as a process has it that does not write it. One thread at a time uses it.

    Attributes:
        snapshot: as a ChainedLog has it.
        count: the sequence of the last record that was followed here.
        size: bytes of the file up to there.
    """

    def __init__(self, folder: Path, kind: LogKind, appender: Appender) -> None:
        """Reads what is there.

        Raises:
            StartError: as the kind says: it cannot be read, or a line is wrong, which is named.
        """
        self._kind, self._path, self._appender = kind, folder / kind.file_name, appender
        try:
            data = self._path.read_bytes()
            # What has no end is being written.
            self.size = data.rfind(b"\n") + 1
            content = read_content(data[: self.size], kind.keys)
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise kind.state_error(f"{kind.setting}: {self._path}: {error}") from error
        self.snapshot, self._records = content.snapshot, content.records
        self._end, self._last_size = content.end(), _measure_last(data[: self.size])

    @property
    def count(self) -> int:
        """The sequence of the last record that was followed here."""
        return self._end.sequence

    def take_records(self) -> Sequence[Mapping[str, str]]:
        """Returns the records that were read at the start; they are kept no longer."""
        records, self._records = self._records, ()
        return records

    def append(self, texts: Mapping[str, str]) -> None:
        """Has a change written; returns once it is on disk and in force in every other process.

        Raises:
            OverloadError: another change came first; this one was not written, and is decided on again.
            ServingError: as the kind says: it could not be written, and must not take effect.
            OrderUnsureError: what became of it is not known.
        """
        self._ask(texts, self.count, follows=False)
        self.follow(self.count + 1)

    def request(self, texts: Mapping[str, str], after: int) -> None:
        """Has a change written; returns once it is on disk and in force in every process, this one too.

        The caller holds no lock that following takes. For the errors see `append`.

        Args:
            texts: what the record says.
            after: the sequence of the last record that it was decided on by.
        """
        self._ask(texts, after, follows=True)

    @contextmanager
    def prepared(self, texts: Mapping[str, str]) -> Iterator[None]:
        """Has every process prepare for a record and keep what it needs for it, for the length of the block.

        Raises:
            OverloadError: another record is prepared for.
            SeveralProcessesError: not every process can.
            OrderUnsureError: the supervisor did not answer; nothing was changed.
        """
        refused = self._appender.prepare(self._kind.setting, texts)
        if refused is not None:
            if refused.busy:
                raise OverloadError("another change is being prepared; retry later")
            raise SeveralProcessesError(f"nothing was changed: {refused.problem}")
        try:
            yield
        finally:
            self._appender.release(self._kind.setting)

    def _ask(self, texts: Mapping[str, str], after: int, *, follows: bool) -> None:
        refused = self._appender.append(self._kind.setting, after, texts, follows=follows)
        if refused is not None:
            if refused.busy:
                raise OverloadError("another change is being made in another process; retry later")
            raise self._kind.write_error(refused.problem)

    def follow(self, sequence: int) -> Sequence[Mapping[str, str]]:
        """Returns the records after what was followed here, up to a sequence.

        Raises:
            ProcessError: they are not there, or are not what follows.
        """
        first = self.size - self._last_size
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size - first, first)
        last, data = data[: self._last_size], data[self._last_size :]
        lines = data.splitlines(keepends=True)[: max(0, sequence - self.count)]
        size = sum(map(len, lines))
        try:
            # A line that was whole when it was read, and that the disk then refused, was cut off, and
            # another one may be in its place: what it said is in force here and nowhere else.
            if last and hash_line(last) != self._end.link:
                raise ValueError(f"its record {self.count} is another one than was read")
            content = read_content(data[:size], self._kind.keys, self._end)
            if content.sequence != sequence:
                raise ValueError(f"expected {sequence} records, got {content.sequence}")
        except ValueError as error:
            raise ProcessError(f"{self._kind.setting}: {self._path} does not go on: {error}") from error
        self._end, self.size = content.end(), self.size + size
        self._last_size = len(lines[-1]) if lines else self._last_size
        return content.records

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


def _measure_last(data: bytes) -> int:
    """Returns the bytes of the last line; 0 where there is none."""
    return len(data) - (data.rfind(b"\n", 0, -1) + 1)
