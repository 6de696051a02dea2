"""Compacts a feedback log on request: all of it, or beside a running server what that has closed."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from server.errors import FeedbackLogError, FeedbackStateError
from server.feedback.compaction import compact_before
from server.feedback.disk import hold_lock
from server.feedback.erasure import finish_erasure
from server.feedback.segments import SegmentWriter, list_segments


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many segments were compacted, and whether the log is in Parquet as a whole."""

    segment_count: int
    whole: bool


def compact(folder: Path) -> Compacted:
    """Compacts a log.

    Args:
        folder: of the log.

    Raises:
        FeedbackStateError: there is no log, it is corrupt, or a file cannot be written.
    """
    if not list_segments(folder):
        raise FeedbackStateError(f"{folder}: no feedback log")
    try:
        with contextlib.ExitStack() as held:
            whole = _hold(folder, held)
            if whole:
                segments = SegmentWriter(folder)
                held.callback(segments.close)
                finish_erasure(folder, segments)
                segments.rotate()
            return Compacted(compact_before(folder, list_segments(folder)[-1]), whole)
    except (OSError, FeedbackLogError) as error:
        raise FeedbackStateError(f"{folder}: {error}") from error


def _hold(folder: Path, held: contextlib.ExitStack) -> bool:
    """Takes the log as a server does; tells whether it was free."""
    try:
        held.enter_context(hold_lock(folder / "lock", wait=False))
    except FeedbackStateError:
        return False
    return True
