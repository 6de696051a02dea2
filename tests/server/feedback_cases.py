"""A store in memory that fails on request, and events to record in it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from server.batch_queue import Call
from server.errors import StoreReadError, StoreWriteError
from server.events import EventVerdict, FeedbackEvent
from server.feedback.event_log import EventLog, Reported
from server.feedback.lines import LoggedAnswer, LoggedProduct
from server.users.store import EventOutcome, ScreenedEvent, UserEvent

KNOWN = tuple(bytes([1]) * 2 + bytes([number]) * 32 for number in range(4))
ERASED, UNKNOWN = b"\x09" * 34, b"\x08" * 34
NOW_US = 1_795_338_000_000_000
PATIENT = Call(1e8, lambda: True)


class MemoryStore:
    """Applies events to a list; what a real store does with them is tested with the store."""

    def __init__(self) -> None:
        self.applied: list[UserEvent] = []
        self.positions: dict[str, int] = {}
        self.erased = {ERASED}
        self.read_fails = self.write_fails = False
        self.gate = threading.Event()  # Writing waits for it.
        self.gate.set()

    def screen_events(self, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
        if self.read_fails:
            raise StoreReadError("down")
        return [self._screen(event) for event in batch]

    def append_events(
        self, batch: Sequence[UserEvent], *, log_id: str, log_position: int
    ) -> list[EventOutcome]:
        self.gate.wait(120)
        if self.write_fails:
            raise StoreWriteError("down")
        outcomes = []
        for event in batch:
            outcome = self._screen(event).outcome
            if outcome is EventOutcome.APPLIED:
                self.applied.append(event)
            outcomes.append(outcome)
        self.positions[log_id] = max(log_position, self.positions.get(log_id, 0))
        return outcomes

    def applied_position(self, log_id: str) -> int:
        return self.positions.get(log_id, 0)

    def ids(self) -> list[str]:
        return [event.event_id for event in self.applied]

    def _screen(self, event: UserEvent) -> ScreenedEvent:
        if any(name in self.erased for name in event.names):
            return ScreenedEvent(EventOutcome.USER_ERASED, None)
        name = next((name for name in event.names if name in KNOWN), None)
        if name is None:
            return ScreenedEvent(EventOutcome.USER_UNKNOWN, None)
        seen = event.event_id in self.ids()
        return ScreenedEvent(EventOutcome.DUPLICATE if seen else EventOutcome.APPLIED, name)


def open_log(folder: Path, store: Any, **options: Any) -> EventLog:
    return EventLog(folder, store, CollectorRegistry(), **options)


def report(event_id: str, name: bytes = KNOWN[0], **fields: Any) -> Reported:
    return Reported(make_event(event_id, **fields), (b"\x03" * 34, name))


def make_event(event_id: str, **fields: Any) -> FeedbackEvent:
    stated = {"product_id": "p1", "event_type": "click", "event_time_us": NOW_US, "received_time_us": NOW_US}
    return FeedbackEvent(event_id, "", **(stated | fields))


def record(log: EventLog, *event_ids: str, name: bytes = KNOWN[0]) -> list[EventVerdict]:
    return log.record([report(event_id, name) for event_id in event_ids], PATIENT)


def make_answer(answer_id: str, name: bytes = KNOWN[0]) -> LoggedAnswer:
    return LoggedAnswer(
        answer_id=answer_id,
        user=name.hex(),
        method="Recommend",
        decision_time_us=NOW_US,
        bundle_version="b1",
        policy_hash="ab",
        overlay_sequence=0,
        placement="home",
        campaign="",
        experiments=(("ranker", "new"),),
        segment_id="s1",
        products=(LoggedProduct("p1", 7), LoggedProduct("p2", -3, "rule")),
        history=(("p9", "click", NOW_US - 1),),
        features={"age_years": 41.5, "risk_level": "3", "liquid": None},
        withheld=(("MAT_LEVEL_OVER_TOLERANCE", 4),),
        latency_us=812,
        personalised=True,
    )


def read_parts(folder: Path, kind: str) -> pa.Table:
    paths = sorted((folder / kind).glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths])
