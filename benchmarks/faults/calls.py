"""How the calls of a load ended, as columns, and what is read from them: goodput, percentiles, CPU time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OK: Final = "OK"
Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Calls:
    """Calls of one stream.

    Attributes:
        intended_s: [n] when each was meant to be sent, from the start of the run.
        late_s: [n] how much later the generator sent it.
        elapsed_s: [n] from when it was meant to be sent until it ended.
        reason: [n] OK, the reason in its google.rpc.ErrorInfo, or the name of a status code without one.
        request: [n] number of the request in the stream.
        answers: distinct pairs of a request's number and an answer's bytes, where the stream keeps them.
    """

    intended_s: Seconds
    late_s: Seconds
    elapsed_s: Seconds
    reason: NDArray[np.str_]
    request: NDArray[np.int64]
    answers: frozenset[tuple[int, bytes]] = frozenset()

    @property
    def count(self) -> int:
        """Number of calls."""
        return int(self.intended_s.size)

    def between(self, from_s: float, until_s: float) -> "Calls":
        """Returns those that were meant to be sent in a part of the run; answers stay those of all."""
        return self._only((self.intended_s >= from_s) & (self.intended_s < until_s))

    def ended(self, *reasons: str) -> "Calls":
        """Returns those that ended in one of these ways."""
        return self._only(np.isin(self.reason, reasons))

    def count_reasons(self) -> dict[str, int]:
        """Counts calls by how they ended."""
        return dict(Counter(self.reason.tolist()).most_common())

    def percentile_ms(self, percent: float) -> float:
        """Returns a percentile of the time from the intended send to the end; NaN without calls."""
        return float(np.percentile(self.elapsed_s, percent)) * 1e3 if self.count else float("nan")

    def late_ms(self, percent: float) -> float:
        """Returns a percentile of how late the generator was; NaN without calls."""
        return float(np.percentile(self.late_s, percent)) * 1e3 if self.count else float("nan")

    def answered_per_s(self, from_s: float, until_s: float, within_s: float = float("inf")) -> float:
        """Returns the goodput: calls that ended OK in a part of the run, within so long, for each second."""
        end_s = self.intended_s + self.elapsed_s
        good = (self.reason == OK) & (self.elapsed_s <= within_s) & (end_s >= from_s) & (end_s < until_s)
        return int(np.count_nonzero(good)) / (until_s - from_s)

    def _only(self, chosen: NDArray[np.bool_]) -> "Calls":
        return Calls(
            self.intended_s[chosen],
            self.late_s[chosen],
            self.elapsed_s[chosen],
            self.reason[chosen],
            self.request[chosen],
            self.answers,
        )


@dataclass(frozen=True)
class CpuTimes:
    """CPU time of a process: seconds used until each of some instants of the run."""

    at_s: Seconds
    used_s: Seconds

    def between(self, from_s: float, until_s: float) -> float:
        """Returns the CPU seconds used in a part of the run."""
        before, after = np.interp([from_s, until_s], self.at_s, self.used_s)
        return float(after - before)


def merge_calls(parts: Sequence[Calls]) -> Calls:
    """Puts the calls of several clients together, in the order in which they were meant to be sent."""
    order = np.argsort(np.concatenate([part.intended_s for part in parts]), kind="stable")
    return Calls(
        np.concatenate([part.intended_s for part in parts])[order],
        np.concatenate([part.late_s for part in parts])[order],
        np.concatenate([part.elapsed_s for part in parts])[order],
        np.concatenate([part.reason for part in parts])[order],
        np.concatenate([part.request for part in parts])[order],
        frozenset().union(*(part.answers for part in parts)),
    )
