"""The store of users: what an import keeps, what a look-up gives back, and what it refuses to open."""

import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.features import Event
from server.errors import StoreError, StoreReadError
from server.users.import_tables import ImportCounts
from server.users.import_users import import_users
from server.users.profiles import apply_holds, dump_profile, load_profile
from server.users.store import HISTORY_COUNT_MAX, PRODUCT_COUNT_MAX
from tests.server.cases import NOW, eligible_user
from tests.server.conftest import run_command
from tests.server.store_cases import (
    EVENTS,
    PROFILES,
    PSEUDONYMS,
    Import,
    event,
    find,
    find_profile,
    open_store,
)


def test_an_imported_user_comes_back_with_suitabilitys_types(run_import: Import, store_path: Path) -> None:
    counts = run_import()
    assert counts == ImportCounts(
        user_count=3, user_without_profile_count=1, event_count=3, event_left_out_count=0
    )
    with open_store(store_path) as store:
        found = find(store, "ana")
        assert found is not None
        assert found.state.profile == {
            "profile_as_of": NOW,
            "risk_level": 3,
            "birth_date": date(1990, 2, 28),
            "blocked": False,
            "objectives": frozenset({"GROWTH", "INCOME"}),
            "knowledge": {"FUND": 2},
            "held_issuer": {},
        }
        assert found.state.assumed_fields == ("risk_level",)
        moment = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
        assert set(found.history) == {
            Event("p1", "click", moment),
            Event("p2", "enrol", moment + 86_400),
        }
        assert store.holds_assumed()


