"""What callers report of their users, and the verdict on each event; Protobuf stops in `feedback_service`."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from index.features import EVENT_TYPES

NOT_INTERESTED: Final = "not_interested"
FEEDBACK_EVENT_TYPES: Final = (*EVENT_TYPES, NOT_INTERESTED, "complaint", "impression")
"""In the order of the wire's numbers, from 1. Only EVENT_TYPES enter the history that the tower reads."""


class EventVerdict(IntEnum):
    """What became of an event; the numbers are the wire's."""

    ACCEPTED = 1
    DUPLICATE = 2
    PRODUCT_UNKNOWN = 3
    USER_UNKNOWN = 4
    USER_ERASED = 5
    TIME_IN_FUTURE = 6
    TIME_TOO_OLD = 7
    VALUE_INVALID = 8


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """One thing that a user did. Texts that were not stated are empty.

    Attributes:
        event_id: the caller's own name of the event; the same id is the same event.
        user: the user's pseudonym, hexadecimal.
        product_id: what it was done with.
        event_type: one of FEEDBACK_EVENT_TYPES.
        event_time_us: when, in microseconds since 1970-01-01 UTC.
        received_time_us: when the server took it.
        answer_id: the answer that showed the product.
        position: place of the product in that answer, 1 for the first.
        rating: a rating's value.
        dwell_s: seconds, of a dwell.
        revenue_minor: what an enrolment or purchase brought, in minor units of the base currency.
        placement: place in the caller's product.
        campaign: campaign tag.
    """

    event_id: str
    user: str
    product_id: str
    event_type: str
    event_time_us: int
    received_time_us: int
    answer_id: str = ""
    position: int | None = None
    rating: float | None = None
    dwell_s: float | None = None
    revenue_minor: int | None = None
    placement: str = ""
    campaign: str = ""
