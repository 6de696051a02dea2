"""Events off the wire and verdicts onto it. A wrong field costs its event alone, never the batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from prudence.v1 import feedback_pb2

from server.errors import InvalidArgumentError
from server.events import FEEDBACK_EVENT_TYPES, EventVerdict, FeedbackEvent

EVENT_COUNT_MAX: Final = 1000
ID_BYTES_MAX: Final = 128
POSITION_MAX: Final = 10_000
DWELL_S_MAX: Final = 86_400.0
REVENUE_MINOR_MAX: Final = 10**15
INSTANT_S_MAX: Final = 253_402_300_799  # The end of the year 9999.


@dataclass(frozen=True, slots=True)
class StatedEvent:
    """An event as its caller states it; its user is still to be named."""

    user_id: str
    event: FeedbackEvent


@dataclass(frozen=True, slots=True)
class InvalidEvent:
    """An event with a wrong field."""

    field: str


def read_events(
    tenant_id: str, messages: Sequence[feedback_pb2.Event], now_us: int
) -> list[StatedEvent | InvalidEvent]:
    """Checks and converts a batch.

    Args:
        tenant_id: the request's.
        messages: the request's events.
        now_us: when it was received, microseconds since 1970-01-01 UTC.

    Raises:
        InvalidArgumentError: the batch as a whole is wrong; no event of it is recorded.
    """
    if tenant_id:
        raise InvalidArgumentError("tenant_id", 'expected "", the only tenant')
    if not 1 <= len(messages) <= EVENT_COUNT_MAX:
        raise InvalidArgumentError("events", f"expected 1 to {EVENT_COUNT_MAX} events, got {len(messages)}")
    return [_read_event(message, now_us) for message in messages]


def render_result(event_id: str, outcome: EventVerdict | InvalidEvent) -> feedback_pb2.EventResult:
    """Writes the verdict on one event."""
    if isinstance(outcome, InvalidEvent):
        return feedback_pb2.EventResult(
            event_id=event_id,
            verdict=feedback_pb2.EVENT_VERDICT_VALUE_INVALID,
            field=outcome.field,
        )
    # The generated stubs type enum values as a class that does not exist at run time.
    verdict: Any = int(outcome)
    return feedback_pb2.EventResult(event_id=event_id, verdict=verdict)


def _read_event(message: feedback_pb2.Event, now_us: int) -> StatedEvent | InvalidEvent:
    field = _find_fault(message)
    if field:
        return InvalidEvent(field)
    stated = {name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)}
    time_us = now_us
    if message.HasField("event_time"):
        time_us = message.event_time.seconds * 1_000_000 + message.event_time.nanos // 1000
    event = FeedbackEvent(
        event_id=message.event_id,
        user="",
        product_id=message.product_id,
        event_type=FEEDBACK_EVENT_TYPES[message.event_type - 1],
        event_time_us=time_us,
        received_time_us=now_us,
        answer_id=message.answer_id,
        placement=message.placement,
        campaign=message.campaign,
        **stated,
    )
    return StatedEvent(message.user_id, event)


_OPTIONAL: Final = ("position", "rating", "dwell_s", "revenue_minor")


def _find_fault(message: feedback_pb2.Event) -> str:
    """Names the first wrong field; empty if there is none."""
    for name, required, printable in _TEXTS:
        text = getattr(message, name)
        if not required <= len(text.encode()) <= ID_BYTES_MAX or (printable and not text.isprintable()):
            return name
    if not 1 <= message.event_type <= len(FEEDBACK_EVENT_TYPES):
        return "event_type"
    kind, time = FEEDBACK_EVENT_TYPES[message.event_type - 1], message.event_time
    stated = message.HasField
    faults = {
        "event_time": not (0 <= time.seconds <= INSTANT_S_MAX and 0 <= time.nanos < 10**9),
        "position": stated("position") and not (message.answer_id and 1 <= message.position <= POSITION_MAX),
        "rating": stated("rating") != (kind == "rating") or not math.isfinite(message.rating),
        "dwell_s": stated("dwell_s") != (kind == "dwell") or not 0 <= message.dwell_s <= DWELL_S_MAX,
        "revenue_minor": (stated("revenue_minor") and kind not in _PAID)
        or not 0 <= message.revenue_minor <= REVENUE_MINOR_MAX,
    }
    return next((name for name, wrong in faults.items() if wrong), "")


_PAID: Final = ("enrol", "purchase")
# Name, least bytes, whether it must be printable: an id that is shown to a person must be what it looks like.
_TEXTS: Final = (
    ("event_id", 1, True),
    ("user_id", 1, False),
    ("product_id", 1, False),
    ("answer_id", 0, True),
    ("placement", 0, False),
    ("campaign", 0, False),
)