def test_a_user_with_events_only_is_known_without_a_profile(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store:
        found = find(store, "cy")
        assert found is not None
        assert (found.state.profile, len(found.history)) == (None, 1)
        assert find(store, "nobody") is None
        assert find_profile(store, "nobody") is None


def test_the_latest_events_are_kept(run_import: Import, store_path: Path) -> None:
    counts = run_import(events=[event("ana", f"p{day % 7}", day) for day in range(HISTORY_COUNT_MAX + 30)])
    assert (counts.event_count, counts.event_left_out_count) == (HISTORY_COUNT_MAX, 30)
    with open_store(store_path) as store:
        found = find(store, "ana")
        assert found is not None
        assert (
            min(entry.event_time for entry in found.history)
            == event("ana", "p", 30)["event_time"].timestamp()
        )


def test_a_long_history_keeps_one_event_of_each_further_product(run_import: Import, store_path: Path) -> None:
    days = range(PRODUCT_COUNT_MAX + 30)
    events = [event("ana", f"p{day}", day) for day in days] + [event("ana", "p29", 0), event("bo", "q", 0)]
    counts = run_import(events=events)
    assert (counts.event_count, counts.event_left_out_count) == (PRODUCT_COUNT_MAX + 1, 31)
    with open_store(store_path) as store:
        found = find(store, "ana")
        assert found is not None
        assert {entry.product_id for entry in found.history} == {f"p{day}" for day in days if day >= 30}


def test_every_thread_reads_for_itself(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(partial(find_profile, store), ["ana", "bo"] * 50))
    assert found[::2] == [found[0]] * 50


def test_an_existing_store_is_replaced_only_when_told(run_import: Import, store_path: Path) -> None:
    run_import()
    with pytest.raises(StoreError, match="--force"):
        run_import()
    run_import(profiles=PROFILES[:1], events=EVENTS[:1], force=True)
    with open_store(store_path) as store:
        assert find(store, "bo") is None


@pytest.mark.parametrize(
    ("profiles", "events", "words"),
    [
        ([PROFILES[0], PROFILES[0]], EVENTS, "given twice"),
        ([{"user_id": None}], EVENTS, "missing"),
        (PROFILES, [event("ana", "p1", 1, "teleport")], "teleport"),
        (PROFILES, [{"user_id": "ana", "product_id": "p1", "event_type": "click"}], "event_time"),
        (PROFILES, [event("ana", "p1", 1) | {"event_time": 5}], "timestamps"),
        (PROFILES, [event("ana", "p1", 1) | {"product_id": None}], "must not be missing"),
    ],
    ids=["repeated", "no id", "unknown event", "no time", "number for time", "no product"],
)
def test_a_wrong_table_is_refused_and_leaves_nothing(
    run_import: Import,
    store_path: Path,
    profiles: list[dict[str, Any]],
    events: list[dict[str, Any]],
    words: str,
) -> None:
    with pytest.raises(StoreError, match=words):
        run_import(profiles, events)
    assert [path.name for path in store_path.parent.iterdir() if "sqlite" in path.name] == []


@pytest.mark.parametrize(
    ("field", "value"), [("profile_as_of", "yesterday"), ("knowledge", 3), ("objectives", 3), ("assumed", 3)]
)
def test_a_column_of_another_type_is_refused(
    run_import: Import, tmp_path: Path, field: str, value: Any
) -> None:
    run_import()
    odd = {"user_id": "ana", "assumed": ["income"]} | {field: value}
    pq.write_table(pa.Table.from_pylist([odd]), tmp_path / "odd.parquet")
    with pytest.raises(StoreError, match="profiles: expected columns of the documented types"):
        import_users(
            tmp_path / "odd.parquet",
            tmp_path / "i.parquet",
            tmp_path / "odd.sqlite",
            PSEUDONYMS,
            force=False,
            on_progress=lambda step, done, total: None,
        )
    assert not (tmp_path / "odd.sqlite").exists()


def test_a_missing_table_is_refused(tmp_path: Path, store_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.parquet: expected a Parquet table, found nothing$"):
        import_users(
            tmp_path / "none.parquet",
            tmp_path / "none.parquet",
            store_path,
            PSEUDONYMS,
            force=False,
            on_progress=lambda step, done, total: None,
        )


@pytest.mark.parametrize("folder", ["no folder", "p.parquet"], ids=["missing", "a file"])
def test_a_folder_that_cannot_be_written_is_refused(run_import: Import, tmp_path: Path, folder: str) -> None:
    run_import()
    with pytest.raises(StoreError, match="cannot be written"):
        import_users(
            tmp_path / "p.parquet",
            tmp_path / "i.parquet",
            tmp_path / folder / "s.sqlite",
            PSEUDONYMS,
            force=False,
            on_progress=lambda step, done, total: None,
        )


def test_a_missing_store_is_refused_with_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file; `python -m server import-users` or"):
        open_store(tmp_path / "none")


def test_what_is_no_store_is_refused(tmp_path: Path, run_import: Import, store_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"not a database at all, but long enough to look at" * 50)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    run_import()
    truncated = tmp_path / "truncated.sqlite"
    truncated.write_bytes(store_path.read_bytes()[:-6144])
    for path in (tmp_path / "none", text, other, truncated):
        with pytest.raises(StoreError, match=path.name):
            open_store(path)


def test_a_store_of_another_version_is_refused(run_import: Import, store_path: Path) -> None:
    run_import()
    with sqlite3.connect(store_path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreError, match="expected format 4, got 9"):
        open_store(store_path)


def test_the_command_line_imports_and_says_how_much(run_import: Import, tmp_path: Path) -> None:
    run_import()
    store = tmp_path / "second.sqlite"
    tables = ("--profiles", str(tmp_path / "p.parquet"), "--interactions", str(tmp_path / "i.parquet"))
    done = run_command("import-users", *tables, "--store", str(store))
    assert (done.returncode, store.is_file()) == (0, True)
    assert "3 users (1 without a profile), 3 events kept" in done.stderr
    again = run_command("import-users", *tables, "--store", str(store))
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_a_profile_survives_the_store_unchanged() -> None:
    profile = eligible_user() | {"knowledge": {"FUND": 1}, "held_dup_groups": frozenset()}
    del profile["pseudonym"]
    assert load_profile(dump_profile(profile)) == profile


def test_holds_tighten_and_never_loosen() -> None:
    inline = {"blocked": False, "consent_sensitive": True, "risk_level": 5}
    assert apply_holds(inline, {"blocked": True}) == inline | {"blocked": True}
    assert apply_holds(inline, {"consent_sensitive": False}) == inline | {"consent_sensitive": False}
    assert apply_holds(inline, {"blocked": False, "consent_sensitive": True, "risk_level": 1}) == inline
    assert apply_holds({"blocked": True}, {"blocked": False}) == {"blocked": True}


@pytest.mark.parametrize("written", [1, 0, "true", "", [], None])
def test_a_stored_hold_that_was_written_wrongly_still_holds(written: Any) -> None:
    inline = {"blocked": False, "consent_sensitive": True}
    held = apply_holds(inline, {"blocked": written, "consent_sensitive": written})
    assert held == {"blocked": True, "consent_sensitive": False}


def test_another_file_in_place_is_read_at_once_by_every_thread(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store, ThreadPoolExecutor(8) as pool:
        before = list(pool.map(partial(find_profile, store), ["ana"] * 40))
        run_import(profiles=[PROFILES[0] | {"blocked": True}], force=True)
        after = list(pool.map(partial(find_profile, store), ["ana"] * 40))
    assert {profile["blocked"] for profile in before if profile} == {False}
    assert {profile["blocked"] for profile in after if profile} == {True}


def test_a_log_of_the_file_before_never_reaches_the_new_one(run_import: Import, store_path: Path) -> None:
    run_import()
    writer = sqlite3.connect(store_path)
    writer.execute("UPDATE users SET profile = '{}', version = version + 1")
    writer.commit()
    run_import(force=True)
    with open_store(store_path) as store:
        found = find_profile(store, "ana")
    writer.close()
    assert found
    assert found["risk_level"] == 3


@pytest.mark.parametrize("replacement", [None, b"not a database at all" * 300])
def test_a_store_that_is_lost_while_open_fails_the_request(
    run_import: Import, store_path: Path, tmp_path: Path, replacement: bytes | None
) -> None:
    run_import()
    with open_store(store_path) as store:
        if replacement is None:
            store_path.unlink()
        else:
            (tmp_path / "other").write_bytes(replacement)
            (tmp_path / "other").replace(store_path)
        for _ in range(2):
            with pytest.raises(StoreReadError):
                find(store, "ana")


def test_assumed_values_that_come_later_need_leave_too(run_import: Import, store_path: Path) -> None:
    run_import(profiles=PROFILES[1:])
    with open_store(store_path, allow_assumed=False) as store:
        assert find(store, "bo")
        run_import(force=True)
        for _ in range(3):
            with pytest.raises(StoreReadError) as failure:
                find(store, "bo")
    cause = failure.value.__cause__
    assert cause is not None
    # The fault is kept and raised again: its traceback must not grow with every request.
    assert len(traceback.extract_tb(cause.__traceback__)) == 3


def test_a_store_without_its_tables_is_refused(run_import: Import, store_path: Path) -> None:
    run_import()
    with sqlite3.connect(store_path) as connection:
        connection.execute("DROP TABLE users")
    connection.close()
    with pytest.raises(StoreError, match=r"users\.sqlite"):
        open_store(store_path)
