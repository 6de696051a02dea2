"""Judges reported events by clock and catalogue, names their users, and records what is good."""

from collections.abc import Callable, Sequence
from typing import Final

from server.batch_queue import Call
from server.events import EventVerdict, FeedbackEvent
from server.feedback.event_log import EventLog, Reported
from server.users.pseudonyms import Names

FUTURE_US_MAX: Final = 300 * 1_000_000
"""Clocks of callers may be ahead by so much; what is later than ours counts as now."""
AGE_US_MAX: Final = 28 * 86_400 * 1_000_000
"""Older events are refused: a store forgets event ids after 30 days, and would count a repeated one again."""


class Recorder:
    """Records events. Safe between threads."""

    def __init__(
        self, log: EventLog, name_user: Callable[[str], Names], knows_product: Callable[[str], bool]
    ) -> None:
        """Keeps what judges and names.

        Args:
            log: where good events go.
            name_user: returns the names that a user id may be stored under.
            knows_product: tells whether the catalogue has a product.
        """
        self._log = log
        self._name_user = name_user
        self._knows_product = knows_product

    def record(
        self, events: Sequence[tuple[str, FeedbackEvent]], now_us: int, call: Call
    ) -> list[EventVerdict]:
        """Records events; raises as `EventLog.record` does.

        Args:
            events: user id and event.
            now_us: when they were received, microseconds since 1970-01-01 UTC.
            call: how long the caller waits.

        Returns:
            the verdict on each, in order.
        """
        verdicts: list[EventVerdict | None] = [self._judge(event, now_us) for _, event in events]
        good = [
            Reported(event, self._name_user(user_id))
            for (user_id, event), verdict in zip(events, verdicts, strict=True)
            if verdict is None
        ]
        found = iter(self._log.record(good, call) if good else ())
        return [next(found) if verdict is None else verdict for verdict in verdicts]

    def _judge(self, event: FeedbackEvent, now_us: int) -> EventVerdict | None:
        """Returns why an event is refused; None if it is not."""
        if event.event_time_us > now_us + FUTURE_US_MAX:
            return EventVerdict.TIME_IN_FUTURE
        if event.event_time_us < now_us - AGE_US_MAX:
            return EventVerdict.TIME_TOO_OLD
        if not self._knows_product(event.product_id):
            return EventVerdict.PRODUCT_UNKNOWN
        return None
