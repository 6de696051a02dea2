"""Test 4: a disk that takes no more: full, failing, read-only, or no file of the process may grow."""

import contextlib
import errno
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import grpc
from prudence.v1 import feedback_pb2, feedback_pb2_grpc, profile_pb2

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.interposer import FAIL_SYNC, FAIL_WRITE, Interposer
from benchmarks.faults.records import count_repeated
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.faults.shelf import wait_until

FAULT_COUNT: Final = 10
"""Of each kind."""
DISK_MIB: Final = 64
"""Enough for the answers that a full run logs."""
FAULT_S: Final = 2.0
SLOT_S: Final = 3.0
"""From one fault to the next; the others call all the time."""
PAUSE_S: Final = 0.05
RECOVER_S_MAX: Final = 30.0
CALL_S_MAX: Final = 10.0
BATCH_COUNT: Final = 50
EVENT_COUNT: Final = 500
"""In one call, when all that was acknowledged is looked for."""
FULL: Final = "full disks"
WORN: Final = "processes without a writable file"
BAD_WRITES: Final = "disks that fail writes, EIO"
BAD_SYNCS: Final = "disks that fail fsyncs, EIO"
READ_ONLY: Final = "disks turned read-only, EROFS"
MakeFault = Callable[[], AbstractContextManager[None]]


class Recorder:
    """Records events one batch after the other, and remembers what was acknowledged."""

    def __init__(self, ground: Ground, target: str, name: str) -> None:
        """Records nothing yet."""
        self._ground, self._target, self._name = ground, target, name
        self._number = 0
        self.acknowledged: list[feedback_pb2.Event] = []
        self.refused_count = 0

    def record(self) -> bool:
        """Records a batch; returns whether it was acknowledged."""
        self._number += 1
        events = [
            feedback_pb2.Event(
                event_id=f"{self._name}-{self._number}-{place}",
                user_id=self._ground.user_ids[
                    (self._number * BATCH_COUNT + place) % len(self._ground.user_ids)
                ],
                product_id=self._ground.product_ids[place % len(self._ground.product_ids)],
                event_type=profile_pb2.EVENT_TYPE_CLICK,
            )
            for place in range(BATCH_COUNT)
        ]
        try:
            verdicts = self.send(events)
        except grpc.RpcError:
            self.refused_count += 1
            return False
        kept = [
            event
            for event, verdict in zip(events, verdicts, strict=True)
            if verdict == feedback_pb2.EVENT_VERDICT_ACCEPTED
        ]
        self.acknowledged += kept
        return bool(kept)

    def send(self, events: list[feedback_pb2.Event]) -> list[int]:
        """Sends events and returns their verdicts; a new connection each time, as a new process has."""
        with grpc.insecure_channel(self._target) as channel:
            stub = feedback_pb2_grpc.FeedbackServiceStub(channel)
            answer = stub.RecordEvents(feedback_pb2.RecordEventsRequest(events=events), timeout=CALL_S_MAX)
        return [result.verdict for result in answer.results]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mounts a disk of its own at a folder for the length of the block, where that is allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)  # noqa: S603, S607


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fills the disk that a folder lies on to the last byte for the length of the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def no_file_grows(server: ServerProcess) -> Iterator[None]:
    """Lets no file that the server writes grow for the length of the block: every write to one fails."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def failing(interposer: Interposer, kinds: int, error: int) -> Iterator[None]:
    """Lets calls on files under the server's folder fail for the length of the block."""
    interposer.fail(kinds, error)
    try:
        yield
    finally:
        interposer.fail(0)


