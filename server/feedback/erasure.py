"""Removes users from closed segments and from Parquet; what a crash interrupts is finished later."""

import json
import secrets
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from server.errors import FeedbackLogError, FeedbackStateError
from server.feedback.blocks import Block, SegmentContent, write_block, write_header
from server.feedback.compaction import FILES_LOCK
from server.feedback.disk import Disk, hold_lock
from server.feedback.lines import drop_users
from server.feedback.parts import list_parts, write_part
from server.feedback.segments import SegmentWriter, list_segments, load_segment, segment_path

FEW_USERS: Final = 50
"""So many users are looked for in a segment one by one; for more it is faster to read its lines."""
_PLAN_PATTERN: Final = "erasing-*.json"


def plan_erasure(folder: Path, users: frozenset[str]) -> Path:
    """Writes down whom to remove, so that a crash does not forget it; returns the plan.

    Raises:
        FeedbackLogError: it cannot be written.
    """
    plan = folder / f"erasing-{secrets.token_hex(8)}.json"
    try:
        Disk().put(plan, json.dumps(sorted(users)).encode("ascii"))
    except OSError as error:
        raise FeedbackLogError(f"the erasure cannot be written down: {error.strerror}") from error
    return plan


def erase_users(folder: Path, plan: Path, *, before: int) -> None:
    """Carries out a plan; its users are gone for good on return.

    Args:
        folder: of the log.
        plan: whom to remove.
        before: the open segment; it holds none of them.

    Raises:
        FeedbackLogError: a file cannot be written.
        FeedbackStateError: a file is corrupt.
    """
    try:
        with hold_lock(folder / FILES_LOCK, wait=True):
            users = frozenset(json.loads(plan.read_bytes()))
            for number in list_segments(folder):
                if number < before:
                    _clean_segment(folder, number, users)
            for path in list_parts(folder):
                _clean_part(path, users)
            plan.unlink()
            Disk().sync_folder(folder)
    except OSError as error:
        raise FeedbackLogError(f"the erasure cannot be carried out: {error.strerror}") from error


def finish_erasure(folder: Path, segments: SegmentWriter) -> None:
    """Carries out what a crash interrupted; closes the open segment for that.

    Raises:
        FeedbackStateError: a file is corrupt or cannot be written.
    """
    try:
        for plan in sorted(folder.glob(_PLAN_PATTERN)):
            segments.rotate()
            erase_users(folder, plan, before=segments.number)
    except (OSError, FeedbackLogError) as error:
        raise FeedbackStateError(f"feedback_log: {folder}: {error}") from error


def _clean_segment(folder: Path, number: int, users: frozenset[str]) -> None:
    content = load_segment(folder, number)
    if len(users) <= FEW_USERS and not any(
        user.encode("ascii") in block.payload for block in content.blocks for user in users
    ):
        return
    blocks = [Block(block.kind, block.sequence, drop_users(block.payload, users)) for block in content.blocks]
    if blocks != list(content.blocks):
        Disk().put(segment_path(folder, number), _write(content, blocks))


def _write(content: SegmentContent, blocks: list[Block]) -> bytes:
    """Writes a segment anew. A block that is empty now stays, so that no sequence is missing."""
    header = write_header(content.log_id, content.sequence_before)
    return header + b"".join(write_block(block) for block in blocks)


def _clean_part(path: Path, users: frozenset[str]) -> None:
    try:
        named = pa.array(sorted(users), pa.string())
        theirs = pc.is_in(pq.read_table(path, columns=["user"])["user"], value_set=named)
        if pc.any(theirs).as_py():
            write_part(path, pq.read_table(path).filter(pc.invert(theirs)))
    except (pa.ArrowException, OSError) as error:
        raise FeedbackStateError(f"feedback_log: {path} cannot be read: {error}") from error
