"""Compaction to Parquet, and erasure from segments and from Parquet."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from server.errors import FeedbackStateError
from server.events import EventVerdict
from server.feedback import compaction, erasure, replay
from server.feedback.blocks import Block, BlockKind, write_block, write_header
from server.feedback.compaction import ANSWER_SCHEMA, EVENT_SCHEMA, Compactor, compact_before
from server.feedback.erasure import plan_erasure
from server.feedback.parts import list_parts
from server.feedback.segments import list_segments, load_segment, segment_path
from server.users.store import EventOutcome
from tests.server.feedback_cases import (
    KNOWN,
    NOW_US,
    PATIENT,
    MemoryStore,
    make_answer,
    open_log,
    read_parts,
    record,
    report,
)

NOW = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW_US)


class DyingStore(MemoryStore):
    """Takes a number of batches and no more."""

    def __init__(self, append_count: int) -> None:
        super().__init__()
        self.append_count = append_count

    def append_events(self, *arguments: Any, **options: Any) -> list[EventOutcome]:
        self.write_fails = self.append_count == 0
        self.append_count -= 1
        return super().append_events(*arguments, **options)


def fill(folder: Path, store: MemoryStore) -> None:
    """Records events and answers of two users, each in a block of its own."""
    log = open_log(folder, store)
    for number in range(6):
        record(log, f"e{number}", name=KNOWN[number % 2])
        log.offer(lambda number=number: make_answer(f"q{number}", KNOWN[number % 2]))
    log.close()


def close_segment(folder: Path, store: MemoryStore) -> None:
    """Closes the open segment, as an erasure of nobody does, and waits for compaction."""
    log = open_log(folder, store)
    log.purge(frozenset())
    log.close()
    compact_before(folder, list_segments(folder)[-1])


def test_events_and_answers_become_columns(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    bare = report("e0")
    full = report("e1", answer_id="q", position=3, rating=2.0, dwell_s=1.5, revenue_minor=99, placement="x")
    log.record([bare, full], PATIENT)
    log.offer(lambda: make_answer("q", KNOWN[1]))
    log.close()
    close_segment(tmp_path, store)
    events = read_parts(tmp_path, "events")
    assert events.schema == EVENT_SCHEMA
    first, second = events.to_pylist()
    nothing = ("answer_id", "position", "rating", "dwell_s", "revenue_minor")
    assert [first[name] for name in nothing] == [None] * 5
    assert (first["user"], first["event_time"], first["placement"]) == (KNOWN[0].hex(), NOW, "")
    assert [second[name] for name in nothing] == ["q", 3, 2.0, 1.5, 99]
    answers = read_parts(tmp_path, "answers")
    assert answers.schema == ANSWER_SCHEMA
    (answer,) = answers.to_pylist()
    assert answer["product_ids"] == ["p1", "p2"]
    assert (answer["scores"], answer["sources"]) == ([7, -3], ["model", "rule"])
    assert answer["history"] == [
        {"product_id": "p9", "event_type": "click", "event_time": NOW - timedelta(microseconds=1)}
    ]
    assert answer["features"] == '{"age_years": 41.5, "liquid": null, "risk_level": "3"}'
    assert answer["withheld"] == [{"code": "MAT_LEVEL_OVER_TOLERANCE", "count": 4}]
    assert answer["experiments"] == [{"experiment": "ranker", "variant": "new"}]
    assert (answer["user"], answer["personalised"], answer["decision_time"]) == (KNOWN[1].hex(), True, NOW)


def test_full_segments_are_compacted_in_the_background(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store, segment_bytes_max=500)
    for number in range(10):
        record(log, f"e{number}")
    deadline_s = time.monotonic() + 120
    while len(list_segments(tmp_path)) > 1 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert record(log, "last") == [EventVerdict.ACCEPTED]
    log.close()
    compacted = read_parts(tmp_path, "events")["event_id"].to_pylist()
    assert 5 <= len(compacted) <= 10
    assert compacted == [f"e{number}" for number in range(len(compacted))]


def test_a_new_store_is_filled_from_parquet_and_segments(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    close_segment(tmp_path, store)
    log = open_log(tmp_path, store)
    record(log, "e6")
    log.close()
    again = MemoryStore()
    open_log(tmp_path, again).close()
    assert again.ids() == store.ids() == [f"e{number}" for number in range(7)]
    assert again.positions == store.positions
    assert again.applied[0].names == store.applied[0].names


def test_a_start_that_a_crash_cut_short_between_two_halves_of_a_block_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    record(log, "e0", "e1", "e2", "e3")
    log.close()
    close_segment(tmp_path, store)
    monkeypatch.setattr(compaction, "_BATCH_ROWS", 2)
    monkeypatch.setattr(replay, "GROUP_EVENT_COUNT_MIN", 1)
    again = DyingStore(append_count=1)
    with pytest.raises(FeedbackStateError):
        open_log(tmp_path, again)
    assert again.ids() == ["e0", "e1"]
    again.append_count = 9
    open_log(tmp_path, again).close()
    assert again.ids() == store.ids()
    assert again.positions == store.positions


def test_a_segment_that_a_crash_left_beside_its_parts_counts_once(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    number = list_segments(tmp_path)[-1]
    data = segment_path(tmp_path, number).read_bytes()
    close_segment(tmp_path, store)
    segment_path(tmp_path, number).write_bytes(data)
    again = MemoryStore()
    open_log(tmp_path, again).close()
    compact_before(tmp_path, list_segments(tmp_path)[-1])
    assert again.ids() == store.ids()
    assert read_parts(tmp_path, "events").num_rows == 6


def test_a_corrupt_segment_is_not_compacted(tmp_path: Path) -> None:
    fill(tmp_path, MemoryStore())
    path = segment_path(tmp_path, 1)
    data = path.read_bytes()
    path.write_bytes(data[:60] + b"x" + data[61:])
    with pytest.raises(FeedbackStateError, match="corrupt at offset"):
        compact_before(tmp_path, 2)
    assert path.exists()
    assert list_parts(tmp_path) == []


def test_lines_of_another_program_are_refused(tmp_path: Path) -> None:
    block = write_block(Block(BlockKind.EVENTS, 1, b'{"event_id":"a","colour":"red"}\n'))
    segment_path(tmp_path, 1).write_bytes(write_header("ab" * 16, 0) + block)
    with pytest.raises(FeedbackStateError, match="holds lines that are not ours"):
        compact_before(tmp_path, 2)


def holds(folder: Path, name: bytes) -> list[Path]:
    """Names the files in which a user's pseudonym is found, in Parquet by reading it."""
    segments = [segment_path(folder, number) for number in list_segments(folder)]
    found = [path for path in segments if name.hex().encode() in path.read_bytes()]
    parts = [path for path in list_parts(folder) if name.hex() in pq.read_table(path)["user"].to_pylist()]
    return found + parts