def fail_once(recorder: Recorder, fault: AbstractContextManager[None]) -> Findings:
    """Records through a fault and after it."""
    before, taken = recorder.record(), 0
    with fault:
        until_s = time.monotonic() + FAULT_S
        while time.monotonic() < until_s:
            taken += recorder.record()
            time.sleep(PAUSE_S)
    refused, from_s = recorder.refused_count, time.monotonic()
    recovered = wait_until(recorder.record, RECOVER_S_MAX)
    counts = {
        "batches acknowledged during a fault": taken,
        "batches refused during a fault": refused,
        "faults that nothing noticed": int(refused == 0),
        "recordings that never came back": int(not (before and recovered)),
    }
    return Findings(counts, {"recording again after, s": time.monotonic() - from_s})


def count_lost(server: ServerProcess, ground: Ground, acknowledged: Sequence[feedback_pb2.Event]) -> int:
    """Records events once more, and counts those that the server does not know."""
    recorder, lost = Recorder(ground, server.target, "again"), 0
    for first in range(0, len(acknowledged), EVENT_COUNT):
        verdicts = recorder.send(list(acknowledged[first : first + EVENT_COUNT]))
        lost += sum(verdict != feedback_pb2.EVENT_VERDICT_DUPLICATE for verdict in verdicts)
    return lost


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Breaks the disk of log and store in every way by turns; at last the server is killed and started."""
    folder = ground.make_folder("disk")
    with small_disk(folder / "small") as mounted:
        small = folder / "small"
        interposer = Interposer(folder, failing=small)
        settings = ground.settings("--store", ground.copy_store(small), "--feedback-log", small / "log")
        with run_server(folder, settings, through=interposer.command) as server:
            faults: dict[str, MakeFault] = {
                WORN: lambda: no_file_grows(server),
                BAD_WRITES: lambda: failing(interposer, FAIL_WRITE, errno.EIO),
                BAD_SYNCS: lambda: failing(interposer, FAIL_SYNC, errno.EIO),
                READ_ONLY: lambda: failing(interposer, FAIL_WRITE, errno.EROFS),
            }
            if mounted:
                faults[FULL] = lambda: full(small)
            found, acknowledged = _break_by_turns(ground, server, faults, share(FAULT_COUNT, scale), seed)
        with run_server(folder, settings) as server:
            lost = {"acknowledged events lost": count_lost(server, ground, acknowledged)}
            server.stop()
        repeated = count_repeated(small / "log")
    shutil.rmtree(folder, ignore_errors=True)
    return found + Findings(lost | {"events logged twice": repeated})


def _break_by_turns(
    ground: Ground, server: ServerProcess, faults: Mapping[str, MakeFault], round_count: int, seed: int
) -> tuple[Findings, list[feedback_pb2.Event]]:
    """Breaks the disk in every way each round, beside other callers; returns what was acknowledged, too."""
    found, checker = Findings(), Checker(ground.questions)
    acknowledged: list[feedback_pb2.Event] = []
    checker.learn(server.target)
    for number in range(round_count):
        with crowd(ground, server, seed * 1000 + number, duration_s=SLOT_S * len(faults)) as others:
            for place, (name, make_fault) in enumerate(faults.items()):
                others.running.sleep_until(SLOT_S * place)
                recorder = Recorder(ground, server.target, f"{seed}-{number}-{place}")
                found += fail_once(recorder, make_fault()) + Findings({name: 1})
                acknowledged += recorder.acknowledged
        found += others.judge(checker) + Findings({"crashes": 0 if server.alive else 1})
    return found, acknowledged


TEST: Final = FaultTest(
    4,
    "a disk that is full, fails or turns read-only",
    run,
    dict.fromkeys((FULL, WORN, BAD_WRITES, BAD_SYNCS, READ_ONLY), FAULT_COUNT),
    (
        Target("acknowledged events lost", "==", 0),
        Target("events logged twice", "==", 0),
        Target("recordings that never came back", "==", 0),
        Target("batches acknowledged during a fault", "==", 0),
        Target("faults that nothing noticed", "==", 0),
        Target("recording again after, s", "<", 5.0, "s"),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    missing="strict audit mode: the server writes no decision records that an answer could wait for",
)
