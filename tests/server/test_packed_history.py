"""Histories packed in one value: what the plain definition keeps, in both stores, and never misread."""

import random
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from index.features import EVENT_TYPES, Event
from server.errors import StoreError, StoreRowError
from server.users.edits import put_profile
from server.users.packed_history import add_events, merge_events, pack_history, unpack_history
from server.users.sqlite_schema import FORMAT_VERSION
from server.users.store import EVENT_COUNT_MAX, EventOutcome, ProfileChange, UserEvent, UserStore
from tests.server.store_cases import PSEUDONYMS, Import, find, open_store

HISTORY = (Event("p1", "view", 1.5), Event('p"é\0', "comment", 2.25), Event("p1", "click", 2.25))


def define(events: list[Event]) -> list[Event]:
    """What a history is: all different events, by time, product and type; of too many the last."""
    ordered = sorted(
        set(events),
        key=lambda event: (event.event_time, event.product_id, EVENT_TYPES.index(event.event_type)),
    )
    return ordered[-EVENT_COUNT_MAX:]


def draw(source: random.Random, count: int, times: int) -> list[Event]:
    """Events with few enough times, products and types for equal times and equal events."""
    return [
        Event(f"p{source.randrange(30)}", source.choice(EVENT_TYPES), source.randrange(times) / 8)
        for _ in range(count)
    ]


@pytest.mark.parametrize("times", [1, 40, 4000])
def test_both_stores_keep_what_the_definition_keeps(store: UserStore, times: int) -> None:
    source = random.Random(times)
    ana, bo = (PSEUDONYMS.derive_all(name) for name in ("ana", "bo"))
    for names in (ana, bo):
        store.change(ProfileChange(names, put_profile({"risk_level": 1}), b"r"))
    given: list[UserEvent] = []
    for _ in range(12):
        batch = [
            UserEvent(f"e{len(given) + number}", ana if source.random() < 0.9 else bo, *event)
            for number, event in enumerate(draw(source, source.randrange(1, 300), times))
        ]
        batch += source.sample(given, min(len(given), 20))
        given += batch
        store.append_events(batch, log_id="log", log_position=len(given))
        for names in (ana, bo):
            found = store.find(names)
            assert found is not None
            assert sorted(found.history) == sorted(
                define([Event(*_plain(event)) for event in given if event.names == names])
            )


def _plain(event: UserEvent) -> tuple[str, str, float]:
    return event.product_id, event.event_type, event.event_time_s


def test_merging_event_by_event_or_at_once_is_the_same() -> None:
    source = random.Random(7)
    for _ in range(20):
        events = draw(source, source.randrange(60), 30)
        one_by_one: list[Event] = []
        for event in events:
            one_by_one = merge_events(one_by_one, [event])
        assert one_by_one == merge_events((), events) == define(events)


@pytest.mark.parametrize("times", [1, 40, 4000])
def test_adding_to_a_packed_history_is_merging(times: int) -> None:
    source = random.Random(times)
    for _ in range(30):
        history: list[Event] = []
        packed = b""
        for start in range(0, 400, 40):
            # Mostly later than what is there, as events are.
            later = [event._replace(event_time=event.event_time + start) for event in draw(source, 5, times)]
            history = merge_events(history, later)
            packed = add_events(packed, later)
            assert packed == pack_history(history)
            assert add_events(packed, []) == packed


def test_adding_beyond_the_limit_drops_the_oldest() -> None:
    full = [Event(f"p{number}", "view", float(number)) for number in range(EVENT_COUNT_MAX)]
    more = [Event("q", "click", 1e6), Event("r", "click", 1e6)]
    assert list(unpack_history(add_events(pack_history(full), more))) == [*full[2:], *more]


def test_a_packed_history_comes_back_as_it_was() -> None:
    source = random.Random(7)
    histories = [define(draw(source, count, 1000)) for count in (0, 1, 2, 300, 5000)]
    for history in [*histories, merge_events((), HISTORY)]:
        assert list(unpack_history(pack_history(history))) == history


def test_the_form_on_disk_is_pinned() -> None:
    packed = pack_history([Event("p1", "view", 1.5), Event("ü", "comment", 2.0)])
    assert packed.hex() == "d61dc48002000000000000000000f83f000000000000004000085b227031222c22c3bc225d"


def test_no_byte_that_changes_is_read_as_another_history() -> None:
    packed = pack_history(merge_events((), HISTORY))
    for place in range(len(packed)):
        for bit in (1, 128):
            spoilt = bytearray(packed)
            spoilt[place] ^= bit
            for read in (unpack_history, lambda spoilt: add_events(spoilt, [Event("p", "view", 9.0)])):
                with pytest.raises(StoreRowError, match=r"^history: "):
                    read(bytes(spoilt))


