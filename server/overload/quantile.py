"""A high quantile of what was measured last, which fades when nothing is measured any more."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

COUNT: Final = 128
RENEW_COUNT: Final = 16
"""Measurements after which the quantile is read again."""
FRACTION: Final = 0.95
FRESH_S: Final = 1.0
HALF_LIFE_S: Final = 1.0
"""Once the last measurement is older than FRESH_S, the quantile halves each so many seconds. A stage that was
slow once would otherwise have every call refused, and nothing would ever measure it again."""


@dataclass(slots=True)
class RecentQuantile:
    """The 95th percentile of the last measurements."""

    _values: deque[float] = field(default_factory=lambda: deque(maxlen=COUNT))
    _value: float = 0.0
    _last_s: float = 0.0
    _count: int = 0

    def add(self, value: float, now_s: float) -> None:
        """Takes a measurement."""
        self._values.append(value)
        self._last_s = now_s
        self._count += 1
        if self._count % RENEW_COUNT == 0 or self._count < RENEW_COUNT:
            ordered = sorted(self._values)
            self._value = ordered[int(FRACTION * (len(ordered) - 1))]

    def read(self, now_s: float) -> float:
        """Returns the quantile; 0 before the first measurement."""
        old_s = now_s - self._last_s - FRESH_S
        return self._value if old_s <= 0 else float(self._value * 0.5 ** (old_s / HALF_LIFE_S))
