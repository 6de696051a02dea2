"""The Parquet parts of a log: named by the segment that they are of, and merged where many are small.

A merged part has the name of its last segment and says which is its first. It is put in place before the
parts that it holds go, so a crash may leave these beside it; whoever reads passes over them, and the next
merge removes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from server.errors import FeedbackLogError, FeedbackStateError
from server.feedback.disk import Disk

EVENTS_FOLDER: Final = "events"
ANSWERS_FOLDER: Final = "answers"
PART_BYTES_SMALL: Final = 1 << 20
"""A part below it is merged with others beside it."""
MERGE_COUNT: Final = 8
"""So many small parts make a merged one. Erasures close a segment each, however little it holds."""

_FIRST: Final = b"first_segment"
_PATTERN: Final = "part-*.parquet"


def part_path(folder: Path, number: int) -> Path:
    """Returns where the part of a segment lies, in the folder of its kind."""
    return folder / f"part-{number:08d}.parquet"


def list_parts(folder: Path) -> list[Path]:
    """Returns every part of events and answers, in order.

    Args:
        folder: of the log.
    """
    return [
        path for name in (EVENTS_FOLDER, ANSWERS_FOLDER) for path in sorted((folder / name).glob(_PATTERN))
    ]


def list_current(folder: Path) -> list[Path]:
    """Returns the parts of one kind in order, without those that another one holds.

    Args:
        folder: of the kind.

    Raises:
        FeedbackStateError: a part cannot be read.
    """
    current: list[Path] = []
    first = 0
    for path in sorted(folder.glob(_PATTERN), reverse=True):
        # The parts that a merged one holds are those between its first segment and its own.
        if not current or _number_of(path) < first:
            first = _find_first(path)
            current.append(path)
    return current[::-1]


def merge_parts(folder: Path) -> None:
    """Merges small parts beside each other, MERGE_COUNT at a time, and removes what a crash left of others.

    Args:
        folder: of the kind; whoever calls holds the lock of the log's files.

    Raises:
        FeedbackStateError: a part cannot be read.
        FeedbackLogError: a part cannot be written or removed.
    """
    current = list_current(folder)
    _remove(folder, set(folder.glob(_PATTERN)) - set(current))
    small: list[Path] = []
    for path in current:
        small = [*small, path] if path.stat().st_size < PART_BYTES_SMALL else []
        if len(small) == MERGE_COUNT:
            table = _join(small)
            first = str(_find_first(small[0])).encode("ascii")
            write_part(path, table.replace_schema_metadata({_FIRST: first}))
            _remove(folder, set(small[:-1]))
            small = []


def write_part(path: Path, table: pa.Table) -> None:
    """Writes a part, in place of one that may be there; durable on return. Raises FeedbackLogError."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        Disk().put(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise FeedbackLogError(f"{path} cannot be written: {error.strerror}") from error


def _number_of(path: Path) -> int:
    return int(path.stem.removeprefix("part-"))


def _find_first(path: Path) -> int:
    """Returns the first segment that a part holds."""
    try:
        stated = (pq.read_schema(path).metadata or {}).get(_FIRST)
        return _number_of(path) if stated is None else int(stated)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FeedbackStateError(f"feedback_log: {path} cannot be read: {error}") from error


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FeedbackStateError(f"feedback_log: {path} cannot be read: {error}") from error


def _join(paths: Sequence[Path]) -> pa.Table:
    """Reads parts as one; a column that an earlier version did not write is null there, as for readers."""
    try:
        return pa.concat_tables([_read(each) for each in paths], promote_options="default")
    except pa.ArrowException as error:
        raise FeedbackStateError(f"feedback_log: {paths[-1]} and others before it differ: {error}") from error


def _remove(folder: Path, paths: set[Path]) -> None:
    try:
        for path in paths:
            path.unlink()
        if paths:
            Disk().sync_folder(folder)
    except OSError as error:
        raise FeedbackLogError(f"{folder}: {error.strerror}") from error
