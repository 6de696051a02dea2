"""Writes the logs that all processes share, record by record, and sees that every process follows.

A record that was written is answered for once every process that serves has brought it into force. A process
that does not within `FOLLOW_S_MAX` is to be ended: what is halted is then shown by nobody, and whoever starts
in its place reads the logs first. A state machine over the logs and a clock: it returns what is to be said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from server.errors import ServerError
from server.processes.wire import Append, Appended, Follow, Followed, NotAppended, ToProcess

FOLLOW_S_MAX: Final = 5.0

Said = list[tuple[int, ToProcess]]
"""Messages, each with the number of the process that it is for."""


class Log(Protocol):
    """What a chained log is here."""

    count: int

    def append(self, texts: Mapping[str, str]) -> None:
        """Writes a record and waits until it is on disk. Raises ServerError."""


@dataclass(slots=True)
class _Round:
    """A record that was written and is not in force everywhere yet; `by` is None once that process ended."""

    by: int | None
    written: Appended
    waiting: set[int]
    deadline_s: float


class OrderDesk:
    """Takes records from processes. Of each log one is on its way: another is refused as worth retrying.

    A halt waits for no patch: they are in different logs.
    """

    def __init__(self, logs: Mapping[str, Log], clock: Callable[[], float]) -> None:
        """Keeps what it writes.

        Args:
            logs: by the setting that names their folder; nobody else writes them.
            clock: seconds that never go back.
        """
        self._logs, self._clock = logs, clock
        self._serving: set[int] = set()
        self._rounds: dict[str, _Round] = {}

    @property
    def deadline_s(self) -> float | None:
        """When `list_late` is to be asked again, by the clock; None while nobody is waited for."""
        return min((each.deadline_s for each in self._rounds.values()), default=None)

    def join(self, number: int) -> Said:
        """Counts a process in that is about to serve, and has it follow what came since it read the logs."""
        self._serving.add(number)
        return [(number, Follow(name, log.count)) for name, log in self._logs.items()]

    def append(self, number: int, asked: Append) -> Said:
        """Writes a record of a process and has all others follow it, and that process where it says so."""
        log = self._logs[asked.log]
        if asked.log in self._rounds or asked.after != log.count:
            return [(number, NotAppended(asked.log, True, ""))]
        try:
            log.append(asked.texts)
        except ServerError as error:
            return [(number, NotAppended(asked.log, False, str(error)))]
        others = self._serving - (set() if asked.follows else {number})
        written = Appended(asked.log, log.count)
        self._rounds[asked.log] = _Round(number, written, others, self._clock() + FOLLOW_S_MAX)
        follow = Follow(asked.log, log.count)
        return [(other, follow) for other in sorted(others)] + self._end_rounds()

    def hear(self, number: int, followed: Followed) -> Said:
        """Notes that a process has followed."""
        awaited = self._rounds.get(followed.log)
        if awaited is not None and followed.sequence >= awaited.written.sequence:
            awaited.waiting.discard(number)
        return self._end_rounds()

    def leave(self, number: int) -> Said:
        """Counts a process out that has ended."""
        self._serving.discard(number)
        for each in self._rounds.values():
            each.waiting.discard(number)
            if each.by == number:
                # Whoever starts in its place has asked for nothing yet.
                each.by = None
        return self._end_rounds()

    def list_late(self) -> list[int]:
        """Returns the processes that are to be ended, because they did not follow in time."""
        now_s = self._clock()
        late = (each.waiting for each in self._rounds.values() if each.deadline_s <= now_s)
        return sorted(set[int]().union(*late))

    def _end_rounds(self) -> Said:
        """Answers whoever asked once nobody is waited for."""
        said: Said = []
        for done in [each for each in self._rounds.values() if not each.waiting]:
            del self._rounds[done.written.log]
            if done.by is not None:
                said.append((done.by, done.written))
        return said
