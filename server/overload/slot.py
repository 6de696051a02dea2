"""A call's place among those under way, and what is known of its time; the thread it runs on finds it."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, TypeVar

from server.overload.priority import Priority

TURN_S_MAX: Final = 1.0
"""So long a call waits for its turn: whoever has it for longer hangs, and must not hold all others."""

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")
_thread: Final = threading.local()

TakeTurn = Callable[[], AbstractContextManager[object]]
"""Gives what a thread holds while it works in Python and others shall not."""
NO_TURN: Final[TakeTurn] = nullcontext


@dataclass(slots=True, eq=False)
class Slot:
    """One call.

    Attributes:
        priority: its class.
        timed: whether it searches once, so that its latency tells how loaded the server is.
        entered_s: when it was let in, on the monotonic clock.
        searching_s: how long its thread waited for searches.
        turn: held by its thread while it works; None for calls that need not. A batch wakes all its callers
            at once; with Python's lock alone they kept the thread that takes calls from the network waiting.
    """

    priority: Priority = Priority.NORMAL
    timed: bool = False
    entered_s: float = 0.0
    searching_s: float = 0.0
    turn: "threading.Lock | None" = None

    def __enter__(self) -> None:
        """Makes it the one that `current_slot` returns in this thread."""
        _thread.slot = self

    def __exit__(self, *error: object) -> None:
        """Leaves the thread without a slot."""
        del _thread.slot

    def take_turn(self) -> None:
        """Waits until no other thread works, for a while; then this call goes on without turns."""
        if self.turn is not None and not self.turn.acquire(timeout=TURN_S_MAX):
            self.turn = None

    def give_turn(self) -> None:
        """Lets another thread work: this one waits for something, or is done."""
        if self.turn is not None:
            self.turn.release()

    def aside(self, ask: Callable[[_Asked], _Answer], asked: _Asked) -> _Answer:
        """Returns what something outside answers, such as a store; another thread works meanwhile."""
        self.give_turn()
        try:
            return ask(asked)
        finally:
            self.take_turn()


def current_slot() -> Slot:
    """Returns the slot of the call that this thread answers; a new one where it is not counted."""
    slot: Slot | None = getattr(_thread, "slot", None)
    return slot or Slot()
