"""Segments of the feedback log under damage, kills and full disks."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import FeedbackLogError, FeedbackStateError
from server.feedback import segments
from server.feedback.blocks import BLOCK_HEADER, SEGMENT_HEADER, Block, BlockKind, read_segment
from server.feedback.disk import Disk, hold_lock
from server.feedback.segments import SegmentWriter, list_segments, load_segment, read_blocks, segment_path

EVENTS, ANSWERS = BlockKind.EVENTS, BlockKind.ANSWERS
HASTY = Disk(sync=lambda _: None)
"""A disk that waits for nothing: most tests cut no power."""
PAYLOADS = tuple(b'{"event_id":"%d"}\n' % number * (1 + number % 3) for number in range(7))


def fill(folder: Path, payloads: Sequence[bytes] = PAYLOADS, bytes_max: int = 1 << 20) -> bytes:
    """Appends one block for each payload and returns the bytes of the last segment."""
    writer = SegmentWriter(folder, segment_bytes_max=bytes_max, disk=HASTY)
    for payload in payloads:
        writer.append([(EVENTS, payload)])
    writer.close()
    return segment_path(folder, writer.number).read_bytes()


def read_payloads(folder: Path) -> list[bytes]:
    return [block.payload for block in read_blocks(folder, 0)]


def test_what_was_appended_is_read_in_order_over_segments(tmp_path: Path) -> None:
    fill(tmp_path, bytes_max=100)
    assert len(list_segments(tmp_path)) > 2
    assert read_payloads(tmp_path) == list(PAYLOADS)
    assert [block.sequence for block in read_blocks(tmp_path, 3)] == [4, 5, 6, 7]


def test_a_restart_goes_on_with_the_same_log(tmp_path: Path) -> None:
    fill(tmp_path, PAYLOADS[:3])
    first = load_segment(tmp_path, 1).log_id
    fill(tmp_path, PAYLOADS[3:])
    assert read_payloads(tmp_path) == list(PAYLOADS)
    assert load_segment(tmp_path, 1).log_id == first


def test_blocks_of_one_append_have_kinds_and_sequences_of_their_own(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    assert writer.append([(EVENTS, b"a\n"), (ANSWERS, b"b\n")]) == 2
    writer.close()
    assert list(read_blocks(tmp_path, 0)) == [Block(EVENTS, 1, b"a\n"), Block(ANSWERS, 2, b"b\n")]


def test_truncation_anywhere_leaves_whole_blocks_only(tmp_path: Path) -> None:
    data = fill(tmp_path)
    ends = [SEGMENT_HEADER.size]
    for payload in PAYLOADS:
        ends.append(ends[-1] + BLOCK_HEADER.size + len(payload))
    for size in range(SEGMENT_HEADER.size, len(data) + 1):
        segment_path(tmp_path, 1).write_bytes(data[:size])
        writer = SegmentWriter(tmp_path, disk=HASTY)
        whole = sum(end <= size for end in ends) - 1
        assert writer.sequence == whole
        writer.append([(EVENTS, b"next\n")])
        writer.close()
        assert read_payloads(tmp_path) == [*PAYLOADS[:whole], b"next\n"]


@pytest.mark.parametrize("size", [0, 1, SEGMENT_HEADER.size - 1])
def test_a_segment_without_its_header_is_refused(tmp_path: Path, size: int) -> None:
    data = fill(tmp_path)
    segment_path(tmp_path, 1).write_bytes(data[:size])
    with pytest.raises(FeedbackStateError, match=r"segment-00000001.log: corrupt at offset 0"):
        SegmentWriter(tmp_path)


def test_a_flipped_bit_is_refused_or_cuts_the_last_block_only(tmp_path: Path) -> None:
    data = fill(tmp_path)
    last_start = len(data) - BLOCK_HEADER.size - len(PAYLOADS[-1])
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        if position < last_start:
            with pytest.raises(FeedbackStateError, match=r"corrupt at offset|expected format"):
                read_segment(bytes(damaged), "segment", last=True)
            continue
        assert read_segment(bytes(damaged), "segment", last=True).size == last_start
        with pytest.raises(FeedbackStateError, match=f"corrupt at offset {last_start}: no whole block 7"):
            read_segment(bytes(damaged), "segment", last=False)


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=80), overwrite=st.booleans())
def test_random_bytes_never_become_an_event(place: float, junk: bytes, overwrite: bool) -> None:
    header = 16
    data = _SAMPLE
    start = SEGMENT_HEADER.size + int(place * (len(data) - SEGMENT_HEADER.size))
    damaged = data[:start] + junk + data[start + len(junk) * overwrite :]
    try:
        found = read_segment(damaged, "segment", last=True)
    except FeedbackStateError as error:
        assert "corrupt at offset" in str(error)  # noqa: PT017 - either outcome is right, a third is not.
        return
    assert header < found.size <= len(damaged)
    assert [block.payload for block in found.blocks] == list(PAYLOADS[: len(found.blocks)])


def test_a_missing_block_is_refused(tmp_path: Path) -> None:
    data = fill(tmp_path)
    second = SEGMENT_HEADER.size + BLOCK_HEADER.size + len(PAYLOADS[0])
    third = second + BLOCK_HEADER.size + len(PAYLOADS[1])
    segment_path(tmp_path, 1).write_bytes(data[:second] + data[third:])
    with pytest.raises(FeedbackStateError, match=rf"offset {second}: expected block 2, got block 3"):
        SegmentWriter(tmp_path)


def test_a_closed_segment_may_not_end_in_a_torn_block(tmp_path: Path) -> None:
    fill(tmp_path, bytes_max=100)
    path = segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FeedbackStateError, match=r"segment-00000001.log: corrupt at offset"):
        SegmentWriter(tmp_path)


def test_a_missing_segment_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, bytes_max=50)
    segment_path(tmp_path, 2).unlink()
    with pytest.raises(FeedbackStateError, match=r"segment-00000002.log is missing"):
        SegmentWriter(tmp_path)


def test_a_segment_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, bytes_max=50)
    segment_path(tmp_path / "one", 2).write_bytes(segment_path(tmp_path / "two", 2).read_bytes())
    with pytest.raises(FeedbackStateError, match=r"segment-00000002.log: expected log"):
        SegmentWriter(tmp_path / "one")


def test_another_format_is_named(tmp_path: Path) -> None:
    data = fill(tmp_path)
    segment_path(tmp_path, 1).write_bytes(data[:7] + b"\x02" + data[8:])
    with pytest.raises(FeedbackStateError, match=r"expected format 1, got 2"):
        SegmentWriter(tmp_path)


def test_a_second_holder_is_refused_and_the_first_frees_the_folder(tmp_path: Path) -> None:
    with (
        hold_lock(tmp_path / "lock", wait=False),
        pytest.raises(FeedbackStateError, match="held by another process"),
        hold_lock(tmp_path / "lock", wait=False),
    ):
        pass
    with hold_lock(tmp_path / "lock", wait=False):
        pass


@dataclass
class FailingDisk:
    """A disk that fails on request: after some bytes, or when it is to make things durable."""

    free_bytes: int = 1 << 30
    sync_fails: bool = False
    cut_fails: bool = False

    def disk(self) -> Disk:
        return Disk(write=self._write, sync=self._sync, truncate=self._truncate)

    def _write(self, descriptor: int, data: memoryview) -> int:
        count = min(len(data), self.free_bytes)
        if count == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free_bytes -= count
        return Disk().write(descriptor, data[:count])

    def _sync(self, descriptor: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        Disk().sync(descriptor)

    def _truncate(self, descriptor: int, size: int) -> None:
        if self.cut_fails:
            raise OSError(errno.EIO, "Input/output error")
        Disk().truncate(descriptor, size)


@pytest.mark.parametrize("free_bytes", [0, 1, BLOCK_HEADER.size, BLOCK_HEADER.size + 3])
def test_a_full_disk_refuses_and_goes_on_once_space_returns(tmp_path: Path, free_bytes: int) -> None:
    failing = FailingDisk()
    writer = SegmentWriter(tmp_path, disk=failing.disk())
    writer.append([(EVENTS, b"first\n")])
    failing.free_bytes = free_bytes
    for _ in range(2):
        with pytest.raises(FeedbackLogError, match="No space left on device"):
            writer.append([(EVENTS, b"refused\n")])
    failing.free_bytes = 1 << 20
    assert writer.append([(EVENTS, b"second\n")]) == 2
    writer.close()
    assert read_payloads(tmp_path) == [b"first\n", b"second\n"]


def test_what_a_failed_sync_left_is_cut_before_anything_else_is_written(tmp_path: Path) -> None:
    failing = FailingDisk()
    writer = SegmentWriter(tmp_path, disk=failing.disk())
    writer.append([(EVENTS, b"first\n")])
    failing.sync_fails = failing.cut_fails = True
    for _ in range(2):
        with pytest.raises(FeedbackLogError, match="Input/output error"):
            writer.append([(EVENTS, b"refused\n")])
    failing.sync_fails = failing.cut_fails = False
    writer.append([(EVENTS, b"second\n")])
    writer.close()
    assert read_payloads(tmp_path) == [b"first\n", b"second\n"]


def test_a_segment_that_cannot_be_begun_refuses_and_loses_nothing(tmp_path: Path) -> None:
    failing = FailingDisk()
    writer = SegmentWriter(tmp_path, segment_bytes_max=1, disk=failing.disk())
    writer.append([(EVENTS, b"first\n")])
    failing.sync_fails = True
    with pytest.raises(FeedbackLogError):
        writer.append([(EVENTS, b"refused\n")])
    failing.sync_fails = False
    writer.append([(EVENTS, b"second\n")])
    writer.close()
    assert read_payloads(tmp_path) == [b"first\n", b"second\n"]
    SegmentWriter(tmp_path).close()


def _make_sample() -> bytes:
    from server.feedback.blocks import write_block, write_header

    blocks = [Block(EVENTS, number, payload) for number, payload in enumerate(PAYLOADS, start=1)]
    return write_header("ab" * 16, 0) + b"".join(write_block(block) for block in blocks)


_SAMPLE = _make_sample()


def test_a_next_segment_that_could_not_be_opened_follows_what_is_written_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there by then, and says after which block it begins."""

    def refuse(_: Path) -> int:
        raise OSError(24, "Too many open files")

    writer = SegmentWriter(tmp_path)
    writer.append([(BlockKind.EVENTS, b"1\n")])
    with monkeypatch.context() as patched:
        patched.setattr(segments, "_open", refuse)
        with pytest.raises(OSError, match="Too many"):
            writer.rotate()
    writer.append([(BlockKind.EVENTS, b"2\n")])
    writer.close()
    again = SegmentWriter(tmp_path)
    assert again.sequence == 2
    again.close()
    assert [block.payload for block in read_blocks(tmp_path, 0)] == [b"1\n", b"2\n"]


def test_nothing_is_written_to_a_segment_that_was_removed(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([(BlockKind.EVENTS, b"a\n")])
    segment_path(tmp_path, 1).unlink()
    with pytest.raises(FeedbackLogError, match="was removed"):
        writer.append([(BlockKind.EVENTS, b"b\n")])
    writer.close()
