"""Test 2: power cuts for the whole server while it records events and profiles."""

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import pyarrow.parquet as pq
from prudence.v1 import feedback_pb2, feedback_pb2_grpc, profile_pb2, profile_service_pb2_grpc
from prudence.v1 import profile_service_pb2 as profiles_pb

from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, start_server
from server.feedback.compact_command import compact

KILL_COUNT: Final = 200
WRITE_S_MAX: Final = 0.6
WRITER_COUNT: Final = 3
BATCH_COUNT: Final = 5
CALL_S_MAX: Final = 10.0
PAUSE_S: Final = 0.01
"""Between a writer's calls, so that no user has more events than a store keeps of one."""


@dataclass
class Written:
    """What a server has acknowledged, and what may have been on its way when it was killed.

    Attributes:
        events: acknowledged events by id.
        profiles: by user the last acknowledged change: its key, its value, the version it was given.
        unsure: by user the values that were sent and not acknowledged since.
    """

    events: dict[str, feedback_pb2.Event] = field(default_factory=dict)
    profiles: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    unsure: dict[str, list[int]] = field(default_factory=dict)


class Writer:
    """One caller that records events and changes the profile of a user of its own until the server dies."""

    def __init__(self, ground: Ground, target: str, name: str, user: str, written: Written) -> None:
        """Writes nothing yet."""
        self._products, self._target, self._name, self._user = ground.product_ids, target, name, user
        self._written = written

    def write_on(self) -> None:
        """Writes until a call fails."""
        with grpc.insecure_channel(self._target) as channel:
            events = feedback_pb2_grpc.FeedbackServiceStub(channel)
            profiles = profile_service_pb2_grpc.ProfileServiceStub(channel)
            number = 0
            try:
                while True:
                    number += 1
                    self._record(events, number)
                    self._put(profiles, number)
                    time.sleep(PAUSE_S)
            except grpc.RpcError:
                return

    def _record(self, events: feedback_pb2_grpc.FeedbackServiceStub, number: int) -> None:
        batch = [self._make_event(number, place) for place in range(BATCH_COUNT)]
        answer = events.RecordEvents(feedback_pb2.RecordEventsRequest(events=batch), timeout=CALL_S_MAX)
        for event, result in zip(batch, answer.results, strict=True):
            if result.verdict == feedback_pb2.EVENT_VERDICT_ACCEPTED:
                self._written.events[event.event_id] = event

    def _make_event(self, number: int, place: int) -> feedback_pb2.Event:
        return feedback_pb2.Event(
            event_id=f"{self._name}-{number}-{place}",
            user_id=self._user,
            product_id=self._products[(number + place) % len(self._products)],
            event_type=profile_pb2.EVENT_TYPE_CLICK,
        )

    def _put(self, profiles: profile_service_pb2_grpc.ProfileServiceStub, number: int) -> None:
        key = f"{self._name}-{number}"
        # The name ends with the number of the kill, so that no value comes twice.
        value = int(self._name.rpartition("-")[2]) * 100_000 + number
        self._written.unsure.setdefault(self._user, []).append(value)
        answer = profiles.PutProfile(make_put(self._user, key, value), timeout=CALL_S_MAX)
        self._written.profiles[self._user] = (key, value, answer.version)
        self._written.unsure[self._user] = []


def make_put(user: str, key: str, value: int) -> profiles_pb.PutProfileRequest:
    """Makes a profile of which every field tells the same value, so that a torn one shows."""
    profile = profile_pb2.UserProfile(liquid_minor=value, income_minor=value, premium_budget_minor=value)
    return profiles_pb.PutProfileRequest(user_id=user, profile=profile, idempotency_key=key)


def examine(server: ServerProcess, written: Written) -> Findings:
    """Asks a restarted server for all that it had acknowledged since the last time."""
    counts = {"records lost": 0, "profiles torn": 0, "changes made twice": 0}
    with grpc.insecure_channel(server.target) as channel:
        events = feedback_pb2_grpc.FeedbackServiceStub(channel)
        profiles = profile_service_pb2_grpc.ProfileServiceStub(channel)
        again = list(written.events.values())
        for first in range(0, len(again), 500):
            request = feedback_pb2.RecordEventsRequest(events=again[first : first + 500])
            results = events.RecordEvents(request, timeout=CALL_S_MAX).results
            counts["records lost"] += sum(
                result.verdict != feedback_pb2.EVENT_VERDICT_DUPLICATE for result in results
            )
        for user, (key, value, version) in written.profiles.items():
            stored = profiles.GetProfile(profiles_pb.GetProfileRequest(user_id=user), timeout=CALL_S_MAX)
            held = {
                stored.profile.liquid_minor,
                stored.profile.income_minor,
                stored.profile.premium_budget_minor,
            }
            counts["profiles torn"] += len(held) > 1
            counts["records lost"] += not held <= {value, *written.unsure[user]}
            answer = profiles.PutProfile(make_put(user, key, value), timeout=CALL_S_MAX)
            counts["changes made twice"] += answer.version != version
    acknowledged = len(written.events) + len(written.profiles)
    return Findings({"records acknowledged and looked for": acknowledged} | counts)


def count_repeated(folder: Path) -> int:
    """Returns how many events a log holds more than once."""
    compact(folder)
    logged = pq.read_table(folder / "events", columns=["event_id"])["event_id"].to_pylist()
    return len(logged) - len(set(logged))


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Kills a server that is written to, again and again, and looks for what it had acknowledged."""
    folder, chance = ground.make_folder("records"), random.Random(seed)  # noqa: S311 - no secret.
    store, log, found = ground.copy_store(folder), folder / "log", Findings()
    arguments = ground.settings("--store", store, "--feedback-log", log, fixed=False)
    server = start_server(folder, arguments)
    try:
        for kill in range(share(KILL_COUNT, scale)):
            written = Written()
            writers = [
                Writer(ground, server.target, f"{seed}-{place}-{kill}", ground.user_ids[place], written)
                for place in range(WRITER_COUNT)
            ]
            threads = [threading.Thread(target=writer.write_on) for writer in writers]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.0, WRITE_S_MAX))
            server.kill()
            for thread in threads:
                thread.join()
            server = start_server(folder, arguments)
            found += Findings({"kills": 1}) + examine(server, written)
        server.stop()
        return found + Findings({"events logged twice": count_repeated(log)})
    finally:
        server.kill()


TEST: Final = FaultTest(
    2,
    "kill -9 while events and profiles are recorded",
    run,
    {"kills": KILL_COUNT},
    (
        Target("records lost", "==", 0),
        Target("profiles torn", "==", 0),
        Target("changes made twice", "==", 0),
        Target("events logged twice", "==", 0),
    ),
    part=0.25,
)
