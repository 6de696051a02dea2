"""Kills a store while it is written, again and again, and counts what was lost, torn or made twice."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from benchmarks.errors import BenchmarkInputError
from benchmarks.redis_server import RedisServer
from benchmarks.users.changes import USER_COUNT, make_change, make_event, open_users
from server.users.opening import StoreAddress, make_store
from server.users.pseudonyms import Pseudonyms, make_key_file
from server.users.store import EventOutcome, UserStore

Kind = Literal["sqlite", "redis"]

SEED: Final = 20261122
START_TIMEOUT_S: Final = 60.0
KILL_AFTER_S: Final = (0.005, 0.15)
"""How long after the first acknowledgement a kill comes, at random."""
NUMBER_STEP: Final = 1_000_000
"""The changes of each round have numbers of their own."""


@dataclass(frozen=True, slots=True)
class KillCounts:
    """What the kills of one kind of store did.

    Attributes:
        kind: the kind of store.
        kill_count: kills.
        change_count: changes that were acknowledged.
        event_count: events that were acknowledged.
        unanswered_count: changes that were made but not acknowledged when the kill came.
        lost_count: acknowledged changes or events that were gone.
        torn_count: users whose two fields disagreed.
        duplicate_count: changes or events that a second try made again.
    """

    kind: Kind
    kill_count: int = 0
    change_count: int = 0
    event_count: int = 0
    unanswered_count: int = 0
    lost_count: int = 0
    torn_count: int = 0
    duplicate_count: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, torn or made twice."""
        return self.lost_count == self.torn_count == self.duplicate_count == 0


def count_kills(kind: Kind, kill_count: int, folder: Path, on_kill: Callable[[], None]) -> KillCounts:
    """Kills a store so many times.

    Args:
        kind: the embedded store, whose process is killed, or the shared one, whose Redis is.
        kill_count: how often.
        folder: an empty folder for the store.
        on_kill: called after each.
    """
    keys = folder / "keys"
    make_key_file(keys)
    redis = RedisServer(folder) if kind == "redis" else None
    store = str(folder / "users.sqlite") if redis is None else redis.url
    try:
        make_store(StoreAddress(store, keys))
        random = np.random.default_rng(SEED)
        rounds = []
        for number in range(kill_count):
            acknowledged = folder / f"acknowledged-{number}"
            first = (number + 1) * NUMBER_STEP
            _run_writer(store, keys, acknowledged, first, redis, float(random.uniform(*KILL_AFTER_S)))
            rounds.append(_check(store, keys, acknowledged, first))
            on_kill()
    finally:
        if redis is not None:
            redis.kill()
    return _sum(kind, rounds)


@dataclass(frozen=True, slots=True)
class _Round:
    change_count: int
    event_count: int
    unanswered_count: int
    lost_count: int
    torn_count: int
    duplicate_count: int


def _run_writer(
    store: str, keys: Path, acknowledged: Path, first: int, redis: RedisServer | None, after_s: float
) -> None:
    """Starts writers, kills the store once they have been at it for a while, and starts it again."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.users.writer",
        store,
        str(keys),
        str(acknowledged),
        str(first),
    ]
    writer = subprocess.Popen(command)  # noqa: S603 - ours.
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not (acknowledged.exists() and acknowledged.stat().st_size):
        if writer.poll() is not None or time.monotonic() > deadline_s:
            writer.kill()
            raise BenchmarkInputError("the writers did not start")
        time.sleep(0.002)
    time.sleep(after_s)
    if redis is not None:
        redis.kill()
    writer.kill()
    writer.wait()
    if redis is not None:
        redis.start()


def _check(store: str, keys: Path, acknowledged: Path, first: int) -> _Round:
    # The kill may have come in the middle of a line; what it says was acknowledged to nobody.
    lines = acknowledged.read_text(encoding="ascii").rpartition("\n")[0].splitlines()
    changes: dict[int, tuple[int, int]] = {}
    events: dict[int, list[int]] = {user: [] for user in range(USER_COUNT)}
    for line in lines:
        what, user, number, version = line.split()
        if what == "change":
            changes[int(user)] = (int(number), int(version))
        else:
            events[int(user)].append(int(number))
    opened, pseudonyms = open_users(store, keys)
    try:
        parts = [
            _check_user(opened, pseudonyms, user, changes.get(user), events[user], first)
            for user in range(USER_COUNT)
        ]
    finally:
        opened.close()
    change_count = sum(line.startswith("change") for line in lines)
    return _Round(
        change_count, len(lines) - change_count, *(sum(counts) for counts in zip(*parts, strict=True))
    )


def _check_user(
    store: UserStore,
    pseudonyms: Pseudonyms,
    user: int,
    last: tuple[int, int] | None,
    events: list[int],
    first: int,
) -> tuple[int, int, int, int]:
    """Returns how many changes were made without an answer, lost, torn, and made twice."""
    names = pseudonyms.derive_all(f"user {user}")
    found = store.find(names)
    if found is None or found.state.profile is None:
        return 0, int(last is not None), 0, 0
    income, version = found.state.profile["income"], found.state.version
    torn = int(income != found.state.profile["liquid"])
    lost = int(last is not None and (income < last[0] or version < last[1]))
    unanswered = int(income >= first and (last is None or income > last[0]))
    twice = 0
    if income >= first:
        # Whoever got no answer asks again with the same key; what was made must not be made again.
        twice += store.change(make_change(pseudonyms, user, income, None)).version != version
    history = {event.product_id for event in found.history}
    kept = events[-400:]  # A store keeps the latest 1,200 events of a user.
    lost += sum(f"p{number}" not in history for number in kept)
    if kept:
        again = store.append_events(
            [make_event(pseudonyms, user, number) for number in kept], log_id="again", log_position=0
        )
        twice += sum(outcome is not EventOutcome.DUPLICATE for outcome in again)
    return unanswered, lost, torn, twice


def _sum(kind: Kind, rounds: list[_Round]) -> KillCounts:
    def total(name: str) -> int:
        return sum(getattr(one, name) for one in rounds)

    return KillCounts(
        kind=kind,
        kill_count=len(rounds),
        change_count=total("change_count"),
        event_count=total("event_count"),
        unanswered_count=total("unanswered_count"),
        lost_count=total("lost_count"),
        torn_count=total("torn_count"),
        duplicate_count=total("duplicate_count"),
    )
