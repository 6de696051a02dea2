"""What happens to a store beside serving: erasure, imports while it is written, a full disk, other keys."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.errors import PseudonymKeyError, StoreWriteError
from server.users.edits import set_block
from server.users.pseudonyms import Pseudonyms
from server.users.sqlite_store import SqliteStore
from server.users.store import ProfileChange, UserEvent
from tests.server.store_cases import EVENTS, PROFILES, PSEUDONYMS, Import, find, open_store


def test_an_erased_profile_is_in_no_byte_of_any_file(run_import: Import, store_path: Path) -> None:
    run_import(profiles=[PROFILES[0] | {"risk_level": 4711}])
    with open_store(store_path) as store:
        assert any(b"4711" in path.read_bytes() for path in store_path.parent.glob("users.sqlite*"))
        store.erase(PSEUDONYMS.derive_all("ana"), 1)
        assert not any(b"4711" in path.read_bytes() for path in store_path.parent.glob("users.sqlite*"))


def test_an_erased_history_is_in_no_byte_of_any_file(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store:
        names = PSEUDONYMS.derive_all("ana")
        for number in range(60):
            store.append_events(
                [UserEvent(f"e{number}", names, f"secret{number}", "click", 2e9 + number)],
                log_id="log",
                log_position=number,
            )
        files = list(store_path.parent.glob("users.sqlite*"))
        assert any(b"secret" in path.read_bytes() for path in files)
        store.erase(names, 1)
        assert not any(b"secret" in path.read_bytes() for path in files)


def test_an_import_keeps_later_events_and_drops_a_history_that_cannot_be_read(
    run_import: Import, store_path: Path
) -> None:
    run_import()
    later = [
        UserEvent(f"{name} {time_s}", PSEUDONYMS.derive_all(name), "late", "click", time_s)
        for name in ("ana", "bo", "cy")
        for time_s in (1.0, 2e9)
    ]
    with open_store(store_path) as store:
        before = find(store, "cy")
        store.append_events(later, log_id="log", log_position=1)
        with sqlite3.connect(store_path) as connection:
            connection.execute(
                "UPDATE users SET history = x'01' WHERE pseudonym = ?", PSEUDONYMS.derive_all("cy")
            )
        connection.close()
        run_import(force=True)
        found = [find(store, name) for name in ("ana", "bo", "cy")]
    times = [
        [event.event_time for event in user.history if event.product_id == "late"] for user in found if user
    ]
    assert times == [[2e9], [2e9], []]
    assert before is not None
    assert found[2] is not None
    assert found[2].history == before.history


def test_erased_users_stay_away_through_imports(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store:
        store.erase(PSEUDONYMS.derive_all("ana"), 1)
        counts = run_import(force=True)
        assert find(store, "ana") is None
        assert store.is_erased(PSEUDONYMS.derive_all("ana"))
        assert find(store, "bo")
    assert (counts.user_count, counts.event_count) == (2, 1)


def test_holds_stay_through_imports_whose_tables_lack_the_user(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store:
        for user_id in ("ana", "new"):
            store.change(ProfileChange(PSEUDONYMS.derive_all(user_id), set_block(True), b"r"))
        run_import(profiles=PROFILES[1:], events=EVENTS[2:3], force=True)
        for user_id in ("ana", "new"):
            found = find(store, user_id)
            assert found is not None
            assert found.state.blocked
            assert found.state.profile is None


def test_what_is_written_while_an_import_ends_is_in_the_new_file(
    run_import: Import, store_path: Path
) -> None:
    """What was acknowledged before or after the files are exchanged is there; nothing falls between."""
    run_import()
    change = ProfileChange(PSEUDONYMS.derive_all("bo"), set_block(True), b"r")
    with open_store(store_path) as store, ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            importing = pool.submit(run_import, force=True)
            made = [pool.submit(store.change, change) for _ in range(20)]
            versions = [entry.result().version for entry in made]
            importing.result()
            found = find(store, "bo")
            assert found is not None
            assert found.state.blocked
            assert found.state.version >= max(versions)


def test_a_full_disk_refuses_changes_and_serves_reads(
    run_import: Import, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_import()

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with open_store(store_path) as store:
        change = ProfileChange(PSEUDONYMS.derive_all("bo"), set_block(True), b"r")
        with monkeypatch.context() as patched:
            patched.setattr("server.users.sqlite_store._change", fail)
            with pytest.raises(StoreWriteError):
                store.change(change)
        found = find(store, "bo")
        assert found is not None
        assert not found.state.blocked
        store.change(change)
        assert find(store, "bo").state.blocked  # type: ignore[union-attr]


def test_a_store_with_other_keys_is_refused(run_import: Import, store_path: Path) -> None:
    run_import()
    with pytest.raises(PseudonymKeyError, match="another key"):
        SqliteStore(store_path, Pseudonyms({1: b"x" * 32}))
    with pytest.raises(PseudonymKeyError, match="lacks it"):
        SqliteStore(store_path, Pseudonyms({2: b"k" * 32}))
