"""Users whom another server erased are out of this server's log once it has started again."""

from pathlib import Path

import pytest

from server.errors import FeedbackLogError, FeedbackStateError, StoreReadError
from server.events import EventVerdict
from server.feedback.erasure import FEW_USERS
from server.feedback.forgetting import FORGOTTEN, forget_erased
from server.feedback.segments import list_segments
from server.users.opening import StoreAddress, open_directory
from tests.server.conftest import Platform
from tests.server.feedback_cases import ERASED, KNOWN, MemoryStore, open_log
from tests.server.test_feedback_compaction import close_segment, fill, holds
from tests.server.test_feedback_service import copied_store, ids_of, make_event, start

__all__ = ["copied_store"]


def test_an_erasure_elsewhere_reaches_segments_and_parquet_at_the_next_start(tmp_path: Path) -> None:
    store = MemoryStore()
    fill(tmp_path, store)
    close_segment(tmp_path, store)
    fill(tmp_path, MemoryStore())
    store.erased.add(KNOWN[0])
    log = open_log(tmp_path, MemoryStore())
    assert len(holds(tmp_path, KNOWN[0])) > 1
    forget_erased(tmp_path, lambda: store.erased, log.purge)
    log.close()
    assert holds(tmp_path, KNOWN[0]) == []
    assert holds(tmp_path, KNOWN[1])


def test_many_erased_users_are_removed_and_nobody_else(tmp_path: Path) -> None:
    many = {bytes([5]) * 2 + number.to_bytes(32, "big") for number in range(FEW_USERS + 1)}
    fill(tmp_path, MemoryStore())
    log = open_log(tmp_path, MemoryStore())
    forget_erased(tmp_path, lambda: many | {KNOWN[0]}, log.purge)
    log.close()
    assert holds(tmp_path, KNOWN[0]) == []
    assert holds(tmp_path, KNOWN[1])


def test_a_log_is_gone_through_for_new_names_alone(tmp_path: Path) -> None:
    purged: list[frozenset[str]] = []
    for names in ({ERASED}, {ERASED}, {ERASED, KNOWN[1]}, {KNOWN[1]}):
        forget_erased(tmp_path, lambda names=names: names, purged.append)
    assert purged == [frozenset({ERASED.hex()}), frozenset({KNOWN[1].hex()})]
    assert sorted((tmp_path / FORGOTTEN).read_text().split()) == sorted([ERASED.hex(), KNOWN[1].hex()])


def test_what_could_not_be_removed_is_removed_at_the_next_start(tmp_path: Path) -> None:
    def fail(users: frozenset[str]) -> None:
        raise FeedbackLogError("the disk is full")

    def be_down() -> set[bytes]:
        raise StoreReadError("down")

    purged: list[frozenset[str]] = []
    with pytest.raises(FeedbackStateError, match="the disk is full"):
        forget_erased(tmp_path, lambda: {ERASED}, fail)
    with pytest.raises(FeedbackStateError, match="down"):
        forget_erased(tmp_path, be_down, purged.append)
    forget_erased(tmp_path, lambda: {ERASED}, purged.append)
    assert purged == [frozenset({ERASED.hex()})]


def test_a_server_forgets_at_start_whom_another_erased(
    platform: Platform, copied_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    place = start(platform, tmp_path / "first", folder, copied_store)
    with place.server:
        product = ids_of(place.recommend("cautious"))[0]
        assert place.record(make_event(product, user_id="cautious")) == [EventVerdict.ACCEPTED]
        place.server.stop()
    users = open_directory(StoreAddress(str(copied_store)), allow_assumed=True)
    users.erase("cautious")
    users.require_store().close()
    name = users.pseudonyms.derive("cautious")
    assert holds(folder, name)
    place = start(platform, tmp_path / "second", folder, copied_store)
    with place.server:
        place.server.stop()
    assert list_segments(folder)
    assert holds(folder, name) == []
