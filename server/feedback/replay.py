"""Applies to the store what the log holds and the store lacks, when the log is opened."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from server.errors import FeedbackStateError, ServingError
from server.events import FeedbackEvent
from server.feedback.blocks import BlockKind
from server.feedback.compaction import read_part_events
from server.feedback.lines import read_events
from server.feedback.segments import SegmentWriter, read_blocks
from server.users.store import UserEvent, UserStore

GROUP_EVENT_COUNT_MIN: Final = 2_000
"""Each transaction of the store waits for the disk: blocks are applied together until they hold so many."""

_log = structlog.get_logger("server")


def replay(folder: Path, segments: SegmentWriter, store: UserStore) -> None:
    """Applies what the store lacks.

    Args:
        folder: of the log.
        segments: the log, opened and repaired.
        store: where events are applied.

    Raises:
        FeedbackStateError: the store has applied more than the log holds, or one of the two fails.
    """
    try:
        applied = store.applied_position(segments.log_id)
        if applied > segments.sequence:
            raise FeedbackStateError(
                f"feedback_log: {folder}: the log ends at block {segments.sequence}, the store has applied "
                f"block {applied}: acknowledged events are missing from the log"
            )
        count = 0
        for position, events in _group(_read(folder, applied)):
            batch = [to_user_event(event) for event in events]
            store.append_events(batch, log_id=segments.log_id, log_position=position)
            count += len(batch)
    except ServingError as error:
        raise FeedbackStateError(
            f"feedback_log: {folder}: the store cannot take its events: {error}"
        ) from error
    if count:
        _log.info("applied events of the feedback log to the store", events=count, position=segments.sequence)


def to_user_event(event: FeedbackEvent) -> UserEvent:
    """Returns a logged event as the store takes it."""
    return UserEvent(
        event_id=event.event_id,
        names=(bytes.fromhex(event.user),),
        product_id=event.product_id,
        event_type=event.event_type,
        event_time_s=event.event_time_us / 1e6,
    )


def _read(folder: Path, sequence_after: int) -> Iterator[tuple[int, list[FeedbackEvent]]]:
    """Yields position and events of every block after a sequence: first what was compacted, then segments."""
    last = sequence_after
    for sequence, events in read_part_events(folder, sequence_after):
        last = sequence
        yield sequence, events
    # A crash while a segment was compacted leaves it beside its part.
    for block in read_blocks(folder, last):
        if block.kind is BlockKind.EVENTS:
            yield block.sequence, read_events(block.payload, block.sequence)


def _group(
    blocks: Iterator[tuple[int, list[FeedbackEvent]]],
) -> Iterator[tuple[int, list[FeedbackEvent]]]:
    position, together = 0, list[FeedbackEvent]()
    for position, events in blocks:
        together.extend(events)
        if len(together) >= GROUP_EVENT_COUNT_MIN:
            yield position, together
            together = []
    if together:
        yield position, together
