"""Quotas: how many calls each caller may make, as token buckets."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.errors import QuotaError
from server.identity.callers import Caller


@dataclass(slots=True)
class _Bucket:
    """Calls that may be made at once, at an instant."""

    tokens: float
    at_s: float


class Quotas:
    """Counts calls by caller; callers without a limit are not counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with every bucket full.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: Caller) -> None:
        """Takes one call out of the caller's bucket.

        Raises:
            QuotaError: the bucket is empty.
        """
        if caller.calls_per_s is None:
            return
        with self._lock:
            now_s = self._clock()
            bucket = self._buckets.get(caller.name)
            if bucket is None:
                bucket = self._buckets[caller.name] = _Bucket(caller.burst, now_s)
            filled = bucket.tokens + (now_s - bucket.at_s) * caller.calls_per_s
            bucket.tokens, bucket.at_s = min(filled, float(caller.burst)), now_s
            if bucket.tokens < 1:
                raise QuotaError(f"more than {caller.calls_per_s:g} calls a second; retry later")
            bucket.tokens -= 1
