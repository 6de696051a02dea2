"""The segments of one log folder: found, repaired, appended to, and closed when they are full.

The last segment is open; all before it are closed and change only when they are compacted or an erasure goes
through them. A block is appended with one write and one fsync, and what fails is cut off before anything else
is written: a block that nobody was told of must not come back after a restart in the middle of others.
"""

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog

from server.errors import FeedbackLogError, FeedbackStateError
from server.feedback.blocks import (
    SEGMENT_HEADER,
    Block,
    BlockKind,
    SegmentContent,
    read_segment,
    write_block,
    write_header,
)
from server.feedback.disk import Disk

SEGMENT_BYTES_MAX: Final = 64 << 20
"""A segment that has grown beyond it is closed."""

_log = structlog.get_logger("server")


def segment_path(folder: Path, number: int) -> Path:
    """Returns where a segment lies."""
    return folder / f"segment-{number:08d}.log"


def list_segments(folder: Path) -> list[int]:
    """Returns the numbers of the segments that are there, in order."""
    return sorted(int(path.stem.removeprefix("segment-")) for path in folder.glob("segment-[0-9]*.log"))


def load_segment(folder: Path, number: int, *, last: bool = False) -> SegmentContent:
    """Reads a segment.

    Raises:
        FeedbackStateError: it cannot be read or is corrupt.
    """
    path = segment_path(folder, number)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FeedbackStateError(f"feedback_log: {path} cannot be read: {error.strerror}") from error
    return read_segment(data, f"feedback_log: {path}", last=last)


class SegmentWriter:
    """Appends blocks. One thread uses it, and the caller holds the folder's lock."""

    def __init__(
        self, folder: Path, *, segment_bytes_max: int = SEGMENT_BYTES_MAX, disk: Disk | None = None
    ) -> None:
        """Opens the last segment and cuts a torn block off it, or makes the first segment.

        Raises:
            FeedbackStateError: a file cannot be opened, or a segment is corrupt or missing.
        """
        self._folder = folder
        self._bytes_max = segment_bytes_max
        self._disk = Disk() if disk is None else disk
        self._clean = True
        self._rotating = False  # The next segment may be there: nothing more is appended to this one.
        numbers = list_segments(folder)
        try:
            if not numbers:
                self._disk.put(segment_path(folder, 1), write_header(secrets.token_hex(16), 0))
                numbers = [1]
            self.number = numbers[-1]
            self._disk.settle(segment_path(folder, self.number))
            _check_order(folder, numbers)
            content = load_segment(folder, self.number, last=True)
            self.log_id, self.sequence = content.log_id, content.sequence
            self._size = content.size
            self._descriptor = _open(segment_path(folder, self.number))
            self._cut_torn_block()
        except OSError as error:
            raise FeedbackStateError(f"feedback_log: {folder}: {error.strerror}") from error

    def append(self, payloads: Sequence[tuple[BlockKind, bytes]]) -> int:
        """Appends a block for each payload and waits until all of them are on disk.

        Returns:
            the sequence of the last one.

        Raises:
            FeedbackLogError: they could not be written; none of them will be read.
        """
        try:
            self._check_place()
            self._make_clean()
            if self._rotating or self._size > self._bytes_max:
                self.rotate()
            data = b"".join(
                write_block(Block(kind, self.sequence + place, payload))
                for place, (kind, payload) in enumerate(payloads, start=1)
            )
            self._clean = False
            self._disk.write_all(self._descriptor, data)
            self._disk.sync(self._descriptor)
        except OSError as error:
            raise FeedbackLogError(f"the feedback log cannot be written: {error.strerror}") from error
        self._clean = True
        self._size += len(data)
        self.sequence += len(payloads)
        return self.sequence

    def rotate(self) -> None:
        """Closes the segment, if it holds anything, and opens the next one. Raises OSError."""
        if self._size == SEGMENT_HEADER.size:
            return
        self._make_clean()
        path = segment_path(self._folder, self.number + 1)
        self._rotating = True
        self._disk.put(path, write_header(self.log_id, self.sequence))
        descriptor = _open(path)
        os.close(self._descriptor)
        self._descriptor, self.number, self._size = descriptor, self.number + 1, SEGMENT_HEADER.size
        self._rotating = False

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _cut_torn_block(self) -> None:
        """Cuts what follows the last whole block, and makes the names of the folder durable."""
        size = os.fstat(self._descriptor).st_size
        if size > self._size:
            _log.warning(
                "cut a torn block off the feedback log", segment=self.number, bytes=size - self._size
            )
            self._clean = False
            self._make_clean()
        self._disk.sync_folder(self._folder)

    def _check_place(self) -> None:
        """Refuses to write where no restart would read. Raises OSError."""
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(errno.ENOENT, "its open segment was removed")

    def _make_clean(self) -> None:
        """Cuts what a failed append may have left. Raises OSError: the next append tries again."""
        if self._clean:
            return
        self._disk.truncate(self._descriptor, self._size)
        self._disk.sync(self._descriptor)
        self._clean = True


def read_blocks(folder: Path, sequence_after: int) -> Iterator[Block]:
    """Yields the blocks of all segments after a sequence; raises as `load_segment` does."""
    numbers = list_segments(folder)
    for number in numbers:
        content = load_segment(folder, number, last=number == numbers[-1])
        if content.sequence > sequence_after:
            yield from (block for block in content.blocks if block.sequence > sequence_after)


def _check_order(folder: Path, numbers: Sequence[int]) -> None:
    """Refuses a folder in which a segment is missing between others, or of another log."""
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        missing = next(number for number in range(numbers[0], numbers[-1]) if number not in numbers)
        raise FeedbackStateError(f"feedback_log: {segment_path(folder, missing)} is missing")
    before: SegmentContent | None = None
    for number in numbers:
        content = load_segment(folder, number, last=number == numbers[-1])
        if before is not None and (content.log_id, content.sequence_before) != (
            before.log_id,
            before.sequence,
        ):
            path = segment_path(folder, number)
            expected = f"log {before.log_id} after block {before.sequence}"
            got = f"log {content.log_id} after block {content.sequence_before}"
            raise FeedbackStateError(f"feedback_log: {path}: expected {expected}, got {got}")
        before = content


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
