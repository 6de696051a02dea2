"""After an fsync that failed, a start believes the disk and not what memory still holds of a file."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server import settled_files
from server.errors import StoreError
from server.feedback.blocks import BlockKind
from server.feedback.segments import SegmentWriter, segment_path
from server.policy_log import FILE_NAME, ChangeKind, PolicyLog
from server.users.sqlite_place import list_companions, settle_log

TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def lose_beyond(monkeypatch: pytest.MonkeyPatch, size: int) -> list[str]:
    """Lets memory hold what never reached the disk: once forgotten, a file ends where it does there."""
    steps: list[str] = []
    sync = os.fsync

    def forget(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        steps.append("forget")
        os.ftruncate(descriptor, min(size, os.fstat(descriptor).st_size))

    def note(descriptor: int) -> None:
        steps.append("sync")
        sync(descriptor)

    monkeypatch.setattr(settled_files.os, "posix_fadvise", forget)
    monkeypatch.setattr(settled_files.os, "fsync", note)
    return steps


def test_the_feedback_log_goes_on_after_the_last_block_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([(BlockKind.EVENTS, b"first\n")])
    size = segment_path(tmp_path, 1).stat().st_size
    writer.append([(BlockKind.EVENTS, b"second\n")])
    writer.close()
    lose_beyond(monkeypatch, size)
    again = SegmentWriter(tmp_path)
    again.close()
    assert again.sequence == 1


def test_a_chained_log_goes_on_after_the_last_line_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PolicyLog(tmp_path) as log:
        log.append(TIME, ChangeKind.OVERLAY, b"{}", b"{}")
        size = (tmp_path / FILE_NAME).stat().st_size
        log.append(TIME, ChangeKind.OVERLAY, b"[]", b"{}")
    lose_beyond(monkeypatch, size)
    with PolicyLog(tmp_path) as log:
        assert [record.document for record in log.records] == ["{}"]


def test_a_store_s_log_is_written_before_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.sqlite"
    settle_log(path)
    log, _ = list_companions(path)
    log.write_bytes(b"frames that never arrived")
    steps = lose_beyond(monkeypatch, 6)
    settle_log(path)
    assert (steps, log.read_bytes()) == (["sync", "forget"], b"frames")


def test_a_store_whose_log_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    list_companions(path)[0].mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        settle_log(path)
