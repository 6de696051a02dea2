"""The shared store where it differs from the embedded one: what it refuses, loses, and is filled with."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from benchmarks.redis_server import RedisServer
from index.features import Event
from server.errors import (
    AssumedDataError,
    PseudonymKeyError,
    StoreError,
    StoreReadError,
    StoreWriteError,
)
from server.users.edits import put_profile, set_block
from server.users.import_redis import make_redis
from server.users.opening import StoreAddress, fill_store, make_store, open_directory
from server.users.pseudonyms import Pseudonyms, add_epoch, load_pseudonyms, make_key_file
from server.users.redis_keys import ANSWERS
from server.users.redis_store import RedisStore
from server.users.store import ANSWER_DAYS, ProfileChange, StoredUser, UserStore
from tests.server.conftest import write_tables
from tests.server.test_store_changes import ANA, PSEUDONYMS, append, event, find_level, put

PROFILES: dict[str, dict[str, Any]] = {
    "ana": {"risk_level": 3, "knowledge": {"FUND": 2}, "objectives": frozenset({"GROWTH"})},
    "bo": {"risk_level": 1, "knowledge": {}, "objectives": None},
}
IDS = [f"x{number}" for number in range(200)]


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    redis_server.empty()
    return redis_server.url


@pytest.fixture
def store(url: str) -> Iterator[RedisStore]:
    make_redis(url, None, PSEUDONYMS)
    with RedisStore(url, None, PSEUDONYMS, allow_assumed=False) as store:
        yield store


def fill(
    tmp_path: Path, address: StoreAddress, profiles: dict[str, dict[str, Any]], *, force: bool = False
) -> Any:
    write_tables(tmp_path, profiles, IDS)
    return fill_store(
        address,
        profiles=tmp_path / "profiles.parquet",
        interactions=tmp_path / "interactions.parquet",
        force=force,
        on_progress=lambda *_: None,
    )


def find_all(address: StoreAddress, *user_ids: str) -> list[StoredUser | None]:
    users = open_directory(address, allow_assumed=False)
    store = users.require_store()
    found = [store.find(users.pseudonyms.derive_all(user_id)) for user_id in user_ids]
    store.close()
    return found


def test_both_kinds_of_store_hold_the_same_after_the_same_imports(tmp_path: Path, url: str) -> None:
    keys = tmp_path / "keys"
    make_key_file(keys)
    found = []
    for address in (StoreAddress(str(tmp_path / "s.sqlite"), keys), StoreAddress(url, keys)):
        counts = [fill(tmp_path, address, PROFILES)]
        with pytest.raises(StoreError, match="--force"):
            fill(tmp_path, address, PROFILES)
        users = open_directory(address, allow_assumed=False)
        store, names = users.require_store(), users.pseudonyms.derive_all
        store.change(ProfileChange(names("bo"), set_block(True), b"r"))
        append(store, event(2_000_000_000, names=names("bo")), event(3, "not_interested", names("ana")))
        users.erase("cy")
        # Whom no table ever named may be on hold, too, and a profile that comes inline must find that.
        store.change(ProfileChange(names("di"), set_block(True), b"r"))
        store.change(ProfileChange(names("ed"), put_profile({"risk_level": 3}), b"r"))
        store.close()
        wider = PROFILES | {"cy": PROFILES["ana"]}
        counts.append(fill(tmp_path, address, {name: wider[name] for name in ("bo", "cy")}, force=True))
        found.append((counts, [_comparable(one) for one in find_all(address, "ana", "bo", "cy", "di", "ed")]))
    assert found[0] == found[1]
    ana, bo, cy, di, ed = found[0][1]
    assert (cy, ed) == (None, None)
    assert ana is not None
    assert (ana[1].profile, ana[2], ana[3]) == (None, frozenset(), {"p3"})
    assert di is not None
    assert di[1].blocked
    assert bo is not None
    assert bo[1].blocked
    assert ("p2000000000", "click") in {(entry.product_id, entry.event_type) for entry in bo[2]}


def _comparable(found: StoredUser | None) -> Any:
    if found is None:
        return None
    state = replace(found.state, version=0, update_time_us=0)
    return found.pseudonym, state, frozenset(found.history), found.hidden_product_ids


def test_a_store_that_is_emptied_under_a_server_answers_nothing(store: RedisStore, url: str) -> None:
    store.change(put(1))
    with Redis.from_url(url) as client:
        client.flushall()
    for read in (
        lambda: store.find(ANA),
        lambda: store.is_erased(ANA),
        lambda: store.screen_events([event(1)]),
    ):
        with pytest.raises(StoreReadError):
            read()
    for write in (lambda: store.change(put(1)), lambda: store.erase(ANA, 1), lambda: append(store, event(1))):
        with pytest.raises(StoreWriteError):
            write()


def test_a_store_that_is_down_is_unavailable_and_comes_back_with_all_it_acknowledged(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        make_redis(server.url, None, PSEUDONYMS)
        with RedisStore(server.url, None, PSEUDONYMS, allow_assumed=False) as store:
            store.change(put(3))
            server.kill()
            with pytest.raises(StoreReadError):
                store.find(ANA)
            with pytest.raises(StoreWriteError):
                store.change(put(4))
            server.start()
            assert find_level(store) == 3
            store.change(put(4))
            assert find_level(store) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"fsync": "everysec"}, "appendfsync always"), ({"policy": "allkeys-lru"}, "noeviction")],
)
def test_a_redis_that_would_lose_what_it_acknowledged_is_refused(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with RedisServer(tmp_path, **settings) as server, pytest.raises(StoreError, match=words):
        make_redis(server.url, None, PSEUDONYMS)


def test_another_key_or_a_missing_one_is_refused(store: RedisStore, url: str) -> None:
    with pytest.raises(PseudonymKeyError, match="another key"):
        RedisStore(url, None, Pseudonyms({1: b"x" * 32}), allow_assumed=False)
    with pytest.raises(PseudonymKeyError, match="lacks it"):
        RedisStore(url, None, Pseudonyms({2: b"x" * 32}), allow_assumed=False)


def test_a_server_that_lacks_a_new_key_answers_nothing(store: RedisStore, url: str) -> None:
    store.change(put(1))
    rotated = Pseudonyms({1: b"k" * 32, 2: b"n" * 32})
    with RedisStore(url, None, rotated, allow_assumed=False) as newer:
        assert find_level(newer) == 1
        with pytest.raises(StoreReadError):
            store.find(ANA)
        with pytest.raises(StoreWriteError):
            append(store, event(1))


def test_what_is_no_store_or_half_of_one_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="make-store"):
        RedisStore(url, None, PSEUDONYMS, allow_assumed=False)
    with Redis.from_url(url) as client:
        client.set("prudence:filling", b'{"assumed": false, "format": 2, "keys": {}}')
    with pytest.raises(StoreError, match="a part of one"):
        RedisStore(url, None, PSEUDONYMS, allow_assumed=False)
    with pytest.raises(StoreError, match="already there"):
        make_redis(url, None, PSEUDONYMS)


def test_a_redis_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:1/0"):
        RedisStore("redis://127.0.0.1:1/0", None, PSEUDONYMS, allow_assumed=False)


def test_a_shared_store_needs_a_key_file_and_no_password_in_its_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="key file"):
        make_store(StoreAddress(url))
    with pytest.raises(StoreError, match="store_password_file") as refusal:
        StoreAddress("redis://user:secret@127.0.0.1:1/0")
    assert "secret" not in str(refusal.value)


def test_assumed_values_need_leave(tmp_path: Path, url: str) -> None:
    keys = tmp_path / "keys"
    make_key_file(keys)
    write_tables(tmp_path, PROFILES, IDS, assumed=("risk_level",))
    fill_store(
        StoreAddress(url, keys),
        profiles=tmp_path / "profiles.parquet",
        interactions=tmp_path / "interactions.parquet",
        force=False,
        on_progress=lambda *_: None,
    )
    pseudonyms = load_pseudonyms(keys)
    with pytest.raises(AssumedDataError, match="--allow-assumed"):
        RedisStore(url, None, pseudonyms, allow_assumed=False)
    with RedisStore(url, None, pseudonyms, allow_assumed=True) as store:
        assert store.holds_assumed()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_an_import_leaves_a_user_under_the_pseudonym_they_have(tmp_path: Path, url: str, kind: str) -> None:
    keys = tmp_path / "keys"
    make_key_file(keys)
    address = StoreAddress(str(tmp_path / "s.sqlite") if kind == "sqlite" else url, keys)
    fill(tmp_path, address, {"ana": PROFILES["ana"]})
    add_epoch(keys)
    fill(tmp_path, address, PROFILES, force=True)
    found = find_all(address, "ana", "bo")
    assert [one.pseudonym[:2] for one in found if one is not None] == [b"\x00\x01", b"\x00\x02"]


@pytest.mark.parametrize("product_id", ["p", "p\x1f1\x1f2.0", "\x1f", "ü\x1f"])
def test_a_product_s_id_may_hold_what_separates_the_parts_of_an_event(
    store: RedisStore, product_id: str
) -> None:
    store.change(put(1))
    append(store, event(1, product=product_id), event(2, "enrol"))
    found = store.find(ANA)
    assert found is not None
    assert set(found.history) == {Event(product_id, "click", 1001.0), Event("p2", "enrol", 1002.0)}


def test_several_servers_see_each_others_changes_at_once(store: UserStore, url: str) -> None:
    with RedisStore(url, None, PSEUDONYMS, allow_assumed=False) as other:
        for level in range(5):
            store.change(put(level))
            assert find_level(other) == level


def test_answers_to_idempotency_keys_go_after_their_days(
    store: RedisStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("j", "k"):
        store.change(put(1, key=key))
    later_ns = time.time_ns() + (ANSWER_DAYS * 86_400 + 1) * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    last = store.change(put(2, key="l"))
    with Redis.from_url(url) as redis:
        assert redis.hlen(ANSWERS + ANA[0]) == 1
    assert store.change(put(2, key="l")) == last
