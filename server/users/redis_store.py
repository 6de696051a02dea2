"""The shared store of users for several servers: Redis or Valkey, written in transactions of its own."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from redis.exceptions import RedisError, WatchError

from server.errors import (
    AssumedDataError,
    StartError,
    StoreError,
    StoreReadError,
    StoreRowError,
    StoreWriteError,
    UserErasedError,
)
from server.users.pseudonyms import Names, Pseudonyms
from server.users.records import FirstAnswer, decide, decode_state, digest_event_id, encode_state
from server.users.redis_events import APPEND, write_arguments
from server.users.redis_keys import (
    ANSWERS,
    ERASED,
    EVENT_ID,
    FORMAT,
    HIDDEN,
    HISTORY,
    LOGS,
    READY,
    USER,
    VERSION,
    read_event,
)
from server.users.redis_place import Client, connect, explain, write_ready
from server.users.sqlite_schema import check_keys
from server.users.store import (
    ANSWER_DAYS,
    Changed,
    EventOutcome,
    ProfileChange,
    ScreenedEvent,
    StoredUser,
    UserEvent,
    UserState,
)

ATTEMPT_COUNT_MAX: Final = 100
"""How often a change is tried again because another one of the same user came between."""
_DAY_S: Final = 86_400


class RedisStore:
    """Keeps users in Redis; a `UserStore`.

    What stands under READY says what the store is: it is read with every look-up and watched by every change,
    so that a store that was emptied, is being filled, or knows keys that this server lacks answers nothing.
    The keys of one user are not on one node of a cluster, which is therefore refused.
    """

    def __init__(
        self, url: str, password: str | None, pseudonyms: Pseudonyms, *, allow_assumed: bool
    ) -> None:
        """Opens the store.

        Args:
            url: redis:// or rediss://, without a password.
            password: the password; None for none.
            pseudonyms: what names its users; they must be those that it was written with.
            allow_assumed: whether profiles with assumed values may be read.

        Raises:
            StoreError: it cannot be reached, is not durable, or holds no store.
            PseudonymKeyError: it was written with other keys.
            AssumedDataError: it holds assumed values, and that is not allowed.
        """
        self._url = url
        self._pseudonyms = pseudonyms
        self._allow_assumed = allow_assumed
        self._proven: bytes | None = None
        self._redis: Client = connect(url, password)
        try:
            self._adopt_keys()
        except (StoreReadError, RedisError) as error:
            raise StoreError(f"store {url}: {explain(error)}") from error
        self._append = self._redis.register_script(APPEND)

    def find(self, names: Names, *, with_history: bool = True) -> StoredUser | None:
        """Finds a user, as `UserStore.find` has it."""
        for name in names:
            with _reading(), self._redis.pipeline(transaction=False) as pipe:
                pipe.get(READY).get(USER + name)
                pipe.zrange(HIDDEN + name, 0, -1)
                if with_history:
                    pipe.zrange(HISTORY + name, 0, -1)
                ready, row, hidden, *history = pipe.execute()
                self._prove(ready)
            if row is not None:
                return StoredUser(
                    pseudonym=name,
                    state=read_state(row),
                    history=tuple([read_event(member) for member in history[0]]) if history else (),
                    hidden_product_ids=_read_hidden(hidden),
                )
        return None

    def is_erased(self, names: Names) -> bool:
        """Tells whether the user was erased, as `UserStore.is_erased` has it."""
        ready, times = self._read(lambda pipe: pipe.get(READY).hmget(ERASED, list(names)))
        self._prove(ready)
        return any(found is not None for found in times)

    def change(self, change: ProfileChange) -> Changed:
        """Changes one user's state, as `UserStore.change` has it."""
        with _writing():
            for _ in range(ATTEMPT_COUNT_MAX):
                with self._redis.pipeline() as pipe:
                    try:
                        return self._change(pipe, change)
                    except WatchError:
                        continue
        raise StoreWriteError("too many changes of one user at once; retry later")

    def erase(self, names: Names, time_us: int) -> int:
        """Erases a user, as `UserStore.erase` has it."""
        with _writing():
            while True:
                with self._redis.pipeline() as pipe:
                    try:
                        pipe.watch(READY)
                        self._prove(pipe.get(READY))
                        pipe.multi()
                        for name in names:
                            pipe.hsetnx(ERASED, name, time_us)
                            pipe.delete(USER + name, HISTORY + name, HIDDEN + name, ANSWERS + name)
                        pipe.hmget(ERASED, list(names))
                        return min(int(found) for found in pipe.execute()[-1])
                    except WatchError:
                        continue

    def screen_events(self, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
        """Screens events, as `UserStore.screen_events` has it."""

        def ask(pipe: Any) -> None:
            pipe.get(READY)
            for event in batch:
                pipe.exists(EVENT_ID + digest_event_id(event.event_id))
                pipe.mget([USER + name for name in event.names])
                pipe.hmget(ERASED, list(event.names))

        ready, *found = self._read(ask)
        self._prove(ready)
        parts = zip(batch, found[::3], found[1::3], found[2::3], strict=True)
        return [_screen(event, seen, rows, times) for event, seen, rows, times in parts]

    def append_events(
        self, batch: Sequence[UserEvent], *, log_id: str, log_position: int
    ) -> list[EventOutcome]:
        """Applies events, as `UserStore.append_events` has it."""
        with _writing():
            self._prove(self._redis.get(READY))
            arguments = write_arguments(batch, log_id, log_position, time.time_ns() // 1000)
            found = self._append(keys=[READY], args=[self._proven, *arguments])
        outcomes = list(EventOutcome)
        return [outcomes[number] for number in found]

    def applied_position(self, log_id: str) -> int:
        """Returns a log's position, as `UserStore.applied_position` has it."""
        ready, found = self._read(lambda pipe: pipe.get(READY).hget(LOGS, log_id))
        self._prove(ready)
        return 0 if found is None else int(found)

    def erased_names(self) -> Iterator[bytes]:
        """Yields the erased, as `UserStore.erased_names` has it."""
        with _reading():
            self._prove(self._redis.get(READY))
            # The same field may come twice while the hash grows.
            return iter({name for name, _ in self._redis.hscan_iter(ERASED, count=1000)})

    def holds_assumed(self) -> bool:
        """Tells whether any user has a field that was assumed; only an import brings such."""
        with _reading():
            ready = self._redis.get(READY)
            self._prove(ready)
        assert isinstance(ready, bytes)
        return bool(json.loads(ready)["assumed"])

    def close(self) -> None:
        """Closes every connection."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, ask: Callable[[Client], object]) -> list[Any]:
        with _reading(), self._redis.pipeline(transaction=False) as pipe:
            ask(pipe)
            answers: list[Any] = pipe.execute()
        return answers

    def _change(self, pipe: Client, change: ProfileChange) -> Changed:
        """Tries a change once; raises WatchError where another one came between."""
        users, answers = [USER + name for name in change.names], [ANSWERS + name for name in change.names]
        pipe.watch(READY, ERASED, *users, *answers)
        self._prove(pipe.get(READY))
        if any(found is not None for found in pipe.hmget(ERASED, list(change.names))):
            raise UserErasedError("user_id: the user was erased; nothing is stored about them again")
        name, old = change.names[0], None
        for candidate, row in zip(change.names, pipe.mget(users), strict=True):
            if row is not None:
                name, old = candidate, read_state(row)
                break
        kept, digest = dict[bytes, FirstAnswer](), change.idempotency_digest
        if digest is not None:
            found = pipe.hgetall(ANSWERS + name)
            kept = {key: _read_answer(text) for key, text in found.items()}
        first = None if digest is None else kept.get(digest)
        version, now_us = int(pipe.incr(VERSION)), time.time_ns() // 1000
        state, changed = decide(change, old, first, version=version, time_us=now_us)
        if state is None:
            return changed
        pipe.multi()
        pipe.set(USER + name, json.dumps(encode_state(state)))
        if digest is not None:
            answer = [change.request_digest.hex(), changed.version, changed.update_time_us]
            # The hash as a whole goes only once a user is left alone for so long.
            for key in _find_old(kept, now_us):
                pipe.hdel(ANSWERS + name, key)
            pipe.hset(ANSWERS + name, digest, json.dumps(answer))
            pipe.expire(ANSWERS + name, ANSWER_DAYS * _DAY_S)
        pipe.execute()
        return changed

    def _prove(self, ready: bytes | None) -> None:
        """Checks what the store is, once for each thing that it says of itself.

        Raises:
            StoreReadError: it is no store, or one that this server may not serve.
        """
        if ready is not None and ready == self._proven:
            return
        if ready is None:
            raise StoreReadError("it holds no store of users, or one that is being filled")
        try:
            self._check(ready)
        except StartError as error:
            raise StoreReadError("the store of users became one that this server may not read") from error
        self._proven = ready

    def _check(self, ready: bytes) -> None:
        try:
            found = json.loads(ready)
            number, assumed = found["format"], found["assumed"]
            keys = {int(epoch): fingerprint for epoch, fingerprint in found["keys"].items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"store {self._url}: what it says of itself cannot be read") from error
        if number != FORMAT:
            raise StoreError(f"store {self._url}: expected format {FORMAT}, got {number}")
        check_keys(keys, self._pseudonyms, f"store {self._url}")
        if assumed and not self._allow_assumed:
            raise AssumedDataError(
                f"store {self._url}: profiles hold assumed values; --allow-assumed serves it"
            )

    def _adopt_keys(self) -> None:
        """Checks the store, and lets it know keys that are new."""
        while True:
            with self._redis.pipeline() as pipe:
                try:
                    pipe.watch(READY)
                    ready = pipe.get(READY)
                    if ready is None:
                        raise StoreError(
                            f"store {self._url}: it holds no store of users, or a part of one; "
                            "`python -m server import-users` or `make-store` writes one"
                        )
                    self._check(ready)
                    self._proven = write_ready(self._pseudonyms, assumed=json.loads(ready)["assumed"])
                    pipe.multi()
                    pipe.set(READY, self._proven)
                    pipe.execute()
                except WatchError:
                    continue
                return


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreReadError("the store of users cannot be read; retry later") from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except StoreRowError:
        raise
    except (RedisError, OSError, StoreReadError) as error:
        raise StoreWriteError("the store of users cannot be written; retry later") from error


def _screen(event: UserEvent, seen: int, rows: list[Any], times: list[Any]) -> ScreenedEvent:
    for name, row in zip(event.names, rows, strict=True):
        if row is not None:
            return ScreenedEvent(EventOutcome.DUPLICATE if seen else EventOutcome.APPLIED, name)
    erased = any(time_us is not None for time_us in times)
    return ScreenedEvent(EventOutcome.USER_ERASED if erased else EventOutcome.USER_UNKNOWN, None)


def read_state(row: bytes) -> UserState:
    """Reads a user's state.

    Raises:
        StoreRowError: it is none.
    """
    try:
        version, profile, assumed, flags, update_time_us = json.loads(row)
        fits = isinstance(profile, str | None) and isinstance(assumed, str)
        if not fits or not all(type(number) is int for number in (version, flags, update_time_us)):
            raise TypeError("no row of a user")
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreRowError("user") from error
    return decode_state((version, profile, assumed, flags, update_time_us))


def _read_hidden(members: list[bytes]) -> frozenset[str]:
    try:
        return frozenset([member.decode() for member in members])
    except UnicodeDecodeError as error:
        raise StoreRowError("hidden") from error


def _read_answer(found: bytes) -> FirstAnswer:
    try:
        digest, version, update_time_us = json.loads(found)
        return FirstAnswer(bytes.fromhex(digest), Changed(int(version), int(update_time_us)))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreRowError("idempotency_key") from error


def _find_old(answers: Mapping[bytes, FirstAnswer], now_us: int) -> list[bytes]:
    """Returns the idempotency keys that were answered more than ANSWER_DAYS ago."""
    since_us = now_us - ANSWER_DAYS * _DAY_S * 1_000_000
    return [key for key, answer in answers.items() if answer.changed.update_time_us < since_us]