def test_an_erased_user_is_gone_from_segments_and_parquet(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    close_segment(tmp_path, store)
    log = open_log(tmp_path, store)
    record(log, "e6", name=KNOWN[0])
    record(log, "e7", name=KNOWN[1])
    store.erased.add(KNOWN[0])
    log.purge(frozenset({KNOWN[0].hex()}))
    assert holds(tmp_path, KNOWN[0]) == []
    log.offer(lambda: make_answer("late", KNOWN[0]))
    record(log, "e8", name=KNOWN[1])
    log.close()
    assert holds(tmp_path, KNOWN[0]) == []
    again = MemoryStore()
    open_log(tmp_path, again).close()
    assert again.ids() == ["e1", "e3", "e5", "e7", "e8"]


def test_a_purge_of_nobody_known_changes_no_file(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    close_segment(tmp_path, store)
    before = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path)}
    log = open_log(tmp_path, store)
    log.purge(frozenset({"77" * 34}))
    log.close()
    assert before == {path: path.stat().st_mtime_ns for path in list_parts(tmp_path)}


@pytest.mark.parametrize("crash_at", ["_clean_segment", "_clean_part"])
def test_an_erasure_that_a_crash_cut_short_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    close_segment(tmp_path, store)
    monkeypatch.setattr(Compactor, "notice", lambda *_: None)  # The segment is still there to be cleaned.
    log = open_log(tmp_path, store)
    record(log, "e6")

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(erasure, crash_at, crash)
        with pytest.raises(Crash):
            log.purge(frozenset({KNOWN[0].hex()}))
    log.close()
    assert holds(tmp_path, KNOWN[0]) != []
    open_log(tmp_path, store).close()
    assert holds(tmp_path, KNOWN[0]) == []
    assert list(tmp_path.glob("erasing-*")) == []


def test_an_erasure_planned_before_a_crash_is_carried_out_at_the_start(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    plan_erasure(tmp_path, frozenset({KNOWN[1].hex()}))
    open_log(tmp_path, store).close()
    assert holds(tmp_path, KNOWN[1]) == []
    assert holds(tmp_path, KNOWN[0]) != []
    assert [load_segment(tmp_path, number) for number in list_segments(tmp_path)]
