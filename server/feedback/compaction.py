"""Compacts closed segments to Parquet: a part of events and one of answers for each, small ones merged.

Arrow parses the lines itself, so that a running server's other threads are hardly held up. A segment goes
when its parts are durable; where a crash comes between, the next compaction writes the same parts again.
"""

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
import structlog

from server.errors import FeedbackLogError, FeedbackStateError
from server.events import FeedbackEvent
from server.feedback.blocks import Block, BlockKind
from server.feedback.disk import Disk, hold_lock
from server.feedback.parts import (
    ANSWERS_FOLDER,
    EVENTS_FOLDER,
    list_current,
    merge_parts,
    part_path,
    write_part,
)
from server.feedback.segments import list_segments, load_segment, segment_path

FILES_LOCK: Final = "files.lock"
"""Held by whoever changes closed segments or parts, so that they take turns over all processes."""

_NICENESS: Final = 10
_CLOSE_S_MAX: Final = 60.0
_BATCH_ROWS: Final = 50_000
_TIME: Final[pa.DataType] = pa.timestamp("us", "UTC")
_TEXT: Final[pa.DataType] = pa.string()
_WHOLE: Final[pa.DataType] = pa.int64()


def _history(time: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct([("product_id", _TEXT), ("event_type", _TEXT), ("event_time", time)]))


_EVENT_COLUMNS: Final[list[tuple[str, pa.DataType]]] = [
    ("log_position", _WHOLE),
    ("event_id", _TEXT),
    ("user", _TEXT),
    ("product_id", _TEXT),
    ("event_type", _TEXT),
    ("event_time", _TIME),
    ("received_time", _TIME),
    ("answer_id", _TEXT),
    ("position", pa.int32()),
    ("rating", pa.float64()),
    ("dwell_s", pa.float64()),
    ("revenue_minor", _WHOLE),
    ("placement", _TEXT),
    ("campaign", _TEXT),
]
_ANSWER_COLUMNS: Final[list[tuple[str, pa.DataType]]] = [
    ("log_position", _WHOLE),
    ("answer_id", _TEXT),
    ("user", _TEXT),
    ("method", _TEXT),
    ("decision_time", _TIME),
    ("bundle_version", _TEXT),
    ("policy_hash", _TEXT),
    ("overlay_sequence", _WHOLE),
    ("placement", _TEXT),
    ("campaign", _TEXT),
    ("experiments", pa.list_(pa.struct([("experiment", _TEXT), ("variant", _TEXT)]))),
    ("segment_id", _TEXT),
    ("product_ids", pa.list_(_TEXT)),
    ("scores", pa.list_(_WHOLE)),
    ("sources", pa.list_(_TEXT)),
    ("history", _history(_TIME)),
    ("features", _TEXT),
    ("withheld", pa.list_(pa.struct([("code", _TEXT), ("count", _WHOLE)]))),
    ("latency_us", _WHOLE),
    ("personalised", pa.bool_()),
]
EVENT_SCHEMA: Final = pa.schema(_EVENT_COLUMNS)
ANSWER_SCHEMA: Final = pa.schema(_ANSWER_COLUMNS)
_SCHEMAS: Final = {
    BlockKind.EVENTS: (EVENTS_FOLDER, EVENT_SCHEMA),
    BlockKind.ANSWERS: (ANSWERS_FOLDER, ANSWER_SCHEMA),
}
_log = structlog.get_logger("server")


