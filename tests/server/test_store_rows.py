"""Rows of a store that cannot be read: an error that names the field, no answer, a metric and a log line."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from structlog.testing import capture_logs

from benchmarks.redis_server import RedisServer
from server.errors import StoreReadError, StoreRowError, StoreWriteError
from server.messages import UserInput
from server.users.directory import Directory
from server.users.edits import put_profile, set_block
from server.users.import_redis import make_redis
from server.users.redis_keys import ANSWERS, HIDDEN, HISTORY, READY, USER
from server.users.redis_store import RedisStore
from server.users.sqlite_schema import create_file
from server.users.sqlite_store import SqliteStore
from server.users.store import EventOutcome, ProfileChange, UserEvent
from server.users.watched_store import WatchedStore
from tests.server.store_cases import PSEUDONYMS

ANA = PSEUDONYMS.derive_all("ana")
BLOCK = ProfileChange(ANA, set_block(True), b"r", idempotency_digest=b"k")
EVENT = UserEvent("e1", ANA, "p1", "click", 5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_file(tmp_path / "users.sqlite", PSEUDONYMS)
    return tmp_path / "users.sqlite"


def put_ana(store: Any) -> None:
    store.change(ProfileChange(ANA, put_profile({"risk_level": 3}), b"r"))
    store.append_events([EVENT], log_id="log", log_position=1)


def spoil(path: Path, column: str, value: str | bytes) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE users SET {column} = ?", (value,))
    connection.close()


SPOILT_COLUMNS = [
    ("profile", "{"),
    ("profile", "[1]"),
    ("profile", '{"birth_date": 5}'),
    ("profile", "[" * 100_000),
    ("assumed", "["),
    ("assumed", "3"),
    ("assumed", "[3]"),
    ("hidden", '{"p": 1}'),
    ("hidden", ""),
    ("history", b"x" * 20),
]


@pytest.mark.parametrize(("column", "value"), SPOILT_COLUMNS)
def test_a_row_of_sqlite_that_cannot_be_read_names_its_field(
    path: Path, column: str, value: str | bytes
) -> None:
    with SqliteStore(path, PSEUDONYMS) as store:
        put_ana(store)
        spoil(path, column, value)
        with pytest.raises(StoreRowError, match=f"^{column}: ") as failure:
            store.find(ANA)
        assert failure.value.field == column
        if column in ("profile", "assumed"):
            with pytest.raises(StoreRowError, match=f"^{column}: "):
                store.change(BLOCK)
        else:
            kinds = {"hidden": "not_interested", "history": "click"}
            events = [UserEvent(kind, ANA, "p2", kinds[kind], 6.0) for kind in kinds]
            outcomes = [store.append_events([event], log_id="log", log_position=2)[0] for event in events]
            expected = {column: EventOutcome.USER_UNREADABLE}
            assert outcomes == [expected.get(kind, EventOutcome.APPLIED) for kind in kinds]
        store.erase(ANA, 1)
        assert store.find(ANA) is None


SPOILT_KEYS: list[tuple[str, Callable[[Any], object]]] = [
    ("user", lambda redis: redis.set(USER + ANA[0], "{")),
    ("user", lambda redis: redis.set(USER + ANA[0], '[1, null, "[]"]')),
    ("user", lambda redis: redis.set(USER + ANA[0], '[1, 5, "[]", 0, 0]')),
    ("user", lambda redis: redis.set(USER + ANA[0], '["1", null, "[]", null, 0]')),
    ("profile", lambda redis: redis.set(USER + ANA[0], '[1, "[]", "[]", 0, 0]')),
    ("assumed", lambda redis: redis.set(USER + ANA[0], '[1, null, "{}", 0, 0]')),
    ("hidden", lambda redis: redis.zadd(HIDDEN + ANA[0], {b"\xff": 1})),
    ("history", lambda redis: redis.zadd(HISTORY + ANA[0], {b"p\x1f0\x1f1.0": 1})),
    ("history", lambda redis: redis.zadd(HISTORY + ANA[0], {b"p": 1})),
]


@pytest.mark.parametrize(("field", "spoil_key"), SPOILT_KEYS)
def test_a_key_of_redis_that_cannot_be_read_names_its_field(
    redis_server: RedisServer, field: str, spoil_key: Callable[[Any], object]
) -> None:
    redis_server.empty()
    make_redis(redis_server.url, None, PSEUDONYMS)
    with RedisStore(redis_server.url, None, PSEUDONYMS, allow_assumed=False) as store:
        put_ana(store)
        with Redis.from_url(redis_server.url) as redis:
            spoil_key(redis)
        with pytest.raises(StoreRowError, match=f"^{field}: "):
            store.find(ANA)
        if field not in ("hidden", "history"):
            with pytest.raises(StoreRowError, match=f"^{field}: "):
                store.change(BLOCK)
        store.erase(ANA, 1)
        assert store.find(ANA) is None


@pytest.mark.parametrize("answer", ["{", '["zz", 1, 1]', '["00", null, 1]'])
def test_an_answer_to_an_idempotency_key_that_cannot_be_read_repeats_nothing(
    redis_server: RedisServer, answer: str
) -> None:
    redis_server.empty()
    make_redis(redis_server.url, None, PSEUDONYMS)
    with RedisStore(redis_server.url, None, PSEUDONYMS, allow_assumed=False) as store:
        before = store.change(BLOCK)
        with Redis.from_url(redis_server.url) as redis:
            redis.hset(ANSWERS + ANA[0], b"k", answer)
        with pytest.raises(StoreRowError, match=r"^idempotency_key: "):
            store.change(BLOCK)
        found = store.find(ANA)
        assert found is not None
        assert found.state.version == before.version


@pytest.mark.parametrize("ready", ["[", "{}", '{"format": 2, "assumed": false, "keys": [1]}'])
def test_a_redis_that_says_nonsense_of_itself_answers_nothing(redis_server: RedisServer, ready: str) -> None:
    redis_server.empty()
    make_redis(redis_server.url, None, PSEUDONYMS)
    with RedisStore(redis_server.url, None, PSEUDONYMS, allow_assumed=False) as store:
        with Redis.from_url(redis_server.url) as redis:
            redis.set(READY, ready)
        with pytest.raises(StoreReadError):
            store.find(ANA)


@pytest.mark.parametrize(("column", "value"), [("profile", "{"), ("assumed", "3"), ("hidden", "3")])
def test_an_inline_profile_over_a_row_that_cannot_be_read_is_held(
    path: Path, column: str, value: str
) -> None:
    with SqliteStore(path, PSEUDONYMS) as store:
        put_ana(store)
        spoil(path, column, value)
        found = Directory(store, PSEUDONYMS).resolve(UserInput("ana", {"risk_level": 5}, ()))
        assert (found.profile["blocked"], found.personalised, found.recordable) == (True, False, False)


def count(registry: CollectorRegistry, kind: str) -> float | None:
    return registry.get_sample_value("prudence_store_failures_total", {"kind": kind})


def test_failures_are_counted_and_told_once_until_the_store_works_again(path: Path) -> None:
    registry = CollectorRegistry()
    with capture_logs() as lines:
        store = WatchedStore(SqliteStore(path, PSEUDONYMS), registry)
        put_ana(store)
        assert [count(registry, kind) for kind in ("read", "write", "row")] == [0, 0, 0]
        path.rename(path.with_name("away"))
        for _ in range(3):
            with pytest.raises(StoreReadError):
                store.find(ANA)
        for _ in range(2):
            with pytest.raises(StoreWriteError):
                store.change(BLOCK)
        path.with_name("away").rename(path)
        for _ in range(2):
            assert store.find(ANA) is not None
            store.change(BLOCK)
        store.close()
    assert [count(registry, kind) for kind in ("read", "write", "row")] == [3, 2, 0]
    told = [(line["event"], line["kind"]) for line in lines]
    assert told == [
        ("store_fails", "read"),
        ("store_fails", "write"),
        ("store_works_again", "read"),
        ("store_works_again", "write"),
    ]
    assert {line["cause"] for line in lines if "cause" in line} == {"FileNotFoundError"}


def test_a_row_is_counted_each_time_and_told_once_by_pseudonym(path: Path) -> None:
    registry = CollectorRegistry()
    with capture_logs() as lines:
        store = WatchedStore(SqliteStore(path, PSEUDONYMS), registry)
        put_ana(store)
        spoil(path, "history", b"x" * 20)
        for number in range(3):
            with pytest.raises(StoreRowError):
                store.find(ANA)
            again = UserEvent(f"again {number}", ANA, "p1", "click", 5.0)
            store.append_events([again], log_id="log", log_position=2)
        store.close()
    assert [count(registry, kind) for kind in ("read", "write", "row")] == [0, 0, 6]
    told = [(line["event"], line["field"], line["pseudonyms"]) for line in lines]
    assert told == [
        ("store_row_corrupt", "history", [ANA[0].hex()]),
        ("store_row_corrupt", "history or hidden", [ANA[0].hex()]),
    ]
