"""A call's place among those under way, and what is known of its time; the thread it runs on finds it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from server.overload.priority import Priority


@dataclass(slots=True, eq=False)
class Slot:
    """One call.

    Attributes:
        priority: its class.
        timed: whether it searches once, so that its latency tells how loaded the server is.
        entered_s: when it was let in, on the monotonic clock.
        searching_s: how long its thread waited for searches.
    """

    priority: Priority = Priority.NORMAL
    timed: bool = False
    entered_s: float = 0.0
    searching_s: float = 0.0


_thread: Final = threading.local()


@contextmanager
def holding(slot: Slot) -> Iterator[None]:
    """Makes a slot the one that `current_slot` returns in this thread."""
    _thread.slot = slot
    try:
        yield
    finally:
        del _thread.slot


def current_slot() -> Slot:
    """Returns the slot of the call that this thread answers; a new one where it is not counted."""
    slot: Slot | None = getattr(_thread, "slot", None)
    return slot or Slot()
