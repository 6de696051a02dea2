"""Small Parquet parts are merged, and nothing is read twice or lost where a crash comes between."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.errors import FeedbackStateError
from server.feedback import parts
from server.feedback.compaction import compact_before
from server.feedback.parts import MERGE_COUNT, list_current, list_parts, merge_parts, part_path, write_part
from server.feedback.segments import list_segments
from tests.server.feedback_cases import KNOWN, MemoryStore, make_answer, open_log, read_parts, record


def write(folder: Path, *numbers: int) -> None:
    for number in numbers:
        write_part(part_path(folder, number), pa.table({"row": [number, -number]}))


def names(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.iterdir())]


def rows(folder: Path) -> list[int]:
    tables = [pq.read_table(path) for path in list_current(folder)]
    return [row for table in tables for row in table["row"].to_pylist()]


def both(*numbers: int) -> list[int]:
    return [row for number in numbers for row in (number, -number)]


def test_eight_small_parts_become_one_in_their_order(tmp_path: Path) -> None:
    numbers = range(3, 3 + MERGE_COUNT + 2)
    write(tmp_path, *numbers)
    merge_parts(tmp_path)
    assert names(tmp_path) == [part_path(tmp_path, number).name for number in (10, 11, 12)]
    assert rows(tmp_path) == both(*numbers)


def test_fewer_are_left_alone_and_a_merged_part_is_merged_again(tmp_path: Path) -> None:
    write(tmp_path, *range(1, MERGE_COUNT))
    merge_parts(tmp_path)
    assert len(names(tmp_path)) == MERGE_COUNT - 1
    write(tmp_path, *range(MERGE_COUNT, 2 * MERGE_COUNT))
    for _ in range(2):
        merge_parts(tmp_path)
    assert names(tmp_path) == ["part-00000015.parquet"]
    assert rows(tmp_path) == both(*range(1, 16))


def test_a_large_part_stays_as_it_is_between_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *range(1, 2 * MERGE_COUNT))
    write_part(part_path(tmp_path, 8), pa.table({"row": list(range(900))}))
    monkeypatch.setattr(parts, "PART_BYTES_SMALL", part_path(tmp_path, 8).stat().st_size)
    merge_parts(tmp_path)
    assert len(names(tmp_path)) == 2 * MERGE_COUNT - 1


def test_a_crash_between_merging_and_removing_leaves_nothing_to_be_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = range(1, MERGE_COUNT + 2)
    write(tmp_path, *numbers)
    with monkeypatch.context() as crashed:
        crashed.setattr(parts, "_remove", lambda *_: None)
        merge_parts(tmp_path)
    assert len(names(tmp_path)) == MERGE_COUNT + 1
    assert rows(tmp_path) == both(*numbers)
    merge_parts(tmp_path)
    assert names(tmp_path) == ["part-00000008.parquet", "part-00000009.parquet"]
    assert rows(tmp_path) == both(*numbers)


def test_parts_of_an_earlier_version_are_merged_with_those_of_this_one(tmp_path: Path) -> None:
    write(tmp_path, *range(1, MERGE_COUNT))
    write_part(part_path(tmp_path, MERGE_COUNT), pa.table({"row": [8], "more": ["new"]}))
    merge_parts(tmp_path)
    (merged,) = list_current(tmp_path)
    assert pq.read_table(merged)["more"].to_pylist() == [None] * (2 * MERGE_COUNT - 2) + ["new"]


def test_parts_that_contradict_one_another_are_named_and_stay(tmp_path: Path) -> None:
    write(tmp_path, *range(1, MERGE_COUNT))
    write_part(part_path(tmp_path, MERGE_COUNT), pa.table({"row": ["text"]}))
    with pytest.raises(FeedbackStateError, match=r"part-00000008\.parquet and others before it differ"):
        merge_parts(tmp_path)
    assert len(names(tmp_path)) == MERGE_COUNT


def test_a_part_that_is_none_is_named(tmp_path: Path) -> None:
    part_path(tmp_path, 1).write_bytes(b"PAR1")
    with pytest.raises(FeedbackStateError, match=r"part-00000001\.parquet cannot be read"):
        merge_parts(tmp_path)


def test_a_log_of_many_erasures_has_few_parts_and_fills_a_new_store(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    for number in range(MERGE_COUNT + 3):
        record(log, f"e{number}", name=KNOWN[1])
        log.offer(lambda number=number: make_answer(f"q{number}", KNOWN[1]))
        log.purge(frozenset({KNOWN[0].hex()}))
    log.close()
    compact_before(tmp_path, list_segments(tmp_path)[-1])
    assert len(list_parts(tmp_path)) < 2 * MERGE_COUNT
    expected = [f"e{number}" for number in range(MERGE_COUNT + 3)]
    assert read_parts(tmp_path, "events")["event_id"].to_pylist() == expected
    again = MemoryStore()
    open_log(tmp_path, again).close()
    assert again.ids() == expected
    log = open_log(tmp_path, again)
    log.purge(frozenset({KNOWN[1].hex()}))
    log.close()
    assert [path for path in list_parts(tmp_path) if pq.read_table(path).num_rows] == []