@pytest.mark.parametrize(
    "spoil", [lambda packed: packed[:-1], lambda packed: packed[:5], lambda _: b"x" * 40]
)
def test_a_cut_history_is_none(spoil: Any) -> None:
    with pytest.raises(StoreRowError, match=r"^history: "):
        unpack_history(spoil(pack_history(HISTORY[:2])))


def seal(count: int, columns: bytes) -> bytes:
    body = count.to_bytes(4, "little") + columns
    return zlib.crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("count", "columns"),
    [
        (1, b""),
        (2**32 - 1, bytes(40)),
        (1, bytes(8) + b"\x00"),
        (1, bytes(8) + b'\x63["p"]'),
        (1, bytes(8) + b'\x00["p","q"]'),
        (2, bytes(16) + b'\x00\x00["p"]'),
        (1, bytes(8) + b"\x00{"),
        (1, bytes(8) + b"\x005"),
        (1, bytes(8) + b"\x00\xff"),
        (1, bytes(8) + b"\x00" + b"[" * 100_000),
    ],
)
def test_columns_that_do_not_agree_are_no_history_though_the_checksum_is_right(
    count: int, columns: bytes
) -> None:
    with pytest.raises(StoreRowError, match=r"^history: "):
        unpack_history(seal(count, columns))


def make_format_3(path: Path) -> None:
    """Takes a store back to the format before: each event in a row of its own."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT pseudonym, history FROM users").fetchall()
        connection.execute(
            "CREATE TABLE history (pseudonym BLOB NOT NULL, event_time REAL NOT NULL, "
            "product_id TEXT NOT NULL, event_type TEXT NOT NULL, "
            "PRIMARY KEY (pseudonym, event_time, product_id, event_type)) STRICT, WITHOUT ROWID"
        )
        for name, packed in rows:
            for event in unpack_history(packed):
                values = (name, event.event_time, event.product_id, event.event_type)
                connection.execute("INSERT INTO history VALUES (?, ?, ?, ?)", values)
        connection.execute("ALTER TABLE users DROP COLUMN history")
        connection.execute("PRAGMA user_version = 3")
    connection.close()


def test_a_store_of_the_format_before_is_brought_to_this_one_once(
    run_import: Import, store_path: Path
) -> None:
    run_import()
    with open_store(store_path) as store:
        store.erase(PSEUDONYMS.derive_all("bo"), 5)
        before = [find(store, name) for name in ("ana", "cy")]
    make_format_3(store_path)
    with ThreadPoolExecutor(4) as pool:
        # Several processes may start over one file.
        opened = list(pool.map(open_store, [store_path] * 4))
    for store in opened:
        with store:
            assert [find(store, name) for name in ("ana", "cy")] == before
            assert store.is_erased(PSEUDONYMS.derive_all("bo"))
    with sqlite3.connect(store_path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT_VERSION
        assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'history'").fetchall() == []
    connection.close()


def test_an_import_over_the_format_before_keeps_who_was_erased(run_import: Import, store_path: Path) -> None:
    run_import()
    with open_store(store_path) as store:
        store.erase(PSEUDONYMS.derive_all("ana"), 5)
    make_format_3(store_path)
    run_import(force=True)
    with open_store(store_path) as store:
        assert store.is_erased(PSEUDONYMS.derive_all("ana"))
        assert find(store, "cy")


def test_a_store_of_the_format_before_that_cannot_be_rewritten_stays_as_it_is(
    run_import: Import, store_path: Path
) -> None:
    run_import()
    make_format_3(store_path)
    with sqlite3.connect(store_path) as connection:
        connection.execute("UPDATE history SET event_type = 'teleport' WHERE product_id = 'p2'")
    connection.close()
    for _ in range(2):
        with pytest.raises(StoreError, match="teleport"):
            open_store(store_path)


def test_a_history_that_cannot_be_read_holds_no_other_user_s_events_up(
    run_import: Import, store_path: Path
) -> None:
    run_import()
    with sqlite3.connect(store_path) as connection:
        connection.execute("UPDATE users SET history = x'00' WHERE history <> x'' AND profile IS NULL")
    connection.close()
    with open_store(store_path) as store:
        batch = [
            UserEvent(f"e{number}", PSEUDONYMS.derive_all(user_id), "p9", "click", 1e9)
            for number, user_id in enumerate(("ana", "cy", "bo"))
        ]
        outcomes = store.append_events(batch, log_id="log", log_position=1)
        assert outcomes == [EventOutcome.APPLIED, EventOutcome.USER_UNREADABLE, EventOutcome.APPLIED]
        with pytest.raises(StoreRowError, match="history"):
            find(store, "cy")
        assert Event("p9", "click", 1e9) in find(store, "ana").history  # type: ignore[union-attr]
