"""One figure of both bundles beside its limit."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.evaluate.intervals import Estimate

Verdict = Literal["passed", "refused", "not judged"]


@dataclass(frozen=True)
class Measure:
    """One line of the report.

    Attributes:
        name: what was measured, for example ndcg@10.
        group: of whom or of what.
        count: number of users, requests or products measured.
        serving: the serving bundle's figure; None where only the candidate's counts.
        candidate: the candidate's figure.
        change: the paired relative change with its interval, where there is one.
        limit: the limit, in words.
        verdict: whether the candidate keeps it.
    """

    name: str
    group: str
    count: int
    serving: float | None
    candidate: float
    change: Estimate | None
    limit: str
    verdict: Verdict

    @property
    def reason(self) -> str:
        """Says in one sentence why the measure refuses."""
        before = "" if self.serving is None else f", serving {self.serving:.4f}"
        changed = ""
        if self.change is not None:
            one = self.change
            changed = f", change {one.mean:+.1%} (95 % interval {one.low:+.1%} to {one.high:+.1%})"
        return f"{self.name}, {self.group}: {self.candidate:.4f}{before}{changed}; limit: {self.limit}"


def judge(kept: bool) -> Verdict:
    """Turns whether a limit is kept into a verdict."""
    return "passed" if kept else "refused"
