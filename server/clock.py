"""The decision clock: the system's, or one instant fixed for evaluation and demonstration."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """Gives decision times. A fixed clock is never taken from a request and is shown on every answer."""

    fixed_time: datetime | None = None

    @property
    def system(self) -> bool:
        """Whether the instants are the system clock's."""
        return self.fixed_time is None

    def now(self) -> datetime:
        """Returns the decision time, aware, in UTC."""
        return datetime.now(UTC) if self.fixed_time is None else self.fixed_time

    def describe(self) -> str:
        """Says which clock this is, for the start line."""
        return "system" if self.fixed_time is None else self.fixed_time.isoformat()
