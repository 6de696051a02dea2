"""Kills a writer of events again and again, and looks for what it had acknowledged."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from benchmarks.errors import ServerStartError
from benchmarks.feedback.writer import USER_COUNT
from benchmarks.machine import ROOT
from server.feedback.compact_command import compact
from server.feedback.event_log import EventLog
from server.users.edits import put_profile
from server.users.opening import StoreAddress, make_store, open_directory
from server.users.store import ProfileChange

_OPEN_S_MAX: Final = 60.0


@dataclass(frozen=True)
class KillResult:
    """What was found after the last kill.

    Attributes:
        kill_count: writers that were killed, each at a random instant after its log was open.
        acknowledged_count: events whose acknowledgement was read.
        logged_count: events in the log, acknowledged or not.
        lost_count: acknowledged events that the log lacks; must be 0.
        duplicate_count: events that the log holds more than once; must be 0.
        unapplied_count: events that the log holds and the store lacks, or the other way round; must be 0.
        torn_count: starts that cut a torn block off, of which nobody was told.
    """

    kill_count: int
    acknowledged_count: int
    logged_count: int
    lost_count: int
    duplicate_count: int
    unapplied_count: int
    torn_count: int


def run_kills(directory: Path, kill_count: int, *, seed: int = 1, write_s_max: float = 0.4) -> KillResult:
    """Kills writers on one log, and examines log and store after the last.

    Args:
        directory: an empty folder for log and store.
        kill_count: how many.
        seed: draws the instants.
        write_s_max: a writer is killed so long after its log was open, at most.

    Raises:
        ServerStartError: a writer did not open the log.
    """
    folder, store = directory / "log", directory / "users.sqlite"
    _make_users(store)
    rng = np.random.default_rng(seed)
    acknowledged: set[str] = set()
    torn_count = 0
    for delay_s in rng.uniform(0.0, write_s_max, kill_count).tolist():
        errors = directory / "writer.log"
        with _write(folder, store, errors) as writer:
            time.sleep(delay_s)
            writer.kill()
            assert writer.stdout is not None, "the writer's output is a pipe"
            # What is left of a line that the kill cut was not read as an acknowledgement by anybody.
            acknowledged.update(writer.stdout.read().decode().split("\n")[:-1])
        torn_count += errors.read_text(encoding="utf-8").count("cut a torn block")
    return _examine(folder, store, acknowledged, kill_count, torn_count)


@contextmanager
def _write(folder: Path, store: Path, errors: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a writer whose log is open."""
    command = [sys.executable, "-m", "benchmarks.feedback.writer", str(folder), str(store)]
    with errors.open("wb") as file:
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=file)  # noqa: S603
    try:
        assert writer.stdout is not None, "the writer's output is a pipe"
        if writer.stdout.readline() != b"open\n":
            raise ServerStartError(f"the writer ended:\n{errors.read_text(encoding='utf-8')[-2000:]}")
        yield writer
    finally:
        writer.kill()
        writer.wait(timeout=_OPEN_S_MAX)
        if writer.stdout is not None:
            writer.stdout.close()


def _make_users(path: Path) -> None:
    make_store(StoreAddress(str(path)))
    directory = open_directory(StoreAddress(str(path)), allow_assumed=True)
    edit = put_profile({"blocked": False})
    with closing(directory.require_store()) as store, ThreadPoolExecutor(64) as pool:
        names = [directory.pseudonyms.derive_all(f"u{number}") for number in range(USER_COUNT)]
        list(pool.map(lambda name: store.change(ProfileChange(name, edit, request_digest=b"")), names))


def _examine(
    folder: Path, path: Path, acknowledged: set[str], kill_count: int, torn_count: int
) -> KillResult:
    directory = open_directory(StoreAddress(str(path)), allow_assumed=True)
    with closing(directory.require_store()) as store:
        EventLog(folder, store, CollectorRegistry()).close()
        found = [store.find(directory.pseudonyms.derive_all(f"u{number}")) for number in range(USER_COUNT)]
    applied_count = sum(len(user.history) for user in found if user is not None)
    compact(folder)
    logged = pq.read_table(folder / "events", columns=["event_id"])["event_id"].to_pylist()
    return KillResult(
        kill_count=kill_count,
        acknowledged_count=len(acknowledged),
        logged_count=len(logged),
        lost_count=len(acknowledged - set(logged)),
        duplicate_count=len(logged) - len(set(logged)),
        unapplied_count=abs(len(set(logged)) - applied_count),
        torn_count=torn_count,
    )
