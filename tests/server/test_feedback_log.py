"""The feedback log: what is acknowledged is durable and applied, once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from server.batch_queue import Call
from server.errors import (
    DeadlineError,
    FeedbackLogError,
    FeedbackStateError,
    NotReadyError,
    OverloadError,
    StoreReadError,
    StoreWriteError,
)
from server.events import EventVerdict
from server.feedback import event_log
from server.feedback.blocks import BlockKind
from server.feedback.compaction import FILES_LOCK
from server.feedback.disk import Disk, hold_lock
from server.feedback.lines import read_events
from server.feedback.segments import read_blocks, segment_path
from tests.server.feedback_cases import (
    ERASED,
    KNOWN,
    PATIENT,
    UNKNOWN,
    MemoryStore,
    make_answer,
    open_log,
    record,
    report,
)
from tests.server.test_feedback_segments import FailingDisk

ACCEPTED, DUPLICATE = EventVerdict.ACCEPTED, EventVerdict.DUPLICATE


def logged_ids(folder: Path) -> list[str]:
    return [
        event.event_id
        for block in read_blocks(folder, 0)
        if block.kind is BlockKind.EVENTS
        for event in read_events(block.payload, block.sequence)
    ]


def test_an_accepted_event_is_in_the_log_and_in_the_store(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    sent = report("a", position=2, answer_id="q", rating=4.5, revenue_minor=0, campaign="straße\u2028")
    assert log.record([sent], PATIENT) == [ACCEPTED]
    (block,) = read_blocks(tmp_path, 0)
    (event,) = read_events(block.payload, 1)
    assert (event.user, event.position, event.answer_id) == (KNOWN[0].hex(), 2, "q")
    assert (event.rating, event.revenue_minor, event.campaign) == (4.5, 0, "straße\u2028")
    assert store.ids() == ["a"]
    assert store.positions == {store_id(log): 1}
    log.close()


def store_id(log: event_log.EventLog) -> str:
    return log._segments.log_id


def test_each_event_has_its_own_verdict_and_only_good_ones_are_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    batch = [report("a"), report("b", UNKNOWN), report("c", ERASED), report("a"), report("d", KNOWN[1])]
    assert log.record(batch, PATIENT) == [
        ACCEPTED,
        EventVerdict.USER_UNKNOWN,
        EventVerdict.USER_ERASED,
        DUPLICATE,
        ACCEPTED,
    ]
    log.close()
    assert logged_ids(tmp_path) == store.ids() == ["a", "d"]


def test_an_id_that_was_refused_for_its_user_is_free_for_another(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryStore())
    assert log.record([report("a", UNKNOWN), report("a")], PATIENT) == [EventVerdict.USER_UNKNOWN, ACCEPTED]
    log.close()


def test_a_duplicate_is_known_across_restarts(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    record(log, "a", "b")
    log.close()
    log = open_log(tmp_path, store)
    assert record(log, "b", "c") == [DUPLICATE, ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == ["a", "b", "c"]


def test_a_start_applies_what_the_log_has_and_the_store_lacks(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryStore())
    record(log, "a")
    record(log, "b")
    log.offer(lambda: make_answer("q"))
    log.close()
    empty = MemoryStore()
    log = open_log(tmp_path, empty)
    assert empty.ids() == ["a", "b"]
    assert record(log, "a", "c") == [DUPLICATE, ACCEPTED]
    log.close()


def test_a_log_that_lost_acknowledged_events_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    record(log, "a")
    record(log, "b")
    log.close()
    path = segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FeedbackStateError, match="ends at block 1, the store has applied block 2"):
        open_log(tmp_path, store)
    with pytest.raises(FeedbackStateError, match="ends at block 1"):  # The lock was given back.
        open_log(tmp_path, store)


def test_a_second_server_on_the_same_log_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryStore())
    with pytest.raises(FeedbackStateError, match="held by another process"):
        open_log(tmp_path, MemoryStore())
    log.close()
    open_log(tmp_path, MemoryStore()).close()


def test_many_writers_share_commits_and_lose_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store, segment_bytes_max=4000)
    threads = [
        threading.Thread(target=lambda base=base: [record(log, f"{base}-{n}", f"s-{n}") for n in range(20)])
        for base in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    expected = {f"{base}-{n}" for base in range(8) for n in range(20)} | {f"s-{n}" for n in range(20)}
    assert sorted(store.ids()) == sorted(expected)


def test_a_full_disk_acknowledges_nothing_and_recording_goes_on_with_space(tmp_path: Path) -> None:
    failing, store = FailingDisk(), MemoryStore()
    log = open_log(tmp_path, store, disk=failing.disk())
    record(log, "a")
    failing.free_bytes = 3
    for _ in range(2):
        with pytest.raises(FeedbackLogError, match="No space left on device"):
            record(log, "b")
    assert store.ids() == ["a"]
    failing.free_bytes = 1 << 20
    assert record(log, "b", "c") == [ACCEPTED, ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == store.ids() == ["a", "b", "c"]


def test_a_failed_sync_acknowledges_nothing(tmp_path: Path) -> None:
    failing, store = FailingDisk(), MemoryStore()
    log = open_log(tmp_path, store, disk=failing.disk())
    failing.sync_fails = True
    with pytest.raises(FeedbackLogError, match="Input/output error"):
        record(log, "a")
    failing.sync_fails = False
    assert record(log, "a") == [ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == ["a"]


def test_a_store_that_stays_down_is_told_once(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    store.read_fails = True
    with structlog.testing.capture_logs() as told:
        for event_id in ("a", "b", "c"):
            with pytest.raises(StoreReadError):
                record(log, event_id)
        log.close()
    assert [line["event"] for line in told] == ["feedback_not_recorded"]


def test_a_store_that_cannot_be_asked_fails_the_call_and_writes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    store.read_fails = True
    with pytest.raises(StoreReadError):
        record(log, "a")
    store.read_fails = False
    assert record(log, "a") == [ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == ["a"]


def test_what_the_store_could_not_take_is_applied_first_once_it_can(tmp_path: Path) -> None:
    store = MemoryStore()
    log = open_log(tmp_path, store)
    store.write_fails = True
    for _ in range(2):
        with pytest.raises(StoreWriteError):
            record(log, "a")
    store.write_fails = False
    assert record(log, "a", "b") == [DUPLICATE, ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == store.ids() == ["a", "b"]


def test_events_beyond_what_may_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "WAITING_EVENT_COUNT_MAX", 3)
    store = MemoryStore()
    store.gate.clear()
    log = open_log(tmp_path, store)
    impatient = Call(time.monotonic() + 0.05, lambda: True)
    with pytest.raises(DeadlineError):
        log.record([report("a")], impatient)  # Its group waits for the store.
    for event_id in ("b", "c"):
        with pytest.raises(DeadlineError):
            log.record([report(event_id)], impatient)
    with pytest.raises(OverloadError):
        log.record([report("d"), report("e")], PATIENT)
    store.gate.set()
    assert record(log, "f") == [ACCEPTED]
    log.close()
    assert store.ids() == ["a", "f"]  # Nobody waited for the others any more.


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryStore())
    log.close()
    with pytest.raises(NotReadyError):
        record(log, "a")
    log.offer(lambda: make_answer("q"))


def test_answers_beyond_what_may_wait_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "WAITING_ANSWER_COUNT_MAX", 2)
    store = MemoryStore()
    store.gate.clear()
    log = open_log(tmp_path, store)
    with pytest.raises(DeadlineError):
        log.record([report("a")], Call(time.monotonic() + 0.05, lambda: True))
    for number in range(5):
        log.offer(lambda number=number: make_answer(f"q{number}"))
    store.gate.set()
    log.close()
    assert log._metrics.answers.labels("queue_full")._value.get() == 3
    assert log._metrics.answers.labels("logged")._value.get() == 2


def test_an_answer_that_cannot_be_made_harms_no_event(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryStore())
    log.offer(lambda: 1 / 0)
    assert record(log, "a") == [ACCEPTED]
    log.close()
    assert log._metrics.answers.labels("failed")._value.get() == 1


def test_who_was_erased_is_forgotten_once_no_answer_can_be_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path, MemoryStore())
    log.purge(frozenset({"a"}))
    log.purge(frozenset({"b"}))
    assert set(log._erased) == {"a", "b"}
    monkeypatch.setattr(event_log, "ERASED_S", 0.0)
    log.purge(frozenset({"c"}))
    assert set(log._erased) == {"c"}
    log.close()


def test_erasures_beyond_what_may_wait_are_refused_and_work_when_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold the threads that recommendations are answered by."""
    monkeypatch.setattr(event_log, "PURGE_COUNT_MAX", 1)
    log, users = open_log(tmp_path, MemoryStore()), frozenset({KNOWN[0].hex()})
    with ThreadPoolExecutor(1) as pool:
        with hold_lock(tmp_path / FILES_LOCK, wait=True):
            first = pool.submit(log.purge, users)
            while not log._erased:
                time.sleep(0.001)
            with pytest.raises(OverloadError):
                log.purge(users)
        first.result(timeout=120)
    log.purge(users)
    log.close()


def test_a_log_whose_thread_outlives_its_close_keeps_its_file_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "CLOSE_S_MAX", 0.05)
    goes_on, reached = threading.Event(), threading.Event()

    def wait(descriptor: int) -> None:
        if threading.current_thread().name == "feedback":
            reached.set()
            goes_on.wait(120.0)
        Disk().sync(descriptor)

    log = open_log(tmp_path, MemoryStore(), disk=Disk(sync=wait))
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(log.record, [report("a")], PATIENT)
        assert reached.wait(120.0)
        with structlog.testing.capture_logs() as logs:
            log.close()
        assert [line["event"] for line in logs] == ["feedback_not_closed"]
        with pytest.raises(FeedbackStateError, match="held by another process"):
            open_log(tmp_path, MemoryStore())
        goes_on.set()
        assert sent.result(120.0) == [ACCEPTED]
    log.close()
    assert logged_ids(tmp_path) == ["a"]
