"""The policy log: what was accepted is read back whole or the server stops; what was not is cut off."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from server.chain_lines import write_line, write_snapshot
from server.errors import PolicyLogError, PolicyStateError
from server.policy_log import FILE_NAME, ChangeKind, PolicyLog

TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
TEXTS = ('{"a":1}', '{"b":"二"}', '{"c":[]}')


def write_log(folder: Path, count: int = 3) -> bytes:
    with PolicyLog(folder) as log:
        for text in TEXTS[:count]:
            log.append(TIME, ChangeKind.OVERLAY, text.encode(), b"{}")
    return (folder / FILE_NAME).read_bytes()


def read_documents(folder: Path) -> list[str]:
    with PolicyLog(folder) as log:
        return [record.document for record in log.records]


def test_a_log_is_made_where_there_is_none_and_read_back(tmp_path: Path) -> None:
    assert read_documents(tmp_path) == []
    write_log(tmp_path, 2)
    with PolicyLog(tmp_path) as log:
        log.append(TIME, ChangeKind.ACTIVATE, TEXTS[2].encode(), b"{}")
    with PolicyLog(tmp_path) as log:
        assert [record.document for record in log.records] == list(TEXTS)
        assert [record.sequence for record in log.records] == [1, 2, 3]
        assert log.records[2].kind is ChangeKind.ACTIVATE
        assert log.records[0].time == "2026-11-22T09:00:00+00:00"


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(tmp_path: Path) -> None:
    whole = write_log(tmp_path)
    kept = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for size in range(kept + 1, len(whole)):
        (tmp_path / FILE_NAME).write_bytes(whole[:size])
        with structlog.testing.capture_logs() as logs:
            assert read_documents(tmp_path) == list(TEXTS[:2])
        assert [(line["log_level"], line["line"]) for line in logs] == [("warning", 3)]
        assert (tmp_path / FILE_NAME).read_bytes() == whole[:kept]


def test_a_log_goes_on_after_a_torn_line_was_cut(tmp_path: Path) -> None:
    whole = write_log(tmp_path, 2)
    (tmp_path / FILE_NAME).write_bytes(whole[:-5])
    with PolicyLog(tmp_path) as log:
        log.append(TIME, ChangeKind.OVERLAY, TEXTS[2].encode(), b"{}")
    assert read_documents(tmp_path) == [TEXTS[0], TEXTS[2]]


@pytest.mark.parametrize("bit", [1, 2, 8, 32])
def test_a_flipped_bit_anywhere_stops_the_server_and_names_the_line(tmp_path: Path, bit: int) -> None:
    whole = write_log(tmp_path)
    ends = [position for position, byte in enumerate(whole) if byte == ord("\n")]
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= bit
        (tmp_path / FILE_NAME).write_bytes(changed)
        line = 1 + sum(end < position for end in ends)
        with pytest.raises(PolicyStateError, match=rf"policy_state: .*: line {line}: "):
            PolicyLog(tmp_path)


def test_a_missing_a_doubled_and_a_moved_line_stop_the_server(tmp_path: Path) -> None:
    first, second, third = write_log(tmp_path).splitlines(keepends=True)
    for lines in ([second, third], [first, third], [first, first, second], [first, third, second]):
        (tmp_path / FILE_NAME).write_bytes(b"".join(lines))
        with pytest.raises(PolicyStateError, match=r"line \d: expected"):
            PolicyLog(tmp_path)


def test_a_line_of_another_log_and_a_wrong_number_stop_the_server(tmp_path: Path) -> None:
    first, _, _ = write_log(tmp_path).splitlines(keepends=True)
    (tmp_path / FILE_NAME).unlink()
    with PolicyLog(tmp_path) as log:
        for text in reversed(TEXTS):
            log.append(TIME, ChangeKind.OVERLAY, text.encode(), b"{}")
    _, second, third = (tmp_path / FILE_NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE_NAME).write_bytes(first + second + third)
    with pytest.raises(PolicyStateError, match="line 2: expected the line before it"):
        PolicyLog(tmp_path)
    line = write_line(
        5, {"time": TIME.isoformat(), "kind": "overlay", "document": TEXTS[0], "signatures": "{}"}, "0" * 64
    )
    (tmp_path / FILE_NAME).write_bytes(line)
    with pytest.raises(PolicyStateError, match="line 1: expected sequence 1, got 5"):
        PolicyLog(tmp_path)


def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    with PolicyLog(tmp_path), pytest.raises(PolicyStateError, match="held by another server"):
        PolicyLog(tmp_path)
    assert read_documents(tmp_path) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyStateError, match=r"policy_state: there is no folder .*none; name the one that"):
        PolicyLog(tmp_path / "none")


def test_a_snapshot_is_no_policy_log(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(write_snapshot(4, "{}", "0" * 64))
    with pytest.raises(PolicyStateError, match="line 1: the policy log is never compacted"):
        PolicyLog(tmp_path)


def test_what_a_server_left_in_memory_is_on_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    with PolicyLog(tmp_path) as log:
        assert len(log.records) == 3
    assert (tmp_path / FILE_NAME).stat().st_ino in synced


@pytest.mark.parametrize("harm", ["removed", "replaced", "moved", "longer", "shorter"])
def test_nothing_is_accepted_into_a_file_that_no_restart_would_read(tmp_path: Path, harm: str) -> None:
    path = tmp_path / FILE_NAME
    whole = write_log(tmp_path, 2)
    with PolicyLog(tmp_path) as log:
        if harm in ("removed", "replaced"):
            path.unlink()
        if harm == "replaced":
            path.write_bytes(whole)
        if harm == "moved":
            path.rename(tmp_path / "policy-log.jsonl.1")
        if harm in ("longer", "shorter"):
            os.truncate(path, len(whole) + (7 if harm == "longer" else -7))
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(PolicyLogError, match=r"gone|replaced or changed"):
            log.append(TIME, ChangeKind.OVERLAY, TEXTS[2].encode(), b"{}")
        assert (path.read_bytes() if path.exists() else None) == before
        assert len(log.records) == 2


def test_a_line_that_cannot_be_written_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path, 1)
    with PolicyLog(tmp_path) as log:
        monkeypatch.setattr(os, "write", lambda descriptor, line: os.pwrite(descriptor, line[:7], 0) and 7)
        with pytest.raises(PolicyLogError, match="7 of"):
            log.append(TIME, ChangeKind.OVERLAY, TEXTS[1].encode(), b"{}")
        monkeypatch.undo()
        assert len(log.records) == 1
        log.append(TIME, ChangeKind.OVERLAY, TEXTS[2].encode(), b"{}")
    assert read_documents(tmp_path) == [TEXTS[0], TEXTS[2]]


def test_a_line_that_cannot_be_made_durable_is_not_accepted_nor_any_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    write_log(tmp_path, 1)
    with PolicyLog(tmp_path) as log:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(PolicyLogError, match="Input/output error"):
            log.append(TIME, ChangeKind.OVERLAY, TEXTS[1].encode(), b"{}")
        monkeypatch.undo()
        # The cut could not be made durable either, so what the file holds after a crash is not known.
        with pytest.raises(PolicyLogError, match="until the server restarts"):
            log.append(TIME, ChangeKind.OVERLAY, TEXTS[1].encode(), b"{}")
