"""Fills a shared store from a profiles table and an interactions table; it answers nothing meanwhile."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from redis.exceptions import RedisError

from server.errors import StoreError, StoreRowError
from server.users.import_tables import (
    ImportCounts,
    Progress,
    iterate_events,
    iterate_users,
    read_interactions,
    read_profiles,
)
from server.users.pseudonyms import Pseudonyms
from server.users.records import EVENT_NUMBERS, encode_state
from server.users.redis_keys import (
    ANSWERS,
    ERASED,
    FILLING,
    HIDDEN,
    HISTORY,
    READY,
    USER,
    VERSION,
    write_event,
)
from server.users.redis_place import Client, connect, write_ready
from server.users.redis_store import read_state
from server.users.sqlite_schema import check_keys
from server.users.store import UserState

_SCAN_COUNT: Final = 1000


def make_redis(url: str, password: str | None, pseudonyms: Pseudonyms) -> None:
    """Makes a store without users.

    Raises:
        StoreError: it is there already, or Redis cannot be used.
    """
    client = connect(url, password)
    try:
        if client.exists(FILLING) or not client.set(READY, write_ready(pseudonyms, assumed=False), nx=True):
            raise StoreError(f"store {url}: already there")
    except RedisError as error:
        raise StoreError(f"store {url}: cannot be written: {error}") from error
    finally:
        client.close()


def import_redis(
    profiles: Path,
    interactions: Path,
    url: str,
    password: str | None,
    pseudonyms: Pseudonyms,
    *,
    force: bool,
    on_progress: Progress,
) -> ImportCounts:
    """Fills a store; of one that is there, the same is kept as `import_users` keeps.

    Meanwhile, and after an import that did not end, servers answer that the store is unavailable: half of the
    holds would be worse than none of the profiles.

    Raises:
        StoreError: an input is missing or wrong, the store is there already, or it cannot be written.
        PseudonymKeyError: the store was written with other keys.
    """
    users, events = read_profiles(profiles), read_interactions(interactions)
    client = connect(url, password)
    try:
        before = client.get(READY) or client.get(FILLING)
        if before is not None and not force:
            raise StoreError(f"store {url}: already there; --force replaces it")
        if before is not None:
            stored = {int(epoch): print_ for epoch, print_ in json.loads(before)["keys"].items()}
            check_keys(stored, pseudonyms, f"store {url}")
        ready = write_ready(pseudonyms, assumed=_holds_assumed(users))
        client.pipeline().delete(READY).set(FILLING, ready).execute()
        counts = _Filling(client, pseudonyms).fill(users, events, on_progress)
        client.pipeline().set(READY, ready).delete(FILLING).execute()
    except StoreRowError as error:
        # Its holds would be lost with it.
        raise StoreError(f"store {url}: a user cannot be read; erase them first: {error}") from error
    except RedisError as error:
        raise StoreError(f"store {url}: cannot be written: {error}") from error
    finally:
        client.close()
    return counts


class _Filling:
    """One import under way."""

    def __init__(self, client: Client, pseudonyms: Pseudonyms) -> None:
        self._client = client
        self._pseudonyms = pseudonyms
        self._stored = {key[len(USER) :] for key in client.scan_iter(USER + b"*", count=_SCAN_COUNT)}
        self._erased = {name for name, _ in client.hscan_iter(ERASED, count=_SCAN_COUNT)}
        self._version = int(client.incr(VERSION))
        self._filled: set[bytes] = set()
        # Events come sorted by user.
        self._name = lru_cache(1)(self._find_name)

    def fill(self, users: pa.Table, events: pa.Table, on_progress: Progress) -> ImportCounts:
        """Writes users, then events, and removes whom the tables lack."""
        done = 0
        for batch in iterate_users(users):
            self._write_users(batch)
            done += len(batch)
            on_progress("users", done, users.num_rows)
        with_profile_count = len(self._filled)
        event_count, left_out = self._write_events(events, on_progress)
        self._remove(self._stored - self._filled)
        user_count = len(self._filled)
        return ImportCounts(user_count, user_count - with_profile_count, event_count, left_out)

    def _write_users(self, batch: list[tuple[str, UserState]]) -> None:
        states = {}
        for user_id, state in batch:
            name = self._name(user_id)
            if name in states or name in self._filled:
                raise StoreError("profiles: a user_id is given twice")
            if name not in self._erased:
                states[name] = state
        self._filled |= states.keys()
        self._write_states(states)

    def _write_states(self, states: dict[bytes, UserState]) -> None:
        if not states:
            return
        rows: list[Any] = self._client.mget([USER + name for name in states])
        with self._client.pipeline() as pipe:
            for (name, state), row in zip(states.items(), rows, strict=True):
                kept = replace(_keep_choices(state, row), version=self._version)
                pipe.set(USER + name, json.dumps(encode_state(kept)))
            pipe.execute()

    def _write_events(self, events: pa.Table, on_progress: Progress) -> tuple[int, int]:
        """Replaces histories up to the end of the table; what came later stays."""
        last_us = pc.max(events["event_time"]).as_py() or 0
        self._cut_histories(last_us / 1e6)
        done = kept_count = left_out = 0
        for row_count, kept in iterate_events(events):
            members: dict[bytes, dict[bytes, float]] = {}
            for row in kept:
                name = self._name(row.user_id)
                if name not in self._erased:
                    member = write_event(row.product_id, EVENT_NUMBERS[row.event_type], row.event_time_s)
                    members.setdefault(name, {})[member] = row.event_time_s
            self._write_states({name: UserState() for name in members.keys() - self._filled})
            self._filled |= members.keys()
            with self._client.pipeline() as pipe:
                for name, events_of in members.items():
                    pipe.zadd(HISTORY + name, events_of)
                kept_count += sum(pipe.execute())
            done += row_count
            left_out += row_count - len(kept)
            on_progress("events", done, events.num_rows)
        return kept_count, left_out

    def _cut_histories(self, last_s: float) -> None:
        for names in _cut(sorted(self._stored)):
            with self._client.pipeline() as pipe:
                for name in names:
                    pipe.zremrangebyscore(HISTORY + name, "-inf", last_s)
                pipe.execute()

    def _remove(self, names: set[bytes]) -> None:
        """Removes users whom the tables lack; of who made a choice or is on hold, the profile alone."""
        for part in _cut(sorted(names)):
            rows: list[Any] = self._client.mget([USER + name for name in part])
            with self._client.pipeline() as pipe:
                for name in part:
                    pipe.exists(HIDDEN + name)
                hides = pipe.execute()
            kept = {
                name
                for name, row, hidden in zip(part, rows, hides, strict=True)
                if hidden or _keep_choices(UserState(), row) != UserState()
            }
            self._write_states(dict.fromkeys(kept, UserState()))
            with self._client.pipeline() as pipe:
                for name in set(part) - kept:
                    pipe.delete(USER + name, HISTORY + name, HIDDEN + name, ANSWERS + name)
                pipe.execute()

    def _find_name(self, user_id: str) -> bytes:
        """Returns the pseudonym that a user has in the store that is replaced, or else a new one."""
        names = self._pseudonyms.derive_all(user_id)
        for name in names:
            if name in self._stored or name in self._erased:
                return name
        return names[0]


def _keep_choices(state: UserState, row: bytes | None) -> UserState:
    """Returns a state under the holds and choices of the row that was stored before, if there was one."""
    old = UserState() if row is None else read_state(row)
    return replace(
        state,
        blocked=old.blocked,
        consent_withdrawn=old.consent_withdrawn,
        personalised=old.personalised,
    )


def _cut(names: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(names), _SCAN_COUNT):
        yield names[start : start + _SCAN_COUNT]


def _holds_assumed(users: pa.Table) -> bool:
    return any(users["assumed"].to_pylist())