class Compactor:
    """Compacts what the log closes, in a thread of low priority."""

    def __init__(self, folder: Path) -> None:
        """Starts the thread.

        Args:
            folder: of the log.
        """
        self._folder = folder
        self._open_number = 0
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._loop, name="compact", daemon=True)
        self._thread.start()

    def notice(self, open_number: int) -> None:
        """Tells which segment is open now: all before it are closed."""
        if open_number > self._open_number:
            with self._changed:
                self._open_number = open_number
                self._changed.notify()

    def close(self) -> None:
        """Ends the thread when its segments are done; what is left is compacted after the next start."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout=_CLOSE_S_MAX)

    def _loop(self) -> None:
        # Linux gives each thread a niceness of its own; where that is refused, compacting competes for time.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        done = 0
        while True:
            with self._changed:
                while self._open and self._open_number <= done:
                    self._changed.wait()
                if not self._open:
                    return
                done = self._open_number
            try:
                compact_before(self._folder, done)
            except (FeedbackLogError, FeedbackStateError) as error:
                # The segments stay, and are tried again when the next one is closed.
                _log.error("feedback_not_compacted", problem=str(error))


def compact_before(folder: Path, number_open: int) -> int:
    """Compacts every segment before one.

    Args:
        folder: of the log.
        number_open: the first segment to leave alone.

    Returns:
        how many were compacted.

    Raises:
        FeedbackStateError: a segment is corrupt, or a part cannot be read.
        FeedbackLogError: a part cannot be written.
    """
    numbers = []
    with hold_lock(folder / FILES_LOCK, wait=True):
        numbers = [number for number in list_segments(folder) if number < number_open]
        for number in numbers:
            _compact(folder, number)
        for name in (EVENTS_FOLDER, ANSWERS_FOLDER):
            merge_parts(folder / name)
    return len(numbers)


def read_part_events(folder: Path, sequence_after: int) -> Iterator[tuple[int, list[FeedbackEvent]]]:
    """Yields events of compacted blocks after a sequence, with the last block that is whole by then.

    Raises:
        FeedbackStateError: a part cannot be read.
    """
    for path in list_current(folder / EVENTS_FOLDER):
        try:
            table = pq.read_table(path, schema=EVENT_SCHEMA)
        except (OSError, pa.ArrowException) as error:
            raise FeedbackStateError(f"feedback_log: {path} cannot be read: {error}") from error
        table = table.filter(pc.field("log_position") > sequence_after)
        batches = [batch for batch in table.to_batches(max_chunksize=_BATCH_ROWS) if batch.num_rows]
        for number, batch in enumerate(batches, start=1):
            rows = _as_integers(batch).to_pylist()
            # The next batch may go on with the last block of this one, which is not all there until then.
            position = rows[-1]["log_position"] - (number < len(batches))
            yield position, [_read_row(row) for row in rows]


def _compact(folder: Path, number: int) -> None:
    content = load_segment(folder, number)
    for kind, (name, schema) in _SCHEMAS.items():
        blocks = [block for block in content.blocks if block.kind is kind and block.payload]
        if blocks:
            write_part(part_path(folder / name, number), _parse(blocks, schema, segment_path(folder, number)))
    try:
        segment_path(folder, number).unlink()
        Disk().sync_folder(folder)
    except OSError as error:
        raise FeedbackLogError(f"{segment_path(folder, number)}: {error.strerror}") from error


def _parse(blocks: Sequence[Block], schema: pa.Schema, source: Path) -> pa.Table:
    """Parses the lines of blocks, and adds each line's position in the log."""
    columns = [field for field in schema if field.name != "log_position"]
    stored = pa.schema([pa.field(field.name, _without_time(field.type)) for field in columns])
    payload = b"".join(block.payload for block in blocks)
    try:
        table = pj.read_json(
            io.BytesIO(payload),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(payload) + 1),
            parse_options=pj.ParseOptions(explicit_schema=stored, unexpected_field_behavior="error"),
        )
    except pa.ArrowException as error:
        raise FeedbackStateError(f"feedback_log: {source} holds lines that are not ours: {error}") from error
    positions = [block.sequence for block in blocks for _ in range(block.payload.count(b"\n"))]
    table = table.add_column(0, "log_position", pa.array(positions, _WHOLE))
    for name in ("placement", "campaign"):
        column: Any = table[name]
        table = table.set_column(table.schema.get_field_index(name), name, pc.fill_null(column, ""))
    return table.cast(schema)


def _without_time(kind: pa.DataType) -> pa.DataType:
    """Returns a type as the lines hold it: instants as whole numbers."""
    if kind == _TIME:
        return _WHOLE
    return _history(_WHOLE) if kind == _history(_TIME) else kind


def _as_integers(batch: pa.RecordBatch) -> pa.Table:
    table = pa.Table.from_batches([batch])
    return table.cast(pa.schema([pa.field(field.name, _without_time(field.type)) for field in EVENT_SCHEMA]))


def _read_row(row: dict[str, object]) -> FeedbackEvent:
    return FeedbackEvent(
        event_id=str(row["event_id"]),
        user=str(row["user"]),
        product_id=str(row["product_id"]),
        event_type=str(row["event_type"]),
        event_time_us=int(row["event_time"]),  # type: ignore[call-overload]
        received_time_us=int(row["received_time"]),  # type: ignore[call-overload]
    )
